"""Progress as JSON lines on standard output, each flushed, so that the operator sees it live. Knows no log levels."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TextIO

from frugal.api.result import Best, Candidate, ModelFigures, ProgressLine

Phase = Literal["Estimating", "Searching", "Verifying", "Publishing"]


@dataclass(slots=True)
class Progress:
    """Writes ProgressLines to `stream`; `clock` is monotonic, in seconds."""

    stream: TextIO
    clock: Callable[[], float] = time.monotonic
    warnings: list[str] = field(default_factory=list)
    _start: float = 0.0

    def __post_init__(self) -> None:
        self._start = self.clock()

    def phase(self, phase: Phase, message: str = "") -> None:
        """Say that a phase begins."""
        self._write(ProgressLine(kind="phase", at=self._at(), phase=phase, message=message))

    def advice(self, message: str) -> None:
        """Say what the model's structure suggests."""
        self._write(ProgressLine(kind="advice", at=self._at(), message=message))

    def baseline(self, figures: ModelFigures) -> None:
        """Say what the original measures."""
        self._write(ProgressLine(kind="baseline", at=self._at(), baseline=figures))

    def trial(self, candidate: Candidate, *, trials: int, of: int, eta_seconds: float, best: Best | None) -> None:
        """Say what one more candidate measures, and how far the search is."""
        self._write(
            ProgressLine(
                kind="trial", at=self._at(), candidate=candidate, trials=trials, of=of,
                eta_seconds=round(eta_seconds, 1), best=best, message=f"{candidate.technique}: {candidate.verdict}",
            )
        )  # fmt: skip

    def warning(self, message: str) -> None:
        """Say what goes less well than asked, and keep it for the report."""
        self.warnings.append(message)
        self._write(ProgressLine(kind="warning", at=self._at(), message=message))

    def _at(self) -> float:
        return round(self.clock() - self._start, 3)

    def _write(self, line: ProgressLine) -> None:
        self.stream.write(json.dumps(line.to_json(), separators=(",", ":")) + "\n")
        self.stream.flush()
