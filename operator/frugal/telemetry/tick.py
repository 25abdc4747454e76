"""One tick's answers of Prometheus, added up to where every pod stands. Asks nobody."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from frugal.loop.ports import Workload
from frugal.telemetry.answer import Series
from frugal.telemetry.counters import PodCounters, PodTally
from frugal.telemetry.exposition import is_measurement
from frugal.telemetry.sources.custom import declared
from frugal.telemetry.sources.gpu import Cards, PodName
from frugal.telemetry.sources.registry import RUNTIMES

# Who scraped a series, or which of two equal Prometheus servers: never what tells two series of a runtime apart.
_SCRAPERS = frozenset({"instance", "job", "endpoint", "service", "prometheus", "prometheus_replica", "replica"})


class Presence:
    """The answer to the first query: which rules there are, and what the time is."""

    def __init__(self) -> None:
        self.at = 0.0
        self.are_recorded = False

    def take(self, series: Iterable[Series]) -> None:
        """Take the one series of the answer."""
        for one in series:
            self.at = float(one["value"][0])
            self.are_recorded = value_of(one) > 0


class Tick:
    """Where the pods of `workloads` stand, filled from the answers as they come."""

    def __init__(self, workloads: Iterable[Workload]) -> None:
        self.cards = Cards()
        self.cpu_seconds: dict[PodName, float] = {}
        self.cpu_at: dict[PodName, float] = {}
        self.memory_bytes: dict[PodName, float] = {}
        self.server_at: dict[PodName, float] = {}
        self._tallies: dict[PodName, PodTally] = {}
        self._declared: dict[PodName, dict[tuple[object, ...], tuple[str, Mapping[str, str], float]]] = {}
        for workload in workloads:
            runtimes = (declared(workload.metrics),) if workload.metrics is not None else RUNTIMES
            for pod in workload.pods:
                self._tallies[pod["metadata"]["namespace"], pod["metadata"]["name"]] = PodTally(runtimes)

    def values(self, into: dict[PodName, float]) -> Callable[[Iterable[Series]], None]:
        """Return how to take an answer of one series for each pod."""

        def take(found: Iterable[Series]) -> None:
            for series in found:
                labels, value = series["metric"], value_of(series)
                name = labels.get("namespace", ""), labels.get("pod", "")
                if name in self._tallies and is_measurement(value):
                    into[name] = value

        return take

    def server(self, found: Iterable[Series]) -> None:
        """Take series of servers that are known by name."""
        for series in found:
            labels, value = series["metric"], value_of(series)
            tally = self._tallies.get((labels.get("namespace", ""), labels.get("pod", "")))
            if tally is not None and is_measurement(value):
                tally.add(labels["__name__"], labels, value)

    def declared(self, found: Iterable[Series]) -> None:
        """Take series that users declare: whatever their labels are, two that differ in the scraper alone are one."""
        for series in found:
            labels, value = series["metric"], value_of(series)
            pod = labels.get("namespace", ""), labels.get("pod", "")
            if pod not in self._tallies or not is_measurement(value):
                continue
            identity = tuple(sorted(item for item in labels.items() if item[0] not in _SCRAPERS))
            known = self._declared.setdefault(pod, {})
            before = known.get(identity)
            known[identity] = (labels["__name__"], labels, value if before is None else max(before[2], value))

    def gpu(self, found: Iterable[Series]) -> None:
        """Take series of cards, those of other people's pods too: they may share a card with ours."""
        for series in found:
            labels, value = series["metric"], value_of(series)
            if is_measurement(value):
                self.cards.add(labels["__name__"], labels, value)

    def end(self) -> None:
        """Add up what could not be before every series was there."""
        for pod, known in self._declared.items():
            for name, labels, value in known.values():
                self._tallies[pod].add(name, labels, value)
        self._declared.clear()

    def counters(self, pod: PodName, computed_seconds: Mapping[PodName, float]) -> PodCounters | None:
        """Return where a pod stands, or None where Prometheus has nothing of it.

        Where the kubelet's own figures (cAdvisor) are there, they replace what the process says of itself: they count
        every process of the container, and memory as the kernel's out-of-memory killer does.
        """
        at = self.server_at.get(pod) or self.cpu_at.get(pod)
        tally = self._tallies.get(pod)
        if at is None or tally is None:
            return None
        known = tally.counters(_moment(at))
        if pod in self.cpu_seconds and pod in self.cpu_at:
            known = replace(known, cpu_seconds=self.cpu_seconds[pod], cpu_at=_moment(self.cpu_at[pod]))
        if pod in self.memory_bytes:
            known = replace(known, memory_bytes=int(self.memory_bytes[pod]))
        gpus = self.cards.use(pod, computed_seconds)
        if gpus is None:
            return known
        return replace(
            known,
            gpu_ratio=gpus.ratio,
            gpu_memory_bytes=gpus.memory_bytes,
            gpu_source=gpus.source,
            problem=gpus.problem,
        )

    def compute_seconds(self, pod: PodName) -> float | None:
        """Return for how long a pod has computed, by its own server."""
        tally = self._tallies.get(pod)
        return tally.counters(_moment(0)).compute_seconds if tally is not None else None


class ComputeTimes:
    """For how long the pods on shared cards computed between two looks: by it a card's activity is shared out."""

    def __init__(self) -> None:
        self._stood: dict[PodName, float] = {}
        self.increases: Mapping[PodName, float] = {}

    def look(self, tick: Tick) -> None:
        """Take a new look; a pod seen for the first time has no increase yet."""
        stand = {pod: at for pod in tick.cards.shared_pods() if (at := tick.compute_seconds(pod)) is not None}
        self.increases = {
            pod: at - self._stood[pod] if at >= self._stood[pod] else at
            for pod, at in stand.items()
            if pod in self._stood
        }
        self._stood = stand


def value_of(series: Series) -> float:
    """Return the value of a series of an instant query; NaN where it is none."""
    try:
        return float(series["value"][1])
    except ValueError:
        return math.nan


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)
