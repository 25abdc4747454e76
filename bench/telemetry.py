"""What a tick costs at 100, 1,000 and 10,000 workloads: queries, samples, bytes, time and memory, on one core.

A real Prometheus scrapes the simulated exporters of tests/fakes; the tick runs in a process of its own, whose memory
is measured. `--measure URL WORKLOADS` is that process.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.figures import Figure, Goal, write
from frugal.decisions.snapshot import Children, Manifest
from frugal.loop.engine import Engine
from frugal.loop.fleet import Read, fleet_snapshot
from frugal.loop.ports import INFERENCE_DEPLOYMENT, History, ObjectKey, Reading, Workload
from frugal.settings import Settings
from frugal.telemetry.client import PrometheusClient
from frugal.telemetry.credentials import Credentials
from frugal.telemetry.prometheus import PrometheusTelemetry
from tests.fakes.cluster import FakeCluster
from tests.fakes.exporters import Fleet
from tests.ports import free_port
from tests.prometheus import prometheus

SIZES = (100, 1_000, 10_000)
NAMESPACES = 200
PODS_ON_A_PAGE = 500
SCRAPE_SECONDS = 10
TICKS = 4  # the first one finds nothing to compare with; of the others the median counts
READY_SECONDS = 180.0
QUERY_SECONDS = 60.0  # a machine that is busy with other things shall show it in the figures, and not have none
CORE = 0


@dataclass
class Workplace(FakeCluster):
    """A cluster of simulated workloads that finds the pods of an object at once, as an informer's index does."""

    pods: dict[str, tuple[Manifest, ...]] = field(default_factory=dict)

    def children(self, uid: str) -> Children:
        return Children(pods=self.pods.get(uid, ()))


def workplace(fleet: Fleet) -> Workplace:
    """Return a cluster in which every workload of the fleet is an InferenceDeployment that serves and costs."""
    cluster = Workplace()
    for workload in fleet.described():
        uid = f"uid-{workload.key.name}"
        cluster.objects[INFERENCE_DEPLOYMENT, workload.key.namespace, workload.key.name] = served(workload.key, uid)
        cluster.pods[uid] = workload.pods
    return cluster


def served(key: ObjectKey, uid: str) -> Manifest:
    """Return an InferenceDeployment as it stands after some days."""
    observed = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    size = {"cpu": "1", "memory": "512Mi", "replicas": 1}
    return {
        "apiVersion": "frugal.dev/v1alpha1",
        "kind": INFERENCE_DEPLOYMENT,
        "metadata": {"namespace": key.namespace, "name": key.name, "uid": uid, "generation": 1},
        "spec": {"model": {"uri": "pvc://models/m.onnx"}, "slo": {"latency": {"threshold": "50ms"}}},
        "status": {
            "phase": "Serving",
            "applied": size,
            "cost": {"hourly": "0.05", "monthToDate": "10.00", "currency": "USD", "observedAt": observed},
        },
    }


class Timed:
    """A Telemetry that notes how long its newest reading took."""

    def __init__(self, telemetry: PrometheusTelemetry) -> None:
        self._telemetry = telemetry
        self.wall_seconds = self.cpu_seconds = 0.0

    async def read(self, workloads: tuple[Workload, ...], *, now: datetime) -> Reading:
        started, worked = time.monotonic(), time.process_time()
        reading = await self._telemetry.read(workloads, now=now)
        self.wall_seconds, self.cpu_seconds = time.monotonic() - started, time.process_time() - worked
        return reading

    async def history(self, workloads: tuple[Workload, ...], *, now: datetime) -> Mapping[ObjectKey, History]:
        return {workload.key: () for workload in workloads}  # every workload has its checkpoint


async def measure(url: str, workloads: int) -> dict[str, float]:
    """Return what a tick takes in this process, on one core."""
    os.sched_setaffinity(0, {CORE})
    fleet = Fleet(workloads, namespaces=min(NAMESPACES, workloads))
    telemetry = PrometheusTelemetry(PrometheusClient(url, Credentials(), query_seconds=QUERY_SECONDS))
    timed = Timed(telemetry)
    engine = Engine(workplace(fleet), timed, Settings(), lambda: datetime.now(UTC))
    before: dict[ObjectKey, Read] = {}
    wall, cpu = [], []
    for _ in range(TICKS):
        started, worked = time.monotonic(), time.process_time()
        await engine.tick()
        snapshot, before = fleet_snapshot(engine.see(), (), before)
        wall.append(time.monotonic() - started)
        cpu.append(time.process_time() - worked)
        await asyncio.sleep(SCRAPE_SECONDS)
    measured = sum(one.cpu_cores is not None for one in snapshot.inferences)
    return {
        "queries": telemetry.asked.queries,
        "query_characters": telemetry.asked.query_characters,
        "samples": telemetry.asked.samples / workloads,
        "megabytes": telemetry.asked.bytes / 1e6,
        "seconds": statistics.median(wall[1:]),
        "cpu_seconds": statistics.median(cpu[1:]),
        "read_seconds": timed.wall_seconds,
        "read_cpu_seconds": timed.cpu_seconds,
        "resident_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6,
        "measured": measured / workloads,
    }


