"""From where pods stand at two moments to what happened between them: the same for every source of counters."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TypeVar

from frugal.decisions.snapshot import Manifest
from frugal.loop.ports import ObjectKey, Reading, Workload
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from frugal.telemetry.counters import PodCounters
from frugal.telemetry.kills import Kills

LONGEST_INTERVAL_SECONDS = 600.0  # a mean over more than that hides the peaks that sizing is about

Uid = str
Key = TypeVar("Key", str, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look at one workload: where its ready pods stand, and why others could not be read."""

    counters: Mapping[Uid, PodCounters] = field(default_factory=dict)
    faults: tuple[str, ...] = ()


class Deltas:
    """Remembers where every pod stood at the last look."""

    def __init__(self) -> None:
        self._pods: dict[ObjectKey, Mapping[Uid, PodCounters]] = {}
        self._answered: dict[ObjectKey, frozenset[Uid]] = {}  # at the last look
        self._kills = Kills()

    def reading(
        self, workloads: Sequence[Workload], looks: Mapping[ObjectKey, Look], *, source: str, now: datetime
    ) -> Reading:
        """Return what happened since the last call; what is not in `workloads` any more is forgotten."""
        self._keep_only(workloads)
        observations, problems = {}, {}
        for workload in workloads:
            look = looks.get(workload.key) or Look()
            observation = self._observe(workload, look)
            if observation is not None:
                observations[workload.key] = observation
            if problem := _problem(look):
                problems[workload.key] = problem
        newest = [max(one.at for one in pods.values()) for pods in self._pods.values() if pods]
        # A sample may be scraped after `now` was taken and before it was read: that is no negative age.
        ages = {source: max(0.0, (now - min(newest)).total_seconds())} if newest else {}
        return Reading(observations=observations, problems=problems, ages_seconds=ages)

    def _observe(self, workload: Workload, look: Look) -> Observation | None:
        """Return what happened since the last look, or None when that cannot be told yet.

        The load is that of all pods or unknown: what one of them did would be missing in it.
        """
        killed = self._kills.new(workload.pods)
        before, answered = self._pods.get(workload.key), self._answered.get(workload.key, frozenset())
        if before is not None and not all(_is_newer(uid, one, before) for uid, one in look.counters.items()):
            return _told(killed)  # Prometheus scrapes pods at different moments: wait for the last of them
        self._remember(workload, look)
        if before is None or not look.counters:
            return _told(killed)
        pods = look.counters.items()
        usage = tuple(sample for uid, one in pods if (sample := _usage(before.get(uid), one)) is not None)
        is_whole = not look.faults and not before.keys() & look.counters.keys() - answered
        load = _load(before, look.counters) if is_whole else None
        return Observation(usage=usage, load=load, out_of_memory_bytes=killed)

    def _remember(self, workload: Workload, look: Look) -> None:
        """Keep where each pod of the workload stood last, those too that did not answer this time."""
        living = {pod["metadata"]["uid"] for pod in workload.pods}
        before = self._pods.get(workload.key, {})
        kept = {uid: one for uid, one in before.items() if uid in living} | dict(look.counters)
        if kept:
            self._pods[workload.key] = kept
        if look.counters:  # where nobody answers, the source is away: for all pods the interval only grows
            self._answered[workload.key] = frozenset(look.counters)

    def _keep_only(self, workloads: Sequence[Workload]) -> None:
        living = {workload.key for workload in workloads}
        self._pods = {key: pods for key, pods in self._pods.items() if key in living}
        self._answered = {key: uids for key, uids in self._answered.items() if key in living}
        self._kills.keep_only({pod["metadata"]["uid"] for workload in workloads for pod in workload.pods})


def ready_pods(workload: Workload) -> tuple[Manifest, ...]:
    """Return the pods that take requests."""
    return tuple(pod for pod in workload.pods if _is_ready(pod))


def _is_ready(pod: Manifest) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _problem(look: Look) -> str:
    """Return what is wrong with a look: nobody answers, or a figure cannot be true; empty where nothing is."""
    if not look.counters:
        return look.faults[0] if look.faults else "no replica is ready"
    return next((one.problem for one in look.counters.values() if one.problem), "")


