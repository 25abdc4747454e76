"""What workloads did before this process began, from Prometheus: for those whose checkpoint is lost.

The past is replayed step by step through the same differences as the present, so that both teach the same.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime

from frugal.decisions.snapshot import Manifest
from frugal.loop.ports import ObjectKey, Workload
from frugal.sizing.samples import Observation
from frugal.telemetry.answer import Series
from frugal.telemetry.client import PrometheusSession
from frugal.telemetry.deltas import Deltas, Look
from frugal.telemetry.owners import pod_names
from frugal.telemetry.promql import past_queries
from frugal.telemetry.tick import Tick

HISTORY_SECONDS = 24 * 3600
STEP_SECONDS = 300  # a mean over more hides peaks; 288 points of about 25 series for each pod

Take = Callable[[Iterable[Series]], None]


async def history(
    session: PrometheusSession, workloads: Sequence[Workload], *, now: float, seconds: int = HISTORY_SECONDS
) -> dict[ObjectKey, tuple[Observation, ...]]:
    """Return what happened to each workload in the time before `now` (Unix seconds), oldest first.

    Raises TelemetryError. What pods on shared cards did there is not known: their neighbours are not asked for.
    """
    patterns = {one.key: pod_names(one.pods) for one in workloads}
    asked = past_queries(workloads, pods="|".join(patterns.values()), step_seconds=STEP_SECONDS)
    start = now - seconds

    async def ask(query: str, take: Take) -> None:
        await session.range(query, take, start=start, end=now, step_seconds=STEP_SECONDS)

    seen = Names()
    for query in (asked.server_at, asked.cpu_at):
        await ask(query, seen.take)
    described = [_with_former_pods(one, patterns[one.key], seen.names) for one in workloads]
    ticks = [Tick(described) for _ in range(seconds // STEP_SECONDS + 1)]
    answers: list[tuple[str, Callable[[Tick], Take]]] = [
        (asked.cpu_seconds, lambda tick: tick.values(tick.cpu_seconds)),
        (asked.cpu_at, lambda tick: tick.values(tick.cpu_at)),
        (asked.memory_bytes, lambda tick: tick.values(tick.memory_bytes)),
        (asked.server, lambda tick: tick.server),
        (asked.server_at, lambda tick: tick.values(tick.server_at)),
        (asked.gpu, lambda tick: tick.gpu),
        (asked.declared, lambda tick: tick.declared),
    ]
    for query, into in answers:
        if query:
            await ask(query, _by_step(ticks, into, start))
    return _replayed(described, ticks, start)


class Names:
    """The pods that some series speaks of."""

    def __init__(self) -> None:
        self.names: set[tuple[str, str]] = set()

    def take(self, found: Iterable[Series]) -> None:
        """Take the series of one answer."""
        self.names |= {(one["metric"].get("namespace", ""), one["metric"].get("pod", "")) for one in found}


def _with_former_pods(workload: Workload, pattern: str, names: Iterable[tuple[str, str]]) -> Workload:
    own = re.compile(pattern)
    found = [name for space, name in sorted(names) if space == workload.key.namespace and own.fullmatch(name)]
    pods = tuple(_pod(workload.key.namespace, name) for name in found)
    return Workload(key=workload.key, pods=pods, metrics=workload.metrics)


def _pod(namespace: str, name: str) -> Manifest:
    return {"metadata": {"namespace": namespace, "name": name, "uid": name}}


def _by_step(ticks: Sequence[Tick], into: Callable[[Tick], Take], start: float) -> Take:
    """Return how to hand each point of a range's series to the tick of its step."""
    takes = [into(tick) for tick in ticks]

    def take(found: Iterable[Series]) -> None:
        for series in found:
            for moment, value in series["values"]:
                step = round((moment - start) / STEP_SECONDS)
                takes[step]([{"metric": series["metric"], "value": (moment, value)}])

    return take


def _replayed(
    workloads: Sequence[Workload], ticks: Sequence[Tick], start: float
) -> dict[ObjectKey, tuple[Observation, ...]]:
    deltas = Deltas()
    told: dict[ObjectKey, list[Observation]] = {one.key: [] for one in workloads}
    for step, tick in enumerate(ticks):
        tick.end()
        looks = {one.key: _look(one, tick) for one in workloads}
        now = datetime.fromtimestamp(start + step * STEP_SECONDS, tz=UTC)
        reading = deltas.reading(workloads, looks, source="prometheus", now=now)
        for key, observation in reading.observations.items():
            told[key].append(observation)
    return {key: tuple(observations) for key, observations in told.items()}


def _look(workload: Workload, tick: Tick) -> Look:
    """Return where the pods stood that there were at this step."""
    nothing: Mapping[tuple[str, str], float] = {}
    names = ((workload.key.namespace, pod["metadata"]["name"]) for pod in workload.pods)
    stood = {name[1]: counters for name in names if (counters := tick.counters(name, nothing)) is not None}
    return Look(counters=stood)
