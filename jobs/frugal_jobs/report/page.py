"""report.html from a Report: one page without outside resources, readable on a phone, in light and in dark."""

from __future__ import annotations

import json
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, select_autoescape

from frugal.api.result import Candidate, ModelFigures, Report
from frugal.units import duration_text, size_text
from frugal_jobs.report.plot import trade_off
from frugal_jobs.report.wording import comparison_rows, reproduction

TEMPLATES = Path(__file__).parent


def page_of(report: Report, *, published: Candidate | None, max_loss: float) -> str:
    """Return the HTML; everything that comes from a user or a model is escaped.

    published: the member of `report.candidates` that verification let through.
    """
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES), autoescape=select_autoescape(("html", "j2")), trim_blocks=True
    )
    environment.filters.update({"size": size_text, "duration": duration_text})
    after = published.figures if published else None
    return environment.get_template("page.html.j2").render(
        report=report,
        result=report.result,
        published=published,
        rows=comparison_rows(report.result.baseline or ModelFigures(), after),
        plot=trade_off(report.candidates, report.front, max_loss=max_loss, published=published),
        pipeline=reproduction(report.pipeline),
        environment=json.dumps(report.environment, indent=1, sort_keys=True),
    )
