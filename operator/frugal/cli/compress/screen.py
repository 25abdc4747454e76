"""What a person sees of a compression while it runs and at its end, and the summary that a program reads."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from frugal.api.result import Candidate, CompressionResult, ModelFigures, ProgressLine, Report, ResultVerdict
from frugal.cli.compress.process import local_path
from frugal.units import duration_text, size_text

SHOWN_CANDIDATES = 12


@dataclass(slots=True)
class Screen:
    """Progress on standard error, so that standard output stays the program's."""

    name: str
    live: bool
    console: Console = field(default_factory=lambda: Console(stderr=True))
    candidates: list[Candidate] = field(default_factory=list)
    phase: str = "Starting"
    message: str = ""
    eta_seconds: float | None = None
    _live: Live | None = None
    _start: float = field(default_factory=time.monotonic)

    def __enter__(self) -> Screen:
        if self.live and self.console.is_terminal:
            self._live = Live(get_renderable=self.shown, console=self.console, refresh_per_second=2)
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()

    def tell(self, line: ProgressLine) -> None:
        """Take in one line of progress; where nothing is live, print it."""
        if line.phase is not None:
            self.phase, self.message = line.phase, line.message
        if line.candidate is not None:
            self.candidates.append(line.candidate)
        self.eta_seconds = line.eta_seconds if line.eta_seconds is not None else self.eta_seconds
        noted = line.kind in ("advice", "warning")
        if self._live is None:
            self.console.print(Text(f"{line.at:7.1f}s {said(line)}"), soft_wrap=True)
        elif noted:
            self.console.print(Text(f"{line.kind}: {line.message}", style="yellow" if line.kind == "warning" else ""))

    def shown(self) -> RenderableType:
        """Return the picture of this moment."""
        left = (
            f", about {duration_text(self.eta_seconds)} left" if self.eta_seconds and self.phase == "Searching" else ""
        )
        head = Text(
            f"{self.name}: {self.phase} ({duration_text(round(time.monotonic() - self._start))}{left}) {self.message}"
        )
        return Group(head, table_of(self.candidates[-SHOWN_CANDIDATES:])) if self.candidates else head

    def stopped(self) -> None:
        """Say that the work was stopped, and can go on."""
        self.console.print(Text(f"{self.name}: stopped; the same command goes on from here"))

    def verdict(self, result: CompressionResult) -> None:
        """Print how it ended, on standard output."""
        out = Console()
        color = "green" if result.verdict is ResultVerdict.SUCCEEDED else "red"
        out.print(Text(result.verdict.value, style=f"bold {color}"), Text(result.message), soft_wrap=True)
        for artifact in result.artifacts:
            note = "" if artifact.verified else " (not verified)"
            place = shown_place(artifact.uri)
            out.print(Text(f"{artifact.target}: {place}, {size_text(artifact.size_bytes)}{note}"), soft_wrap=True)
        if result.report_uri:
            page = shown_place(result.report_uri).removesuffix("report.json") + "report.html"
            out.print(Text(f"report: {page}"), soft_wrap=True)


def table_of(candidates: list[Candidate]) -> Table:
    """Return the candidates as the search measured them."""
    table = Table("candidate", "points lost", "smaller", "faster", "verdict", box=None)
    for one in candidates:
        table.add_row(
            one.technique, f"{one.loss:+.2f}", f"{one.size_ratio:.2f}x", f"{one.latency_ratio:.2f}x", one.verdict
        )
    return table


def said(line: ProgressLine) -> str:
    """Return one line of progress as a sentence."""
    if line.candidate is not None:
        one = line.candidate
        return (
            f"[{line.trials}/{line.of}] {one.technique}: {one.loss:+.2f} points, {one.size_ratio:.2f}x smaller, "
            f"{one.latency_ratio:.2f}x as fast; {one.verdict}"
        )
    if line.baseline is not None:
        return f"original: {_figures(line.baseline)}"
    return f"{line.phase or line.kind}: {line.message}"


def _figures(figures: ModelFigures) -> str:
    parts = [
        f"accuracy {100 * figures.accuracy:.2f} %" if figures.accuracy is not None else "",
        f"metric {figures.metric:.4f}" if figures.metric is not None else "",
        size_text(figures.size_bytes) if figures.size_bytes else "",
        f"{1000 * figures.latency_p50_seconds:.3f} ms" if figures.latency_p50_seconds else "",
    ]
    return ", ".join(part for part in parts if part)


def shown_place(uri: str) -> str:
    """Return the path of a file of this machine, or the URI."""
    path = local_path(uri)
    return uri if path is None else str(path)


def summary(result: CompressionResult, report: Report | None) -> dict[str, Any]:
    """Return report.json's summary: the result, each artifact with its path, and what reproduces it."""
    content = result.to_json()
    for artifact in content.get("artifacts", []):
        artifact["path"] = shown_place(artifact["uri"])
    if result.report_uri:
        content["reportPath"] = shown_place(result.report_uri)
    if report is not None:
        content["pipeline"] = report.pipeline
        content["warnings"] = report.warnings
        content["front"] = [candidate.to_json() for candidate in report.front]
    return content
