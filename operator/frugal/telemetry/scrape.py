"""Telemetry without Prometheus: every ready pod is asked for its metrics directly, a bounded number at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

import aiohttp

from frugal.decisions.snapshot import Manifest
from frugal.errors import TelemetryError
from frugal.loop.ports import Clock, History, ObjectKey, Reading, Workload
from frugal.telemetry.counters import PodCounters, pod_counters
from frugal.telemetry.deltas import Deltas, Look, ready_pods
from frugal.telemetry.exposition import parse_exposition
from frugal.telemetry.kubelet import KubeletFigures, Kubelets
from frugal.telemetry.sources.custom import declared
from frugal.telemetry.sources.registry import RUNTIMES
from frugal.telemetry.sources.server import ServerMetrics

METRICS_PORT = "http"  # the name of the container's port
SCRAPE_SECONDS = 5.0  # one pod; a third of a tick
PODS_AT_A_TIME = 32
LARGEST_PAGE_BYTES = 4 * 1024 * 1024

AddressOf = Callable[[Manifest], str | None]
"""From a pod to `HOST:PORT` of its metrics, or None while it has none."""


def pod_address(pod: Manifest) -> str | None:
    """Return where a pod of a cluster serves its metrics: its own address and the container port named http."""
    host = (pod.get("status") or {}).get("podIP")
    ports = [port for container in pod["spec"]["containers"] for port in container.get("ports") or []]
    named = [port["containerPort"] for port in ports if port.get("name") == METRICS_PORT]
    if not host or not named:
        return None
    return f"[{host}]:{named[0]}" if ":" in host else f"{host}:{named[0]}"


async def _page(content: aiohttp.StreamReader) -> bytes:
    """Return a whole page; raises TelemetryError when it is too large to be one of metrics."""
    page = bytearray()
    async for chunk in content.iter_any():
        page += chunk
        if len(page) > LARGEST_PAGE_BYTES:
            raise TelemetryError(f"more than {LARGEST_PAGE_BYTES} bytes of metrics")
    return bytes(page)


class PodScraper:
    """The Telemetry port by direct scraping. `clock` dates each page at the moment when it arrives.

    Where there are `kubelets`, they say what the pods use: every process of a container, and memory as the kernel's
    out-of-memory killer counts it; also of pods that have no metrics of their own.
    """

    def __init__(self, clock: Clock, address_of: AddressOf = pod_address, kubelets: Kubelets | None = None) -> None:
        self._clock, self._address_of, self._kubelets = clock, address_of, kubelets
        self._deltas = Deltas()

    async def read(self, workloads: tuple[Workload, ...], *, now: datetime) -> Reading:
        """Return what happened since the last call, for every workload."""
        places = asyncio.Semaphore(PODS_AT_A_TIME)
        timeout = aiohttp.ClientTimeout(total=SCRAPE_SECONDS)
        async with aiohttp.ClientSession(timeout=timeout) as session:
            looks = await asyncio.gather(*(self._look(session, places, one) for one in workloads))
        by_key = {workload.key: look for workload, look in zip(workloads, looks, strict=True)}
        if self._kubelets is not None:
            pods = [pod for workload in workloads for pod in ready_pods(workload)]
            hosts = {host for pod in pods if (host := (pod.get("status") or {}).get("hostIP"))}
            figures, faults = await self._kubelets.figures(hosts)
            by_key = {one.key: _with_kubelet(one, by_key[one.key], figures, faults) for one in workloads}
        return self._deltas.reading(workloads, by_key, source="pods", now=now)

    async def history(self, workloads: tuple[Workload, ...], *, now: datetime) -> Mapping[ObjectKey, History]:
        """Return an empty past for each: pods know none."""
        return {workload.key: () for workload in workloads}

    async def _look(self, session: aiohttp.ClientSession, places: asyncio.Semaphore, workload: Workload) -> Look:
        pods = ready_pods(workload)
        runtimes = (declared(workload.metrics),) if workload.metrics is not None else RUNTIMES
        pages = await asyncio.gather(*(self._page(session, places, pod, runtimes) for pod in pods))
        counters = {
            pod["metadata"]["uid"]: page for pod, page in zip(pods, pages, strict=True) if isinstance(page, PodCounters)
        }
        return Look(counters=counters, faults=tuple(page for page in pages if isinstance(page, str)))

    async def _page(
        self,
        session: aiohttp.ClientSession,
        places: asyncio.Semaphore,
        pod: Manifest,
        runtimes: Sequence[ServerMetrics],
    ) -> PodCounters | str:
        """Return where a pod stands, or in words why it could not be asked."""
        name, address = pod["metadata"]["name"], self._address_of(pod)
        if address is None:
            return f"pod {name} has no container port named {METRICS_PORT} to scrape"
        try:
            async with places, session.get(f"http://{address}/metrics", allow_redirects=False) as response:
                if response.status != 200:
                    return f"pod {name} answers HTTP {response.status} at {address}/metrics"
                page = await _page(response.content)
            return pod_counters(parse_exposition(page.decode(errors="replace")), at=self._clock(), runtimes=runtimes)
        except (aiohttp.ClientError, TimeoutError, TelemetryError) as error:
            return f"pod {name} cannot be scraped at {address}/metrics: {str(error) or type(error).__name__}"


def _with_kubelet(
    workload: Workload, look: Look, figures: Mapping[str, KubeletFigures], faults: tuple[str, ...]
) -> Look:
    """Return a look with what kubelets say of its pods. A pod that has no page is still no whole load."""
    counters = dict(look.counters)
    for pod in ready_pods(workload):
        uid = pod["metadata"]["uid"]
        known = figures.get(uid)
        if known is not None:
            counters[uid] = replace(
                counters.get(uid) or PodCounters(at=known.at),
                cpu_at=known.at,
                cpu_seconds=known.cpu_seconds,
                memory_bytes=known.memory_bytes,
            )
    return Look(counters=counters, faults=(*look.faults, *(faults if not counters else ())))
