"""All of Frugal's PromQL: a constant number of queries for each tick, bounded in length, without sub-queries."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from frugal.loop.ports import Workload
from frugal.telemetry.sources.custom import declared
from frugal.telemetry.sources.gpu import GPU_LABELS, GPU_METRICS
from frugal.telemetry.sources.registry import RUNTIMES
from frugal.telemetry.sources.server import PROCESS_CPU, PROCESS_MEMORY, ServerMetrics

MATCHER_CHARACTERS = 4096  # a longer list of names becomes one of their prefixes
DECLARED_RUNTIMES = 64  # different spec.runtime.metrics of one tick; what comes after them is not asked for
PEAK_WINDOW = "1m"  # memory is the highest of the last minute: a peak between two ticks counts

# manifests/monitoring/recording.rules.yaml makes these; where they are not, the kubelet's own series are asked for.
RECORDED_CPU = "namespace_pod:frugal_container_cpu_usage_seconds:sum"
RECORDED_CPU_AT = "namespace_pod:frugal_container_cpu_usage_timestamp_seconds:max"
RECORDED_MEMORY = "namespace_pod:frugal_container_memory_working_set_bytes:max1m"

# Which rules there are; its answer carries the moment, by Prometheus' clock, at which all others are then asked.
PRESENCE = f"count({RECORDED_CPU}) or vector(0)"

# What tells two series of one server apart. All other labels (job, instance, replica of a Prometheus pair) only say
# who scraped it, and the largest of what they saw is the newest.
_SERVER_LABELS = (
    "__name__", "namespace", "pod", "model", "version", "model_name", "engine", "code", "finished_reason", "reason",
    "le",
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Queries:
    """The queries of one tick; `declared` is empty where no user declares metrics."""

    cpu_seconds: str
    cpu_at: str
    memory_bytes: str
    server: str
    server_at: str
    gpu: str
    declared: str


def queries(workloads: Iterable[Workload], *, are_recorded: bool) -> Queries:
    """Return the queries that cover all workloads: by namespace and container, never by pod.

    They ask for every card of the cluster: other people's pods may share one with ours.
    """
    return _queries(workloads, are_recorded=are_recorded, pods="", window=PEAK_WINDOW)


def past_queries(workloads: Iterable[Workload], *, pods: str, step_seconds: int) -> Queries:
    """Return the queries for what pods whose names match `pods` did, and cards that each of them had to itself."""
    return _queries(workloads, are_recorded=False, pods=pods, window=f"{step_seconds}s")


def _queries(workloads: Iterable[Workload], *, are_recorded: bool, pods: str, window: str) -> Queries:
    seen = tuple(workloads)
    manifests = [pod for workload in seen for pod in workload.pods]
    containers = {container["name"] for pod in manifests for container in pod["spec"]["containers"]}
    inside = f"namespace=~{any_of({pod['metadata']['namespace'] for pod in manifests})}"
    if pods:
        inside += f",pod=~{_quoted(pods)}"
    asked = _recorded(inside) if are_recorded else _raw(f"{inside},container=~{any_of(containers)}", window)
    cpu, cpu_at, memory = asked
    own = declared_runtimes(seen)
    known = {PROCESS_CPU, PROCESS_MEMORY}.union(*(runtime.names for runtime in RUNTIMES))
    labels = ", ".join(_SERVER_LABELS)
    return Queries(
        cpu_seconds=cpu,
        cpu_at=cpu_at,
        memory_bytes=memory,
        server=f"max by ({labels}) ({{__name__=~{any_of(known)},{inside}}})",
        server_at=_scraped_at([*RUNTIMES, *own], inside),
        gpu=_cards(pods),
        declared=f"{{__name__=~{any_of(set().union(*(one.names for one in own)))},{inside}}}" if own else "",
    )


def declared_runtimes(workloads: Iterable[Workload]) -> tuple[ServerMetrics, ...]:
    """Return the different runtimes that users declare, at most DECLARED_RUNTIMES."""
    found = dict.fromkeys(declared(one.metrics) for one in workloads if one.metrics is not None)
    return tuple(found)[:DECLARED_RUNTIMES]


def any_of(texts: Iterable[str], *, limit: int = MATCHER_CHARACTERS) -> str:
    """Return a quoted PromQL pattern that matches `texts`, whatever characters they have.

    It matches exactly them where that takes at most `limit` characters, else every text that begins as one of them
    does, with the longest beginnings for which there is room: what comes too much is dropped when it is read.
    """
    sure = sorted(texts)
    exact = "|".join(map(re.escape, sure))
    return _quoted(exact if len(exact) <= limit else _by_prefix(sure, limit))


def _by_prefix(texts: Sequence[str], limit: int) -> str:
    shortest, longest = 0, max(map(len, texts))
    while shortest < longest:  # the length of the pattern grows with that of the prefixes
        middle = (shortest + longest + 1) // 2
        if len(_prefixes(texts, middle)) <= limit:
            shortest = middle
        else:
            longest = middle - 1
    return _prefixes(texts, shortest) if shortest else ".+"


def _prefixes(texts: Sequence[str], length: int) -> str:
    return f"(?:{'|'.join(map(re.escape, sorted({text[:length] for text in texts})))}).*"


def _quoted(pattern: str) -> str:
    escaped = pattern.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
    return f'"{escaped}"'


def _cards(pods: str) -> str:
    """Return what all cards do, or those that pods had to themselves, whose names match under either label."""
    names = f"__name__=~{any_of(GPU_METRICS)}"
    labels = ("pod", "exported_pod") if pods else ()
    selectors = [f'{{{names},vgpu="",{label}=~{_quoted(pods)}}}' for label in labels] or [f"{{{names}}}"]
    return " or ".join(f"max by (__name__, {', '.join(GPU_LABELS)}) ({one})" for one in selectors)


def _raw(container: str, window: str) -> tuple[str, str, str]:
    """Return CPU, its time and memory from the kubelet's series; the inner max drops what a second scraper saw."""
    cpu = f"container_cpu_usage_seconds_total{{{container}}}"
    memory = f"max_over_time(container_memory_working_set_bytes{{{container}}}[{window}])"
    return (
        f"sum by (namespace, pod) (max by (namespace, pod, container) ({cpu}))",
        f"max by (namespace, pod) (timestamp({cpu}))",
        f"sum by (namespace, pod) (max by (namespace, pod, container) ({memory}))",
    )


def _recorded(inside: str) -> tuple[str, str, str]:
    cpu, cpu_at, memory = (
        f"max by (namespace, pod) ({name}{{{inside}}})" for name in (RECORDED_CPU, RECORDED_CPU_AT, RECORDED_MEMORY)
    )
    return cpu, cpu_at, memory


def _scraped_at(runtimes: Iterable[ServerMetrics], inside: str) -> str:
    anchors = dict.fromkeys(runtime.anchor for runtime in runtimes)
    return " or ".join(f"max by (namespace, pod) (timestamp({{__name__={_quoted(one)},{inside}}}))" for one in anchors)
