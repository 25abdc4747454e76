"""How many requests kept a latency objective: counts per hour for a day, per day for a month. Counts, no model."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from frugal.sizing.samples import LoadSample

HOUR_SECONDS = 3_600
DAY_SECONDS = 86_400
HOURS_KEPT = 24
FOREVER_SECONDS = 2**62
DAYS_KEPT = 31  # api: the longest usual objective's window is 30 d

Edges = tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class Slot:
    """What happened in one hour or one day; `counts` are cumulative, one for each edge of its history."""

    start_seconds: int
    requests: float
    failed: float
    counts: tuple[float, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class LatencyHistory:
    """Cumulative latency counts of whole requests; `edges` are the newest sample's, in seconds, ascending."""

    edges: Edges = ()
    hours: tuple[Slot, ...] = ()
    days: tuple[Slot, ...] = ()
    lifetime: tuple[Slot, ...] = ()  # at most one, since the first sample; counters are made of it

    def add(self, load: LoadSample) -> LatencyHistory:
        """Return the history with one more sample; one whose latencies were not measured says nothing here."""
        if not load.requests or not load.latency_buckets:
            return self
        edges = tuple(edge for edge, _ in load.latency_buckets)
        moment = int(load.at.timestamp())
        counts = tuple(float(count) for _, count in load.latency_buckets)
        aligned = self if edges == self.edges else self._with_edges(edges)
        return LatencyHistory(
            edges=edges,
            hours=_added(aligned.hours, moment, HOUR_SECONDS, HOURS_KEPT, load, counts),
            days=_added(aligned.days, moment, DAY_SECONDS, DAYS_KEPT, load, counts),
            lifetime=_added(aligned.lifetime, moment, FOREVER_SECONDS, 1, load, counts),
        )

    def requests(self, *, window_seconds: float, now: datetime) -> float:
        """Return how many requests were answered in the window, whole hours or whole days."""
        return sum(slot.requests for slot in self._slots(window_seconds, now))

    def failed(self, *, window_seconds: float, now: datetime) -> float:
        """Return how many of them failed."""
        return sum(slot.failed for slot in self._slots(window_seconds, now))

    def within(self, threshold_seconds: float, *, window_seconds: float, now: datetime) -> float:
        """Return how many surely took at most `threshold_seconds`: those up to the last edge that is not above it."""
        return self._within(threshold_seconds, self._slots(window_seconds, now))

    def lifetime_within(self, threshold_seconds: float) -> tuple[float, float]:
        """Return how many requests were within the threshold and how many were not, since the first sample."""
        met = self._within(threshold_seconds, self.lifetime)
        return met, sum(slot.requests for slot in self.lifetime) - met

    def share_within(self, threshold_seconds: float, *, window_seconds: float, now: datetime) -> float | None:
        """Return the share of requests within the threshold, or None when there was no request."""
        requests = self.requests(window_seconds=window_seconds, now=now)
        return self.within(threshold_seconds, window_seconds=window_seconds, now=now) / requests if requests else None

    def quantile_seconds(self, quantile: float, *, window_seconds: float, now: datetime) -> float | None:
        """Return the edge within which the share `quantile` of the requests was answered.

        None when there was no request, or when that latency lies above the highest edge.
        """
        slots = self._slots(window_seconds, now)
        wanted = quantile * sum(slot.requests for slot in slots)
        if not wanted:
            return None
        reached = (edge for i, edge in enumerate(self.edges) if sum(slot.counts[i] for slot in slots) >= wanted)
        return next(reached, None)

    def to_json(self) -> dict[str, Any]:
        """Return the history compactly, counts as whole numbers."""
        return {
            "edges": list(self.edges),
            "hours": [_slot_to_json(slot) for slot in self.hours],
            "days": [_slot_to_json(slot) for slot in self.days],
            "lifetime": [_slot_to_json(slot) for slot in self.lifetime],
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> LatencyHistory:
        """Return what `to_json` saved."""
        return cls(
            edges=tuple(float(edge) for edge in saved["edges"]),
            hours=tuple(_slot_from_json(slot) for slot in saved["hours"]),
            days=tuple(_slot_from_json(slot) for slot in saved["days"]),
            lifetime=tuple(_slot_from_json(slot) for slot in saved["lifetime"]),
        )

    def _within(self, threshold_seconds: float, slots: tuple[Slot, ...]) -> float:
        index = bisect_right(self.edges, threshold_seconds * (1 + 1e-9)) - 1
        return 0.0 if index < 0 else sum(slot.counts[index] for slot in slots)

    def _slots(self, window_seconds: float, now: datetime) -> tuple[Slot, ...]:
        slots, length = (
            (self.hours, HOUR_SECONDS) if window_seconds <= HOURS_KEPT * HOUR_SECONDS else (self.days, DAY_SECONDS)
        )
        oldest = now.timestamp() - window_seconds - length
        return tuple(slot for slot in slots if slot.start_seconds > oldest)

    def _with_edges(self, edges: Edges) -> LatencyHistory:
        """Carry old counts to new edges: what was surely within a new edge is what an old edge below it counted."""
        sources = [bisect_right(self.edges, edge) - 1 for edge in edges]

        def carried(slot: Slot) -> Slot:
            counts = tuple(slot.counts[source] if source >= 0 else 0.0 for source in sources)
            return Slot(start_seconds=slot.start_seconds, requests=slot.requests, failed=slot.failed, counts=counts)

        hours, days, lifetime = (tuple(map(carried, slots)) for slots in (self.hours, self.days, self.lifetime))
        return LatencyHistory(edges=edges, hours=hours, days=days, lifetime=lifetime)


def _added(
    slots: tuple[Slot, ...], moment: int, length: int, kept: int, load: LoadSample, counts: tuple[float, ...]
) -> tuple[Slot, ...]:
    start = moment - moment % length
    fresh = Slot(start_seconds=start, requests=load.requests, failed=load.failed, counts=counts)
    if slots and slots[-1].start_seconds >= start:
        last = slots[-1]
        fresh = Slot(
            start_seconds=last.start_seconds,
            requests=last.requests + fresh.requests,
            failed=last.failed + fresh.failed,
            counts=tuple(a + b for a, b in zip(last.counts, counts, strict=True)),
        )
        slots = slots[:-1]
    return (*(slot for slot in slots if slot.start_seconds > start - kept * length), fresh)


def _slot_to_json(slot: Slot) -> list[int]:
    return [slot.start_seconds, round(slot.requests), round(slot.failed), *(round(count) for count in slot.counts)]


def _slot_from_json(saved: list[int]) -> Slot:
    start, requests, failed, *counts = saved
    return Slot(start_seconds=start, requests=requests, failed=failed, counts=tuple(map(float, counts)))
