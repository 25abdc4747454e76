"""A Telemetry whose next reading a test writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from frugal.loop.ports import History, ObjectKey, Reading, Workload


@dataclass
class FakeTelemetry:
    """Answers with `reading` and `past`, and remembers what it was asked."""

    reading: Reading = field(
        default_factory=lambda: Reading(observations={}, problems={}, ages_seconds={}),
    )
    past: dict[ObjectKey, History | None] = field(default_factory=dict)
    asked: list[tuple[Workload, ...]] = field(default_factory=list)
    asked_history: list[ObjectKey] = field(default_factory=list)

    async def read(self, workloads: tuple[Workload, ...], *, now: datetime) -> Reading:
        self.asked.append(workloads)
        return self.reading

    async def history(self, workloads: tuple[Workload, ...], *, now: datetime) -> dict[ObjectKey, History]:
        self.asked_history += [one.key for one in workloads]
        return {one.key: past for one in workloads if (past := self.past.get(one.key, ())) is not None}
