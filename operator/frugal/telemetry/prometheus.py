"""Telemetry from Prometheus: a constant number of queries for each tick, however many workloads there are.

All of Frugal's PromQL stands here. Queries return where counters stand and when they were scraped; what happened
between two looks is made in `deltas`, as for pods that are scraped directly, so that a missed tick loses nothing.
"""

from __future__ import annotations

import asyncio
import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime
from typing import Any

import aiohttp

from frugal.errors import TelemetryError
from frugal.loop.ports import Reading, Workload
from frugal.telemetry.counters import PROCESS_CPU, SERVER_METRICS, PodCounters, pod_counters
from frugal.telemetry.deltas import Deltas, Look, ready_pods
from frugal.telemetry.exposition import Sample, is_measurement

QUERY_SECONDS = 10.0
PEAK_WINDOW = "1m"  # memory is the highest of the last minute: a peak between two ticks counts
MIB = 1024**2

_PodName = tuple[str, str]  # namespace, name

_GPU_ACTIVITY = (  # best first: SM activity, engine activity, and what only says that a kernel ran (percent)
    ("DCGM_FI_PROF_SM_ACTIVE", 1.0),
    ("DCGM_FI_PROF_GR_ENGINE_ACTIVE", 1.0),
    ("DCGM_FI_DEV_GPU_UTIL", 0.01),
)
_GPU_MEMORY = "DCGM_FI_DEV_FB_USED"  # MiB


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """The queries of one tick."""

    cpu_seconds: str
    cpu_at: str
    memory_bytes: str
    server: str
    server_at: str
    gpu: str


def queries(workloads: Iterable[Workload]) -> Queries:
    """Return the queries that cover all workloads: by namespace and container, never by pod."""
    pods = [pod for workload in workloads for pod in workload.pods]
    namespaces = {workload_pod["metadata"]["namespace"] for workload_pod in pods}
    containers = {container["name"] for pod in pods for container in pod["spec"]["containers"]}
    inside = f"namespace=~{any_of(namespaces)}"
    container = f"{inside},container=~{any_of(containers)}"
    gpu = any_of([*(name for name, _ in _GPU_ACTIVITY), _GPU_MEMORY])
    cpu = f"container_cpu_usage_seconds_total{{{container}}}"
    memory = f"max_over_time(container_memory_working_set_bytes{{{container}}}[{PEAK_WINDOW}])"
    return Queries(
        cpu_seconds=f"sum by (namespace, pod) ({cpu})",
        cpu_at=f"min by (namespace, pod) (timestamp({cpu}))",
        memory_bytes=f"sum by (namespace, pod) ({memory})",
        server=f"{{__name__=~{any_of(SERVER_METRICS)},{inside}}}",
        server_at=f"min by (namespace, pod) (timestamp({PROCESS_CPU}{{{inside}}}))",
        gpu=f"{{__name__=~{gpu}}}",
    )


def any_of(texts: Iterable[str]) -> str:
    """Return a quoted PromQL pattern that matches exactly `texts`, whatever characters they have."""
    pattern = "|".join(re.escape(text) for text in sorted(texts))
    escaped = pattern.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


