"""What the demo found, as build/demo.json and as tables for people. Every figure comes from a status or a count."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.table import Table
from rich.text import Text

from frugal.cli.demo.dataset import Dataset
from frugal.cli.demo.inputs import Manifest
from frugal.units import HOURS_PER_MONTH, size_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The demo's end.

    job, serving: the objects as they were at the end. load: what the load came to. utilization: used / requested by
    resource at its end. cost_before, first_size: hourly cost and size of the first guess, before the sizing
    acted. steps: seconds of each step.
    """

    world: str
    seconds: float
    steps: Mapping[str, float]
    dataset: Dataset
    job: Manifest
    serving: Manifest
    load: Mapping[str, Any]
    utilization: Mapping[str, float]
    cost_before: str
    first_size: Mapping[str, Any]

    def missing(self) -> list[str]:
        """Return what the loop did not bring to its end; empty when it closed."""
        job, serving = _status(self.job), _status(self.serving)
        expected = {
            "a verified artifact": bool(job.get("artifacts")),
            "a served artifact": bool(job.get("artifacts"))
            and (serving.get("model") or {}).get("sha256") == job["artifacts"][0]["sha256"],
            "answered requests": bool(self.load.get("requests")),
            "utilization": bool(self.utilization),
            "a recommendation": bool(serving.get("recommendation")),
            "a cost": bool(serving.get("cost")) and bool(self.cost_before),
        }
        return [what for what, is_there in expected.items() if not is_there]

    def to_json(self) -> dict[str, Any]:
        """Return the content of build/demo.json."""
        job, serving = _status(self.job), _status(self.serving)
        best, recommendation = job.get("best") or {}, serving.get("recommendation") or {}
        return {
            "seconds": round(self.seconds, 1),
            "cluster": self.world,
            "compression": {
                "baseline": job.get("baseline"),
                "sizeRatio": best.get("sizeRatio"),
                "latencyRatio": best.get("latencyRatio"),
                "lossPoints": best.get("loss"),
                "lossUpperPoints": best.get("lossUpperBound"),
            },
            "inference": {
                "requests": self.load.get("requests"),
                "failed": self.load.get("failed"),
                "utilization": dict(self.utilization) or None,
                "recommendation": recommendation.get("target"),
                "explanation": recommendation.get("explanation"),
                "costHourlyBefore": self.cost_before or None,
                "costHourlyAfter": (serving.get("cost") or {}).get("hourly"),
            },
            "objects": {
                one["metadata"]["name"]: _status(one).get("phase")
                for one in (self.job, self.serving)
                if "metadata" in one
            },
        }


def write_outcome(outcome: Outcome, file: Path) -> None:
    """Write build/demo.json."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(outcome.to_json(), indent=2) + "\n")


def show(outcome: Outcome, console: Console, *, places: Mapping[str, str]) -> None:
    """Print the closing tables."""
    console.print(Group(*_sections(outcome, places)), soft_wrap=not console.is_terminal)


def _sections(outcome: Outcome, places: Mapping[str, str]) -> list[RenderableType]:
    sections: list[RenderableType] = [_compression_table(outcome), _serving_table(outcome)]
    steps = ", ".join(f"{name} {seconds:.0f} s" for name, seconds in outcome.steps.items())
    sections += [Text(f"{outcome.seconds:.0f} s: {steps}")]
    sections += [Text(f"{what}: {place}") for what, place in places.items()]
    missing = outcome.missing()
    if missing:
        sections.append(Text(f"The loop did not close; missing: {', '.join(missing)}.", style="bold red"))
        sections += [
            Text(f"{one['kind']} {one['metadata']['name']}: {_status(one).get('phase')}: {_ready(one)}")
            for one in (outcome.job, outcome.serving)
            if "metadata" in one
        ]
    return sections


def _compression_table(outcome: Outcome) -> Table:
    status = _status(outcome.job)
    baseline, best = status.get("baseline") or {}, status.get("best") or {}
    table = Table(title=f"Compression: {outcome.dataset.note}", title_justify="left")
    for heading in ("", "before", "after", "gain"):
        table.add_column(heading)
    size, latency, accuracy = (baseline.get(key) for key in ("sizeBytes", "latencyP50Seconds", "accuracy"))
    loss, bound = best.get("loss"), best.get("lossUpperBound")
    table.add_row("size", *_gain(size, best.get("sizeRatio"), size_text, "smaller"))
    table.add_row("latency p50", *_gain(latency, best.get("latencyRatio"), _milliseconds, "faster"))
    table.add_row(
        "accuracy",
        "" if accuracy is None else f"{100 * accuracy:.2f} %",
        "" if accuracy is None or loss is None else f"{100 * accuracy - loss:.2f} %",
        "" if loss is None or bound is None else f"{loss:+.2f} points lost, at most {bound:.2f} at 95 %",
    )
    table.add_row("technique", "", str(best.get("technique", "")), "")
    return table


def _serving_table(outcome: Outcome) -> Table:
    status = _status(outcome.serving)
    recommendation, load = status.get("recommendation") or {}, outcome.load
    applied = (status.get("applied") or {}).get("size") or {}
    ratios = [f"{name} {100 * ratio:.0f} %" for name, ratio in outcome.utilization.items()]
    cost = status.get("cost") or {}
    table = Table(title="Serving", title_justify="left", show_header=False)
    table.add_column("")
    table.add_column("", ratio=1)
    p99 = load.get("p99Seconds")
    table.add_row(
        "load", f"{load.get('requests', 0)} requests, {load.get('failed', 0)} failed, p99 {_milliseconds(p99)}"
    )
    table.add_row("used of requested", ", ".join(ratios))
    table.add_row("history", "14 days, generated (not measured), at the service time measured here")
    table.add_row("recommendation", str(recommendation.get("explanation", "")))
    table.add_row("size", f"{_size(outcome.first_size)} -> {_size(applied)}")
    table.add_row("cost an hour", f"{outcome.cost_before} -> {cost.get('hourly', '')} {cost.get('currency', '')}")
    if outcome.cost_before and cost.get("hourly"):
        table.add_row("saving", _saving(Decimal(outcome.cost_before), Decimal(str(cost["hourly"])), cost))
    table.add_row("prices", "an example price book with invented figures; put your own into ConfigMap frugal-prices")
    return table


def _saving(before: Decimal, after: Decimal, cost: Mapping[str, Any]) -> str:
    """Return what the applied size saves against the first one: the recommendation itself has nothing left to save."""
    percent = f" ({(1 - after / before) * 100:.0f} %)" if before else ""
    return f"{(before - after) * HOURS_PER_MONTH:.2f} {cost.get('currency', '')} a month{percent}"


def _gain(before: float | None, ratio: float | None, words: Any, verb: str) -> tuple[str, str, str]:
    if before is None or not ratio:
        return "", "", ""
    return words(before), words(before / ratio), f"{ratio:.1f}x {verb}"


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{1000 * seconds:.2f} ms"


def _size(size: Mapping[str, Any]) -> str:
    if not size:
        return "?"
    return f"{size.get('replicas', 1)} x ({size.get('cpu')} CPU, {size.get('memory')})"


def _status(manifest: Manifest) -> dict[str, Any]:
    return dict(manifest.get("status") or {})


def _ready(manifest: Manifest) -> str:
    conditions = {one["type"]: one for one in _status(manifest).get("conditions") or []}
    return str((conditions.get("Ready") or {}).get("message", "no condition yet"))
