"""The load of the last week, coarser with age, and what it says: highest recent loads, and those at this time of day.

An hour minute by minute, a week in maxima of five minutes: small enough to be saved with a workload's state.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from frugal.sizing.waiting import Floats

HOUR = 60
BUCKET_MINUTES = 5
BUCKETS_A_DAY = 1_440 // BUCKET_MINUTES
DAYS = 7
WIDEST_BUCKETS = 18  # the widest look around a time of day: an hour and a half


@dataclass(slots=True, kw_only=True)
class RecentLoad:
    """Loads (mean requests in service), oldest first.

    minutes: of the last hour. buckets: highest of each five minutes of the last week and a little more. open_bucket:
    highest of the five minutes that are not over, of which `open_minutes` are. mean: of all minutes seen, with equal
    weights up to a week.
    """

    minutes: list[float] = field(default_factory=list)
    buckets: list[float] = field(default_factory=list)
    open_bucket: float = 0.0
    open_minutes: int = 0
    mean: float = 0.0
    seen_minutes: int = 0

    def add(self, load: float) -> None:
        """Take in the load of one more minute."""
        self.minutes = [*self.minutes[-HOUR + 1 :], load]
        self.seen_minutes += 1
        self.mean += (load - self.mean) / min(self.seen_minutes, DAYS * 1_440)
        self.open_bucket, self.open_minutes = max(self.open_bucket, load), self.open_minutes + 1
        if self.open_minutes == BUCKET_MINUTES:
            self.buckets.append(self.open_bucket)
            del self.buckets[: -(DAYS * BUCKETS_A_DAY + WIDEST_BUCKETS)]
            self.open_bucket, self.open_minutes = 0.0, 0

    def highest(self, holds_minutes: tuple[int, ...]) -> Floats:
        """Return the highest load of the last so many minutes, for each hold; longer than an hour to five minutes."""
        return np.array([self._highest(hold) for hold in holds_minutes])

    def around_now(self, days: int, around_minutes: int) -> float:
        """Return the highest load at this time of day, give or take, on the last `days` days; 0 where none is known."""
        half = around_minutes // BUCKET_MINUTES
        found = 0.0
        for day in range(1, days + 1):
            now = len(self.buckets) - day * BUCKETS_A_DAY
            if now + half < 0:
                break
            found = max(found, *self.buckets[max(0, now - half) : now + half + 1], 0.0)
        return found

    def _highest(self, hold: int) -> float:
        recent = max(self.minutes[-hold:], default=0.0)
        older = max(self.buckets[-(hold // BUCKET_MINUTES) :], default=0.0) if hold > HOUR else 0.0
        return max(recent, older)

    def to_json(self) -> dict[str, Any]:
        """Return it exactly."""
        return {
            "minutes": self.minutes,
            "buckets": self.buckets,
            "open": [self.open_bucket, self.open_minutes],
            "mean": [self.mean, self.seen_minutes],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> RecentLoad:
        """Return what `to_json` saved."""
        return cls(
            minutes=[float(one) for one in saved["minutes"]],
            buckets=[float(one) for one in saved["buckets"]],
            open_bucket=float(saved["open"][0]),
            open_minutes=int(saved["open"][1]),
            mean=float(saved["mean"][0]),
            seen_minutes=int(saved["mean"][1]),
        )
