"""What a cluster's exporters say of N simulated workloads: servers, kubelets (cAdvisor) and DCGM, as exposition text.

Every figure follows from the workload's number and the time since the start, so that a test knows what must be
measured. `python -m tests.fakes.exporters` serves them from a process of its own.
"""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from enum import Enum
from functools import cached_property
from typing import Any

from aiohttp import web

from frugal.loop.ports import INFERENCE_DEPLOYMENT, ObjectKey, Workload

MIB = 1024**2
BLANK = "9223372036854775794"  # DCGM's placeholder for what it cannot measure
EDGES = (0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
UP_TO_EDGE = (0.0, 0.05, 0.2, 0.5, 0.75, 0.9, 0.96, 0.985, 0.995, 0.999, 1.0, 1.0)  # share of the answers
ERROR_RATIO = 0.01
PODS_ON_A_SHARED_CARD = 4


class Card(Enum):
    """What a simulated pod computes on, by its number modulo 4."""

    NONE = 0
    WHOLE = 1
    MIG = 2
    SHARED = 3  # time-sliced: the exporter repeats the whole card's figures for each pod


@dataclass(frozen=True, slots=True)
class SimulatedPod:
    """One pod and the figures that it has by its number."""

    number: int
    namespace: str
    name: str
    workload: str
    replica: int

    @property
    def labels(self) -> str:
        return f'namespace="{self.namespace}",pod="{self.name}"'

    @property
    def cpu_cores(self) -> float:
        return 0.1 + 0.05 * (self.number % 10)

    @property
    def memory_bytes(self) -> int:
        return (256 + self.number % 64) * MIB

    @property
    def requests_per_second(self) -> float:
        return 5.0 + self.number % 20

    @property
    def service_seconds(self) -> float:
        """Mean compute time of a request."""
        return 0.004 + 0.001 * (self.number % 5)

    @property
    def card(self) -> Card:
        return Card(self.number % 4)

    @property
    def card_number(self) -> int:
        """Which card it is on; the pods of a shared card have the same."""
        return self.number if self.card is not Card.SHARED else self.number // 4 // PODS_ON_A_SHARED_CARD

    @property
    def card_uuid(self) -> str:
        return f"GPU-{self.card.name.lower()}-{self.card_number}"

    @property
    def card_activity(self) -> float:
        """Engine activity of the whole card or slice."""
        return 0.2 + 0.05 * (self.card_number % 10)

    @property
    def card_memory_bytes(self) -> int:
        return (2048 + 16 * (self.card_number % 100)) * MIB

    def manifest(self) -> dict[str, Any]:
        """Return the pod as the API server has it."""
        return {
            "kind": "Pod",
            "metadata": {"namespace": self.namespace, "name": self.name, "uid": f"uid-{self.name}"},
            "spec": {"containers": [{"name": "serve"}]},
            "status": {"phase": "Running", "conditions": [{"type": "Ready", "status": "True"}]},
        }


@dataclass(frozen=True)
class Fleet:
    """So many workloads over so many namespaces. `seconds` tells the time since all counters were 0."""

    workloads: int
    replicas: int = 1
    namespaces: int = 1
    shards: int = 1  # pages of each exporter; a cluster has one for each node
    seconds: Callable[[], float] = field(default_factory=lambda: _stopwatch())

    @cached_property
    def pods(self) -> tuple[SimulatedPod, ...]:
        return tuple(self._pods())

    def described(self) -> tuple[Workload, ...]:
        """Return the workloads as the loop hands them to telemetry."""
        found: dict[ObjectKey, list[dict[str, Any]]] = {}
        for pod in self.pods:
            found.setdefault(self.key(pod), []).append(pod.manifest())
        return tuple(Workload(key=key, pods=tuple(pods)) for key, pods in found.items())

    def key(self, pod: SimulatedPod) -> ObjectKey:
        """Return the workload that a pod belongs to."""
        return ObjectKey(INFERENCE_DEPLOYMENT, pod.namespace, pod.workload)

    def page(self, exporter: str, shard: int) -> str:
        """Return the exposition text of one page of `server`, `kubelet` or `dcgm`."""
        lines = {"server": server_lines, "kubelet": kubelet_lines, "dcgm": dcgm_lines}[exporter]
        now = self.seconds()
        return "\n".join(line for pod in self.pods[shard :: self.shards] for line in lines(pod, now)) + "\n"

    def scrape_jobs(self, address: str) -> list[dict[str, object]]:
        """Return the jobs of a Prometheus: DCGM's pod is its own, the simulated ones become exported_pod."""
        return [
            self._job(address, "server", honor_labels=True),
            self._job(address, "kubelet", honor_labels=True),
            self._job(address, "dcgm", honor_labels=False, namespace="gpu-operator", pod="dcgm-exporter-x"),
        ]

    def _job(self, address: str, exporter: str, *, honor_labels: bool, **labels: str) -> dict[str, object]:
        targets = [
            {
                "targets": [address],
                "labels": {"__metrics_path__": f"/{exporter}/{shard}", "shard": str(shard), **labels},
            }
            for shard in range(self.shards)
        ]
        return {"job_name": exporter, "honor_labels": honor_labels, "static_configs": targets}

    def _pods(self) -> Iterator[SimulatedPod]:
        for number in range(self.workloads * self.replicas):
            index, replica = divmod(number, self.replicas)
            yield SimulatedPod(
                number=number,
                namespace=f"team-{index % self.namespaces}",
                name=f"model-{index}-{replica}",
                workload=f"model-{index}",
                replica=replica,
            )


def server_lines(pod: SimulatedPod, seconds: float) -> Iterator[str]:
    """Yield what Frugal's own server says of itself."""
    model, answered = f'{pod.labels},model="m",version="1"', pod.requests_per_second * seconds
    yield f'frugal_serve_requests_total{{{model},code="200"}} {answered * (1 - ERROR_RATIO)}'
    yield f'frugal_serve_requests_total{{{model},code="500"}} {answered * ERROR_RATIO}'
    for edge, share in zip(EDGES, UP_TO_EDGE, strict=True):
        yield f'frugal_serve_request_duration_seconds_bucket{{{model},le="{edge}"}} {answered * share}'
    yield f'frugal_serve_request_duration_seconds_bucket{{{model},le="+Inf"}} {answered}'
    yield f"frugal_serve_request_duration_seconds_count{{{model}}} {answered}"
    yield f"frugal_serve_compute_duration_seconds_sum{{{pod.labels}}} {answered * pod.service_seconds}"
    yield f"frugal_serve_in_flight_requests{{{pod.labels}}} {pod.number % 3}"
    yield f"process_cpu_seconds_total{{{pod.labels}}} {pod.cpu_cores * seconds * 0.9}"
    yield f"process_resident_memory_bytes{{{pod.labels}}} {pod.memory_bytes * 0.8}"


def kubelet_lines(pod: SimulatedPod, seconds: float) -> Iterator[str]:
    """Yield what cAdvisor says: the container, its pause container and the pod as a whole."""
    used = pod.cpu_cores * seconds
    for container, factor in (("serve", 1.0), ("POD", 0.0), ("", 1.0)):
        labels = f'{pod.labels},container="{container}"'
        yield f"container_cpu_usage_seconds_total{{{labels}}} {used * factor}"
        yield f"container_memory_working_set_bytes{{{labels}}} {pod.memory_bytes * factor}"


def dcgm_lines(pod: SimulatedPod, _: float) -> Iterator[str]:
    """Yield what the DCGM exporter says of a card: no SM activity by default, blanks where it has nothing."""
    if pod.card is Card.NONE:
        return
    labels = f'{pod.labels},container="serve",UUID="{pod.card_uuid}",gpu="0",modelName="NVIDIA A100",hostname="node"'
    if pod.card is Card.MIG:
        labels += ',GPU_I_PROFILE="1g.10gb",GPU_I_ID="7"'
        yield f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} 0"
        yield f"DCGM_FI_PROF_SM_ACTIVE{{{labels}}} {BLANK}"
    else:
        vgpu = f',vgpu="{pod.replica}"' if pod.card is Card.SHARED else ""
        labels += vgpu
        yield f"DCGM_FI_DEV_GPU_UTIL{{{labels}}} 100"
    yield f"DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{labels}}} {pod.card_activity}"
    yield f"DCGM_FI_PROF_DRAM_ACTIVE{{{labels}}} {pod.card_activity / 2}"
    yield f"DCGM_FI_DEV_FB_USED{{{labels}}} {pod.card_memory_bytes // MIB}"


@asynccontextmanager
async def served(fleet: Fleet, *, port: int = 0) -> AsyncIterator[str]:
    """Serve the fleet's pages on loopback, and give HOST:PORT."""

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=fleet.page(request.match_info["exporter"], int(request.match_info["shard"])))

    application = web.Application()
    application.router.add_get("/{exporter}/{shard}", page)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    try:
        host, bound = runner.addresses[0][:2]
        yield f"{host}:{bound}"
    finally:
        await runner.cleanup()


def _stopwatch() -> Callable[[], float]:
    started = time.monotonic()
    return lambda: time.monotonic() - started


async def _serve_until_ended(fleet: Fleet, port: int) -> None:
    async with served(fleet, port=port):
        await asyncio.Event().wait()


def main() -> None:
    """Serve a fleet until this process is ended."""
    arguments = argparse.ArgumentParser(description=__doc__)
    for name, default in (("port", 0), ("workloads", 10), ("replicas", 1), ("namespaces", 1), ("shards", 1)):
        arguments.add_argument(f"--{name}", type=int, default=default)
    given = vars(arguments.parse_args())
    port = given.pop("port")
    asyncio.run(_serve_until_ended(Fleet(**given), port))


if __name__ == "__main__":
    main()