@contextmanager
def exporters(fleet: Fleet) -> Iterator[str]:
    """Serve a fleet from a process of its own, and give HOST:PORT."""
    port = free_port()
    sizes = {"workloads": fleet.workloads, "namespaces": fleet.namespaces, "shards": fleet.shards, "port": port}
    words = [word for name, value in sizes.items() for word in (f"--{name}", str(value))]
    process = subprocess.Popen([sys.executable, "-m", "tests.fakes.exporters", *words])
    try:
        yield f"127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(20)


def wait_until_scraped(url: str, workloads: int) -> None:
    """Wait until Prometheus has two scrapes of every exporter."""
    wanted = {
        "frugal_serve_in_flight_requests": workloads,
        'container_memory_working_set_bytes{container="serve"}': workloads,
        "DCGM_FI_DEV_FB_USED": workloads * 3 // 4,
    }
    deadline = time.monotonic() + READY_SECONDS
    while not all(count_twice(url, series) >= number for series, number in wanted.items()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"Prometheus has not scraped {workloads} workloads within {READY_SECONDS:.0f} s")
        time.sleep(1)


def count_twice(url: str, series: str) -> int:
    """Return how many series of a name were scraped at least twice."""
    query = f"count(count_over_time({series}[2m]) > 1)"
    with urllib.request.urlopen(f"{url}/api/v1/query?{urllib.parse.urlencode({'query': query})}", timeout=10) as answer:
        result: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return int(result[0]["value"][1]) if result else 0


def measured(workloads: int) -> dict[str, float]:
    """Return the figures of one size, from a process of their own."""
    fleet = Fleet(workloads, namespaces=min(NAMESPACES, workloads), shards=-(-workloads // PODS_ON_A_PAGE))
    with tempfile.TemporaryDirectory() as folder, exporters(fleet) as address:
        jobs = fleet.scrape_jobs(address)
        with prometheus(Path(folder), jobs=jobs, scrape_seconds=SCRAPE_SECONDS) as url:
            wait_until_scraped(url, workloads)
            command = [sys.executable, "-m", "bench.telemetry", "--measure", url, str(workloads)]
            done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=300)
    found: dict[str, float] = json.loads(done.stdout)
    return found


GOALS = {"queries": 20.0, "samples": 50.0, "seconds": 10.0, "resident_megabytes": 400.0}
NAMES = {
    "queries": ("queries of a tick", ""),
    "query_characters": ("PromQL of a tick", "characters"),
    "samples": ("samples of a tick for each workload", ""),
    "megabytes": ("answers of a tick", "MB"),
    "seconds": ("tick: read, attribute, learn, snapshot; wall", "s"),
    "cpu_seconds": ("tick: read, attribute, learn, snapshot; CPU", "s"),
    "read_seconds": ("of that, until all is read and attributed; wall", "s"),
    "read_cpu_seconds": ("of that, until all is read and attributed; CPU", "s"),
    "resident_megabytes": ("highest resident memory of the process", "MB"),
    "measured": ("workloads that the snapshot has figures of", "ratio"),
}


def figures(workloads: int) -> Iterator[Figure]:
    """Yield the figures of one size."""
    for name, value in measured(workloads).items():
        text, unit = NAMES[name]
        goal = Goal(direction="at most", value=GOALS[name]) if name in GOALS else None
        if name == "measured":
            goal = Goal(direction="at least", value=1.0)
        yield Figure(figure=f"{workloads:,} workloads: {text}", value=round(value, 3), unit=unit, goal=goal)


def main() -> int:
    """Run the benchmark, or the process that it measures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measure", nargs=2, metavar=("URL", "WORKLOADS"))
    parser.add_argument("--sizes", nargs="*", type=int, default=SIZES)
    given = parser.parse_args()
    if given.measure:
        url, workloads = given.measure
        print(json.dumps(asyncio.run(measure(url, int(workloads)))))
        return 0
    write("telemetry", [figure for size in given.sizes for figure in figures(size)])
    return 0


if __name__ == "__main__":
    sys.exit(main())
