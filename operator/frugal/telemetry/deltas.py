"""From where pods stand at two moments to what happened between them: the same for every source of counters."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TypeVar

from frugal.decisions.snapshot import Manifest
from frugal.loop.ports import ObjectKey, Workload
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from frugal.telemetry.counters import PodCounters
from frugal.telemetry.kills import Kills

Uid = str
Key = TypeVar("Key", str, float)


class Deltas:
    """Remembers where every pod stood at the last look."""

    def __init__(self) -> None:
        self._pods: dict[ObjectKey, dict[Uid, PodCounters]] = {}
        self._kills = Kills()

    def keep_only(self, workloads: Sequence[Workload]) -> None:
        """Forget workloads that are gone."""
        living = {workload.key for workload in workloads}
        self._pods = {key: pods for key, pods in self._pods.items() if key in living}
        self._kills.keep_only({pod["metadata"]["uid"] for workload in workloads for pod in workload.pods})

    def observe(self, workload: Workload, counters: Mapping[Uid, PodCounters], *, is_whole: bool) -> Observation | None:
        """Return what happened since the last look, or None when that cannot be told yet.

        counters: of the pods that could be read. is_whole: whether those are all that take requests; when not, the load
        is unknown, because what the others did would be missing in it.
        """
        killed = self._kills.new(workload.pods)
        before = self._pods.get(workload.key)
        self._pods[workload.key] = dict(counters)
        moved = {
            uid: now for uid, now in counters.items() if before is None or uid not in before or now.at > before[uid].at
        }
        if before is None or not moved:
            return Observation(usage=(), out_of_memory_bytes=killed) if killed else None
        usage = tuple(sample for uid, now in moved.items() if (sample := _usage(before.get(uid), now)) is not None)
        load = _load(before, moved) if is_whole and len(moved) == len(counters) else None
        return Observation(usage=usage, load=load, out_of_memory_bytes=killed)


def ready_pods(workload: Workload) -> tuple[Manifest, ...]:
    """Return the pods that take requests."""
    return tuple(pod for pod in workload.pods if _is_ready(pod))


def _is_ready(pod: Manifest) -> bool:
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)


def _usage(before: PodCounters | None, now: PodCounters) -> UsageSample | None:
    """Return the use of a pod; None at first sight, because a server's start says nothing about its work."""
    if before is None:
        return None
    seconds = (now.at - before.at).total_seconds()
    cpu = _increase(before.cpu_seconds, now.cpu_seconds)
    return UsageSample(
        at=now.at,
        cpu_cores=cpu / seconds if cpu is not None else None,
        memory_bytes=now.memory_bytes,
        gpu_ratio=now.gpu_ratio,
        gpu_memory_bytes=now.gpu_memory_bytes,
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
    at, since = max(now.at for now in pods.values()), _oldest(earlier)
    return LoadSample(
        at=at,
        interval_seconds=(at - since).total_seconds(),
        requests=answered,
        failed=sum(count for code, count in requests.items() if code.startswith("5")),
        service_seconds=compute_seconds / answered if answered and compute_seconds else None,
        latency_buckets=tuple((edge, round(latency[edge])) for edge in sorted(latency)),
        in_flight=sum(now.in_flight or 0.0 for now in pods.values()),
        replicas=len(pods),
    )


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
