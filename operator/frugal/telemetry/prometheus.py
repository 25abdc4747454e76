"""Telemetry from Prometheus: a constant number of queries for each tick, however many workloads there are.

Queries return where counters stand and when they were scraped; what happened between two looks is made in `deltas`,
as for pods that are scraped directly, so that a missed tick loses nothing. A tick is read whole or not at all.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from datetime import datetime

from frugal.errors import TelemetryError
from frugal.loop.ports import History, ObjectKey, Reading, Workload
from frugal.telemetry.client import Asked, PrometheusClient, PrometheusSession
from frugal.telemetry.deltas import Deltas, Look, ready_pods
from frugal.telemetry.history import history
from frugal.telemetry.promql import PRESENCE, Queries, queries
from frugal.telemetry.sources.gpu import PodName
from frugal.telemetry.tick import ComputeTimes, Presence, Tick

LARGEST_SKEW_SECONDS = 60.0  # beyond it ages and staleness mean nothing

_log = logging.getLogger(__name__)


class PrometheusTelemetry:
    """The Telemetry port on a Prometheus or whatever speaks its API."""

    def __init__(self, client: PrometheusClient) -> None:
        self._client = client
        self._deltas = Deltas()
        self._computed = ComputeTimes()
        self.asked = Asked()  # of the newest tick
        self.are_recorded = False  # whether the newest tick found the recording rules

    async def read(self, workloads: tuple[Workload, ...], *, now: datetime) -> Reading:
        """Return what happened since the last call, for every workload; an outage is every workload's problem."""
        if not workloads:
            return Reading(observations={}, problems={}, ages_seconds={})
        try:
            tick = await self._tick(workloads, now)
        except TelemetryError as error:
            looks = {workload.key: Look(faults=(str(error),)) for workload in workloads}
        else:
            looks = {workload.key: _look(workload, tick, self._computed.increases) for workload in workloads}
        return self._deltas.reading(workloads, looks, source="prometheus", now=now)

    async def history(self, workloads: tuple[Workload, ...], *, now: datetime) -> Mapping[ObjectKey, History]:
        """Return what happened to workloads that nothing is known of; nothing while Prometheus cannot say."""
        try:
            async with self._client.session() as session:
                return await history(session, workloads, now=now.timestamp())
        except TelemetryError as error:
            _log.warning("what %d workloads did earlier is not known: %s", len(workloads), error)
            return {}

    async def _tick(self, workloads: tuple[Workload, ...], now: datetime) -> Tick:
        """Return where every pod stands at one moment of Prometheus' clock."""
        tick = Tick(workloads)
        async with self._client.session() as session:
            self.asked = session.asked
            presence = Presence()
            await session.instant(PRESENCE, presence.take)
            _check_clock(presence.at, now)
            self.are_recorded = presence.are_recorded
            asked = queries(workloads, are_recorded=self.are_recorded)
            await _ask_all(session, asked, tick, at=presence.at)
        self._computed.look(tick)
        return tick


async def _ask_all(session: PrometheusSession, asked: Queries, tick: Tick, *, at: float) -> None:
    answers = [
        (asked.cpu_seconds, tick.values(tick.cpu_seconds)),
        (asked.cpu_at, tick.values(tick.cpu_at)),
        (asked.memory_bytes, tick.values(tick.memory_bytes)),
        (asked.server, tick.server),
        (asked.server_at, tick.values(tick.server_at)),
        (asked.gpu, tick.gpu),
        *([(asked.declared, tick.declared)] if asked.declared else []),
    ]
    try:
        async with asyncio.TaskGroup() as group:
            for query, take in answers:
                group.create_task(session.instant(query, take, at=at))
    except* TelemetryError as failed:
        first = failed.exceptions[0]
        raise TelemetryError(str(first)) from first
    tick.end()


def _check_clock(theirs: float, now: datetime) -> None:
    """Raise TelemetryError where Prometheus' clock and the operator's tell too different times."""
    ahead = theirs - now.timestamp()
    if abs(ahead) > LARGEST_SKEW_SECONDS:
        which = "ahead of" if ahead > 0 else "behind"
        raise TelemetryError(f"Prometheus' clock is {abs(ahead):.0f} s {which} the operator's: set both by NTP")


def _look(workload: Workload, tick: Tick, computed_seconds: Mapping[PodName, float]) -> Look:
    counters, faults = {}, []
    for pod in ready_pods(workload):
        metadata = pod["metadata"]
        known = tick.counters((metadata["namespace"], metadata["name"]), computed_seconds)
        if known is None:
            faults.append(f"Prometheus has no series of pod {metadata['name']}: is it scraped?")
        else:
            counters[metadata["uid"]] = known
    return Look(counters=counters, faults=tuple(faults))
