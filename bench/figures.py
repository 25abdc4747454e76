"""One measured figure, and the file that a benchmark leaves: build/bench/NAME.json. Measures nothing itself."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

FOLDER = Path("build/bench")


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """What a figure should reach: at least or at most `value`."""

    direction: Literal["at least", "at most"]
    value: float

    def __str__(self) -> str:
        return f"{self.direction} {self.value:g}"

    def met(self, value: float) -> bool:
        """Tell whether `value` reaches the goal."""
        return value >= self.value if self.direction == "at least" else value <= self.value

    @classmethod
    def parse(cls, text: str) -> Goal:
        """Return the goal that `str` wrote; raises ValueError on anything else."""
        first, second, value = text.split()
        if f"{first} {second}" == "at least":
            return cls(direction="at least", value=float(value))
        if f"{first} {second}" == "at most":
            return cls(direction="at most", value=float(value))
        raise ValueError(f"{text!r} is no goal: expected 'at least N' or 'at most N'")


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """One line of a benchmark.

    baseline: the same figure of what it is compared with, measured in the same run; None where there is nothing.
    ratio: value / baseline. The goal speaks of the ratio where there is a baseline, of the value where there is none.
    """

    figure: str
    value: float
    unit: str
    goal: Goal | None = None
    baseline: float | None = None

    @property
    def ratio(self) -> float | None:
        """How many times the baseline the value is."""
        return self.value / self.baseline if self.baseline else None

    def to_json(self) -> dict[str, object]:
        """Return the line as it stands in the file."""
        line = {**asdict(self), "goal": str(self.goal) if self.goal else None, "ratio": self.ratio}
        return {key: line[key] for key in ("figure", "value", "unit", "goal", "baseline", "ratio")}


def write(name: str, figures: Iterable[Figure]) -> Path:
    """Write build/bench/NAME.json and return its path."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    path = FOLDER / f"{name}.json"
    path.write_text(json.dumps([figure.to_json() for figure in figures], indent=2) + "\n")
    return path