def _is_newer(uid: Uid, counters: PodCounters, before: Mapping[Uid, PodCounters]) -> bool:
    return uid not in before or counters.at > before[uid].at


def _told(killed: tuple[int, ...]) -> Observation | None:
    """Return an observation of kills alone, or None when there were none."""
    return Observation(usage=(), out_of_memory_bytes=killed) if killed else None


def _usage(before: PodCounters | None, now: PodCounters) -> UsageSample | None:
    """Return the use of a pod; None at first sight, because a server's start says nothing about its work."""
    if before is None:
        return None
    seconds = (now.cpu_moment - before.cpu_moment).total_seconds()
    cpu = _increase(before.cpu_seconds, now.cpu_seconds)
    return UsageSample(
        at=max(now.at, now.cpu_moment),
        cpu_cores=cpu / seconds if cpu is not None and 0 < seconds <= LONGEST_INTERVAL_SECONDS else None,
        memory_bytes=now.memory_bytes,
        gpu_ratio=now.gpu_ratio,
        gpu_memory_bytes=now.gpu_memory_bytes,
        gpu_source=now.gpu_source,
    )


def _load(before: Mapping[Uid, PodCounters], pods: Mapping[Uid, PodCounters]) -> LoadSample | None:
    """Return the load of all pods together; a pod that came since the last look began at 0."""
    looked_at = [now for now in pods.values() if now.in_flight is not None or now.requests]
    if not looked_at:
        return None  # a server that counts no requests
    earlier = {uid: before.get(uid) or PodCounters(at=_oldest(before)) for uid in pods}
    requests: dict[str, float] = {}
    latency: dict[float, float] = {}
    compute_seconds = 0.0
    for uid, now in pods.items():
        _add(requests, earlier[uid].requests, now.requests)
        _add(latency, earlier[uid].latency, now.latency)
        compute_seconds += _increase(earlier[uid].compute_seconds or 0.0, now.compute_seconds) or 0.0
    answered = sum(requests.values())
    at = max(now.at for now in pods.values())
    seconds = (at - _oldest(earlier)).total_seconds()
    if seconds > LONGEST_INTERVAL_SECONDS:
        return None
    return LoadSample(
        at=at,
        interval_seconds=seconds,
        requests=answered,
        failed=sum(count for code, count in requests.items() if code.startswith("5")),
        service_seconds=compute_seconds / answered if answered and compute_seconds else None,
        latency_buckets=tuple((edge, round(latency[edge])) for edge in sorted(latency)),
        in_flight=sum(now.in_flight or 0.0 for now in pods.values()),
        replicas=len(pods),
        input_tokens=_tokens(earlier, pods, lambda one: one.input_tokens),
        output_tokens=_tokens(earlier, pods, lambda one: one.output_tokens),
    )


def _tokens(
    earlier: Mapping[Uid, PodCounters], pods: Mapping[Uid, PodCounters], of: Callable[[PodCounters], float | None]
) -> float | None:
    """Return how many tokens all pods together took or gave; None where no server counts them."""
    counted = {uid: tokens for uid, now in pods.items() if (tokens := of(now)) is not None}
    if not counted:
        return None
    return sum(_increase(of(earlier[uid]) or 0.0, tokens) or 0.0 for uid, tokens in counted.items())


def _oldest(pods: Mapping[Uid, PodCounters]) -> datetime:
    return min(counters.at for counters in pods.values())


def _add(totals: dict[Key, float], before: Mapping[Key, float], now: Mapping[Key, float]) -> None:
    for key, value in now.items():
        totals[key] = totals.get(key, 0.0) + (_increase(before.get(key, 0.0), value) or 0.0)


def _increase(before: float | None, now: float | None) -> float | None:
    """Return how far a counter went; one that fell began again at 0, as Prometheus' rate() has it."""
    if before is None or now is None:
        return None
    return now - before if now >= before else now