class PrometheusTelemetry:
    """The Telemetry port on a Prometheus or whatever speaks its API. `url` is its root, such as http://prometheus:9090."""

    def __init__(self, url: str) -> None:
        self._url = f"{url.rstrip('/')}/api/v1/query"
        self._deltas = Deltas()

    async def read(self, workloads: tuple[Workload, ...], *, now: datetime) -> Reading:
        """Return what happened since the last call, for every workload; an outage is every workload's problem."""
        if not workloads:
            return Reading(observations={}, problems={}, ages_seconds={})
        try:
            figures = await self._figures(queries(workloads))
        except TelemetryError as error:
            looks = {workload.key: Look(faults=(str(error),)) for workload in workloads}
        else:
            looks = {workload.key: _look(workload, figures) for workload in workloads}
        return self._deltas.reading(workloads, looks, source="prometheus", now=now)

    async def _figures(self, asked: Queries) -> Mapping[_PodName, PodCounters]:
        timeout = aiohttp.ClientTimeout(total=QUERY_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            expressions = (getattr(asked, query.name) for query in fields(asked))
            answers = await asyncio.gather(*(self._query(session, expression) for expression in expressions))
        return figures(**dict(zip((query.name for query in fields(asked)), answers, strict=True)))

    async def _query(self, session: aiohttp.ClientSession, expression: str) -> list[Sample]:
        """Return the samples of an instant query; raises TelemetryError."""
        try:
            async with session.post(self._url, data={"query": expression}) as response:
                answer: Any = await response.json(content_type=None)
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            raise TelemetryError(
                f"Prometheus at {self._url} cannot be asked: {error or type(error).__name__}"
            ) from error
        if not isinstance(answer, Mapping) or answer.get("status") != "success":
            said = answer.get("error") if isinstance(answer, Mapping) else answer
            raise TelemetryError(f"Prometheus at {self._url} refused {expression!r}: {said}")
        samples = [_sample(series) for series in answer["data"]["result"]]
        return [sample for sample in samples if is_measurement(sample.value)]


Samples = Iterable[Sample]


def figures(
    *, cpu_seconds: Samples, cpu_at: Samples, memory_bytes: Samples, server: Samples, server_at: Samples, gpu: Samples
) -> dict[_PodName, PodCounters]:
    """Return where every pod stands, from the answers to the queries of one tick.

    Where the kubelet's own figures (cAdvisor) are there, they replace what the process says of itself: they count
    every process of the container, and memory as the kernel's out-of-memory killer does.
    """
    own, own_at, gpus = _by_pod(server), _values(server_at), _by_pod(gpu)
    cpu, at, memory = _values(cpu_seconds), _values(cpu_at), _values(memory_bytes)
    found = {}
    for name in own_at.keys() | at.keys():
        known = pod_counters(own.get(name, ()), at=_moment(own_at.get(name, at.get(name, 0.0))))
        if name in cpu and name in at:
            known = replace(known, cpu_seconds=cpu[name], cpu_at=_moment(at[name]))
        if name in memory:
            known = replace(known, memory_bytes=int(memory[name]))
        found[name] = _with_gpus(known, gpus.get(name, ()))
    return found


def _look(workload: Workload, found: Mapping[_PodName, PodCounters]) -> Look:
    counters, faults = {}, []
    for pod in ready_pods(workload):
        metadata = pod["metadata"]
        known = found.get((metadata["namespace"], metadata["name"]))
        if known is None:
            faults.append(f"Prometheus has no series of pod {metadata['name']}: is it scraped?")
        else:
            counters[metadata["uid"]] = known
    return Look(counters=counters, faults=tuple(faults))


def _with_gpus(known: PodCounters, samples: Samples) -> PodCounters:
    """Return `known` with its cards' mean activity, by the best metric that is there, and their memory together."""
    by_name: defaultdict[str, list[float]] = defaultdict(list)
    for sample in samples:
        by_name[sample.name].append(sample.value)
    for name, unit in _GPU_ACTIVITY:
        if values := by_name.get(name):
            mean = sum(values) / len(values) * unit
            known = replace(known, gpu_ratio=min(1.0, mean))  # MIG slices were seen above 1
            break
    held = by_name.get(_GPU_MEMORY)
    return replace(known, gpu_memory_bytes=int(sum(held) * MIB)) if held else known


def _by_pod(samples: Samples) -> dict[_PodName, list[Sample]]:
    """Return the samples of each pod; those of a card that several pods share (vgpu) tell nothing of one of them."""
    found: defaultdict[_PodName, list[Sample]] = defaultdict(list)
    for sample in samples:
        if not sample.labels.get("vgpu"):
            found[_pod_name(sample)].append(sample)
    return found


def _pod_name(sample: Sample) -> _PodName:
    """Return whom a sample speaks of: an exporter's own pod gives way to the one that it names (exported_)."""
    labels = sample.labels
    if "exported_pod" in labels:
        return labels.get("exported_namespace", ""), labels["exported_pod"]
    return labels.get("namespace", ""), labels.get("pod", "")


def _values(samples: Samples) -> dict[_PodName, float]:
    return {_pod_name(sample): sample.value for sample in samples}


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, tz=UTC)


def _sample(series: Mapping[str, Any]) -> Sample:
    labels = dict(series["metric"])
    return Sample(labels.pop("__name__", ""), labels, float(series["value"][1]))
