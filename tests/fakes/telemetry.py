"""A Telemetry whose next reading a test writes."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime

from frugal.loop.ports import Reading, Workload


@dataclass
class FakeTelemetry:
    """Answers with `reading`, and remembers what it was asked."""

    reading: Reading = field(
        default_factory=lambda: Reading(observations={}, problems={}, ages_seconds={}),
    )
    asked: list[tuple[Workload, ...]] = field(default_factory=list)

    async def read(self, workloads: tuple[Workload, ...], *, now: datetime) -> Reading:
        self.asked.append(workloads)
        return self.reading
