"""How many requests came: a decaying histogram of the rate of each minute, and the last hour minute by minute.

The histogram says what is usual, the last hour holds what just happened, so that a jump counts at once and for an hour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from frugal.sizing.histogram import REQUESTS_PER_SECOND, Histogram

MINUTE_SECONDS = 60
HOLD_MINUTES = 60  # a peak holds capacity for an hour: longer than HPA's 5 min, for jumps come in groups


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """Rates in requests per second.

    minutes: the closed minutes counted so far, idle ones included.
    recent: (minute since the epoch, rate) of the last hour's closed minutes, oldest first.
    open_minute, open_requests, open_seconds: what was measured of the minute that is not over.
    """

    histogram: Histogram
    minutes: int = 0
    recent: tuple[tuple[int, float], ...] = ()
    open_minute: int | None = None
    open_requests: float = 0.0
    open_seconds: float = 0.0

    @classmethod
    def empty(cls) -> Rates:
        return cls(histogram=Histogram.empty(REQUESTS_PER_SECOND))

    @property
    def is_empty(self) -> bool:
        """Whether no load was ever measured."""
        return self.open_minute is None

    def add(self, requests: float, *, seconds: float, at: datetime) -> Rates:
        """Return the rates with `requests` more, that came in the `seconds` up to `at`.

        An interval belongs whole to the minute of its middle; one older than the open minute is dropped.
        """
        minute = int(at.timestamp() - seconds / 2) // MINUTE_SECONDS
        if self.open_minute is not None and minute < self.open_minute:
            return self
        if self.open_minute == minute:
            return replace(self, open_requests=self.open_requests + requests, open_seconds=self.open_seconds + seconds)
        return self._with_next(minute, requests, seconds)

    def peak(self, quantile: float) -> float:
        """Return the higher of the `quantile` of all minutes and the last hour's highest minute; there must be one."""
        held = [rate for _, rate in self.recent]
        held.append(self._open_rate())
        return max(self.usual(quantile), *held)

    def usual(self, quantile: float) -> float:
        """Return the `quantile` of the rates of all minutes; 0 where a minute is idle or none is over yet."""
        if self.histogram.is_empty:
            return 0.0
        rate = self.histogram.percentile(quantile)
        return rate if rate > REQUESTS_PER_SECOND.first else 0.0  # the first bucket holds the idle minutes

    def last(self) -> float:
        """Return the newest minute's rate."""
        return self._open_rate()

    def to_json(self) -> dict[str, Any]:
        """Return the rates compactly, each to four digits."""
        if self.open_minute is None:
            return {}
        recent = [[minute, float(f"{rate:.4g}")] for minute, rate in self.recent]
        opened = [self.open_minute, self.open_requests, self.open_seconds]
        return {"histogram": self.histogram.to_json(), "minutes": self.minutes, "recent": recent, "open": opened}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Rates:
        """Return what `to_json` saved."""
        if not saved:
            return cls.empty()
        minute, requests, seconds = saved["open"]
        return cls(
            histogram=Histogram.from_json(saved["histogram"], REQUESTS_PER_SECOND),
            minutes=int(saved["minutes"]),
            recent=tuple((int(minute), float(rate)) for minute, rate in saved["recent"]),
            open_minute=int(minute),
            open_requests=float(requests),
            open_seconds=float(seconds),
        )

    def _open_rate(self) -> float:
        return self.open_requests / self.open_seconds if self.open_seconds else 0.0

    def _with_next(self, minute: int, requests: float, seconds: float) -> Rates:
        """Close the open minute, if there is one, and open the next."""
        if self.open_minute is None:
            return replace(self, open_minute=minute, open_requests=requests, open_seconds=seconds)
        rate = self._open_rate()
        at = datetime.fromtimestamp(self.open_minute * MINUTE_SECONDS, tz=UTC)
        oldest = self.open_minute - HOLD_MINUTES
        first = next((i for i, (held, _) in enumerate(self.recent) if held > oldest), len(self.recent))
        return Rates(
            histogram=self.histogram.add(rate, at=at),
            minutes=self.minutes + 1,
            recent=(*self.recent[first:], (self.open_minute, rate)),
            open_minute=minute,
            open_requests=requests,
            open_seconds=seconds,
        )
