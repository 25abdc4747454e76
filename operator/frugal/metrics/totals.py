"""Counters made from successive snapshots: money, objective, actions. They start at 0 in each process and never fall.

A counter that resumed from a stored value would be counted twice by `increase()`; the totals that last stand in status.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from decimal import Decimal

from frugal.metrics.snapshot import FleetSnapshot, InferenceFigures
from frugal.pricing.cost import hours_between

Key = tuple[str, str]  # namespace, name


@dataclass(slots=True)
class ObjectTotals:
    """What one InferenceDeployment has added up to."""

    cost: dict[tuple[str, str], Decimal] = field(default_factory=dict)  # by (resource, currency)
    saved: dict[str, Decimal] = field(default_factory=dict)  # by currency
    met: float = 0.0
    missed: float = 0.0
    actions: dict[str, int] = field(default_factory=dict)
    blocked: dict[str, int] = field(default_factory=dict)


class Totals:
    """Adds up what happened between the snapshots that it is shown; what left the fleet is forgotten."""

    def __init__(self) -> None:
        self._previous: FleetSnapshot | None = None
        self._totals: dict[Key, ObjectTotals] = {}

    def advance(self, snapshot: FleetSnapshot) -> dict[Key, ObjectTotals]:
        """Return the totals as of `snapshot`; the same snapshot again, or an older one, adds nothing."""
        before = {_key(one): one for one in self._previous.inferences} if self._previous else {}
        if self._previous is not None and snapshot.at <= self._previous.at:
            return self._totals
        hours = hours_between(self._previous.at, snapshot.at) if self._previous else Decimal(0)
        self._totals = {_key(one): self._totals.get(_key(one), ObjectTotals()) for one in snapshot.inferences}
        for figures in snapshot.inferences:
            total, was = self._totals[_key(figures)], before.get(_key(figures))
            _begin(total, figures)
            if was is not None:
                _add_money(total, was, hours)
                _add_events(total, was, figures)
        self._previous = snapshot
        return self._totals


def _begin(total: ObjectTotals, now: InferenceFigures) -> None:
    """A counter shows 0 before it counts, so that its first step is seen."""
    for resource in now.hourly:
        total.cost.setdefault((resource, now.currency), Decimal(0))
    if now.saved_hourly is not None:
        total.saved.setdefault(now.currency, Decimal(0))


def _add_money(total: ObjectTotals, was: InferenceFigures, hours: Decimal) -> None:
    """Until this moment it cost what the earlier snapshot said."""
    for resource, rate in was.hourly.items():
        total.cost[resource, was.currency] += rate * hours
    if was.saved_hourly is not None:
        total.saved[was.currency] += max(Decimal(0), was.saved_hourly) * hours


def _add_events(total: ObjectTotals, was: InferenceFigures, now: InferenceFigures) -> None:
    total.met += _risen(was.slo_met, now.slo_met)
    total.missed += _risen(was.slo_missed, now.slo_missed)
    if was.applied_since and now.applied_since != was.applied_since:
        action = _action(was, now)
        total.actions[action] = total.actions.get(action, 0) + 1
    if now.held_back and now.held_back != was.held_back:
        total.blocked[now.held_back] = total.blocked.get(now.held_back, 0) + 1


def _action(was: InferenceFigures, now: InferenceFigures) -> str:
    before, after = was.applied, now.applied
    if before is None or after is None:
        return "scale"
    if after.cpu_cores > before.cpu_cores or after.memory_bytes > before.memory_bytes:
        return "grow"
    is_smaller = after.cpu_cores < before.cpu_cores or after.memory_bytes < before.memory_bytes
    return "shrink" if is_smaller else "scale"


def _risen(before: float | None, now: float | None) -> float:
    return 0.0 if before is None or now is None else max(0.0, now - before)


def _key(figures: InferenceFigures) -> Key:
    return figures.namespace, figures.name
