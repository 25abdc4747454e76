"""The operator against a real API server: reconcile latency, API requests in an object's life, memory by objects.

Pods never run here (the control plane has no node), so the figures are the operator's own and not those of models.
"""
# ruff: noqa: A005 - run as `python -m bench.operator`, where it shadows nothing

from __future__ import annotations

import asyncio
import os
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

from bench.figures import Figure, Goal, write
from frugal.cluster.client import FIELD_MANAGER, Api
from frugal.cluster.kinds import COMPRESSION_JOBS, EVENTS, INFERENCE_DEPLOYMENTS, Resource
from tests.cluster import lifecycle
from tests.cluster.cluster import ControlPlane
from tests.cluster.instance import Instance
from tests.ports import free_port

REPOSITORY = Path(__file__).parents[1]
NAMESPACE = "bench"
LATENCY_SAMPLES = 50
FLEETS = (100, 1000)
AT_A_TIME = 8  # objects created at a time
SETTLE_SECONDS = 600.0

# kopf 1.45 with create/update handlers and a timer, for 1,000 objects without any child, on two shared cores
# (docs/decisions/20261124-kubernetes-client.md).
KOPF_TIMER_MEMORY_MIB = 173.0


@contextmanager
def control_plane() -> Iterator[ControlPlane]:
    """Bring up an API server with our kinds and the namespaces."""
    instance = Instance("bench-operator")
    try:
        lifecycle.up(instance, is_full=False)
        plane = ControlPlane(instance)
        plane.kubectl("apply", "--validate=false", "-k", str(REPOSITORY / "crds"))
        for name in (NAMESPACE, "frugal-system"):
            plane.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
        yield plane
    finally:
        lifecycle.down(instance)


class Operator:
    """`python -m frugal` as a process, and what it says of itself."""

    def __init__(self, plane: ControlPlane, log: Path) -> None:
        self._metrics_port = free_port()
        environment = {
            **os.environ,
            "KUBECONFIG": str(plane.kubeconfig),
            "FRUGAL_METRICS_PORT": str(self._metrics_port),
            "FRUGAL_HEALTH_PORT": str(free_port()),
            "FRUGAL_LEASE_SECONDS": "600",  # so that renewals do not count among an object's requests
            "PYTHONPATH": str(REPOSITORY / "operator"),
        }
        with log.open("wb") as output:
            command = [sys.executable, "-m", "frugal"]
            self._process = subprocess.Popen(command, env=environment, stdout=output, stderr=output)

    def metric(self, name: str) -> float:
        """Return the sum of a metric's series; 0 while nothing answers."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self._metrics_port}/metrics", timeout=10) as answer:
                lines = answer.read().decode().splitlines()
        except OSError:
            return 0.0
        return sum(float(line.split()[-1]) for line in lines if line.partition("{")[0].partition(" ")[0] == name)

    def memory_mib(self) -> float:
        """Return the resident memory."""
        status = Path(f"/proc/{self._process.pid}/status").read_text()
        return int(status.split("VmRSS:")[1].split()[0]) / 1024

    def cpu_seconds(self) -> float:
        """Return the CPU time used so far."""
        fields = Path(f"/proc/{self._process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def stop(self) -> None:
        self._process.terminate()
        self._process.wait(60)


@asynccontextmanager
async def api_of(plane: ControlPlane) -> AsyncIterator[Api]:
    """Connect as the administrator."""
    api = await Api.connect(str(plane.kubeconfig))
    try:
        yield api
    finally:
        await api.close()


def compression_job(name: str) -> dict[str, Any]:
    """Return the smallest CompressionJob."""
    spec = {
        "model": {"uri": "s3://models/cnn.onnx"},
        "data": {"evaluation": {"uri": "s3://data/test.npz"}},
        "output": {"uri": "s3://models/out"},
    }
    return _object("CompressionJob", name, spec)


def inference_deployment(name: str) -> dict[str, Any]:
    """Return the smallest InferenceDeployment."""
    return _object("InferenceDeployment", name, {"model": {"uri": "s3://models/cnn.onnx"}})


async def latency_seconds(api: Api, resource: Resource, make: Callable[[str], dict[str, Any]]) -> list[float]:
    """Return the times from an object's creation to its first status, one object after the other."""
    taken = []
    for number in range(LATENCY_SAMPLES):
        name = f"latency-{number}"
        started = time.perf_counter()
        await api.create(resource.collection(NAMESPACE), make(name))
        await _until(partial(_has_status, api, resource, name))
        taken.append(time.perf_counter() - started)
    return taken


async def writes_of_a_life(api: Api, operator: Operator) -> float:
    """Return the writes that the operator makes for an InferenceDeployment from its creation to its end."""
    await _delete_all(api)
    await _settled(operator)
    before = await _operator_writes(api)
    for number in range(10):
        await api.create(INFERENCE_DEPLOYMENTS.collection(NAMESPACE), inference_deployment(f"life-{number}"))
    await _settled(operator)
    for number in range(10):
        path = INFERENCE_DEPLOYMENTS.path(NAMESPACE, f"life-{number}")
        found = await api.get(path)
        await api.delete(path, uid=found["metadata"]["uid"])
    await _settled(operator)
    return (await _operator_writes(api) - before) / 10


async def fill(api: Api, count: int) -> None:
    """Create half of each kind, up to `count` objects together."""
    places = asyncio.Semaphore(AT_A_TIME)

    async def create(number: int) -> None:
        resource, make = (
            (COMPRESSION_JOBS, compression_job) if number % 2 else (INFERENCE_DEPLOYMENTS, inference_deployment)
        )
        async with places:
            await api.create(resource.collection(NAMESPACE), make(f"fleet-{count}-{number}"))

    await asyncio.gather(*(create(number) for number in range(count)))


async def measure(plane: ControlPlane, folder: Path) -> list[Figure]:
    """Return every figure."""
    figures = []
    async with api_of(plane) as api:
        operator = Operator(plane, folder / "operator.log")
        try:
            await _until(lambda: _is(operator.metric("frugal_leader") == 1))
            for resource, make in ((COMPRESSION_JOBS, compression_job), (INFERENCE_DEPLOYMENTS, inference_deployment)):
                taken = sorted(await latency_seconds(api, resource, make))
                figures += [
                    _figure(f"{resource.kind}: created to status, p50", statistics.median(taken), "s", at_most=0.25),
                    _figure(
                        f"{resource.kind}: created to status, p95", taken[int(len(taken) * 0.95)], "s", at_most=1.0
                    ),
                ]
            life = await writes_of_a_life(api, operator)
            figures.append(_figure("InferenceDeployment: writes in its life", life, "requests", at_most=6))
        finally:
            operator.stop()
        have = 0
        for count in FLEETS:
            await fill(api, count - have)
            have = count
            figures += await fleet(plane, folder, count)
    return figures


async def fleet(plane: ControlPlane, folder: Path, count: int) -> list[Figure]:
    """Start the operator anew beside `count` objects, let it reach rest, and measure it."""
    operator = Operator(plane, folder / f"operator-{count}.log")
    try:
        started = time.perf_counter()
        await _until(lambda: _is(operator.metric("frugal_reconcile_duration_seconds_count") >= count))
        await _settled(operator)
        seconds = time.perf_counter() - started
        memory, cpu = operator.memory_mib(), operator.cpu_seconds()
    finally:
        operator.stop()
    goal = Goal(direction="at most", value=KOPF_TIMER_MEMORY_MIB) if count == max(FLEETS) else None
    return [
        Figure(figure=f"memory with {count} objects", value=memory, unit="MiB", goal=goal),
        _figure(f"start beside {count} objects to rest", seconds, "s"),
        _figure(f"CPU for that with {count} objects", cpu, "s"),
    ]


async def _operator_writes(api: Api) -> float:
    """Return how many writes the API server has seen of kinds and verbs that the operator alone uses here."""
    operators = (
        ("APPLY", "inferencedeployments"),
        ("APPLY", "deployments"),
        ("APPLY", "services"),
        ("APPLY", "configmaps"),
        ("DELETE", "deployments"),
        ("DELETE", "services"),
    )
    async with api.stream("/metrics") as content:
        lines = (await content.read()).decode().splitlines()
    counted = [line for line in lines if line.startswith("apiserver_request_total{")]
    events = await api.get(EVENTS.collection(NAMESPACE))
    ours = sum(1.0 for item in events["items"] if item.get("source", {}).get("component") == FIELD_MANAGER)
    return ours + sum(
        float(line.split()[-1])
        for line in counted
        if any(f'resource="{resource}"' in line and f'verb="{verb}"' in line for verb, resource in operators)
    )


async def _delete_all(api: Api) -> None:
    for resource in (COMPRESSION_JOBS, INFERENCE_DEPLOYMENTS):
        listed = await api.get(resource.collection(NAMESPACE))
        for item in listed["items"]:
            await api.delete(resource.path(NAMESPACE, item["metadata"]["name"]), uid=item["metadata"]["uid"])


async def _has_status(api: Api, resource: Resource, name: str) -> bool:
    found = await api.get(resource.path(NAMESPACE, name))
    return bool(found.get("status", {}).get("observedGeneration", -1) >= 1)


async def _settled(operator: Operator) -> None:
    """Wait until nothing was looked at for two seconds."""
    last, quiet_since = -1.0, time.monotonic()
    deadline = time.monotonic() + SETTLE_SECONDS
    while time.monotonic() - quiet_since < 2.0:
        count = operator.metric("frugal_reconcile_duration_seconds_count")
        if count != last:
            last, quiet_since = count, time.monotonic()
        if time.monotonic() > deadline:
            raise TimeoutError(f"the operator does not come to rest within {SETTLE_SECONDS:.0f} s")
        await asyncio.sleep(0.2)


async def _until(holds: Callable[[], Awaitable[bool]]) -> None:
    async with asyncio.timeout(SETTLE_SECONDS):
        while not await holds():  # noqa: ASYNC110 - another process brings it about
            await asyncio.sleep(0.005)


async def _is(holds: bool) -> bool:
    return holds


def _figure(name: str, value: float, unit: str, *, at_most: float | None = None) -> Figure:
    goal = Goal(direction="at most", value=at_most) if at_most is not None else None
    return Figure(figure=name, value=value, unit=unit, goal=goal)


def _object(kind: str, name: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": name, "namespace": NAMESPACE}
    return {"apiVersion": "frugal.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def main() -> int:
    """Run the benchmark."""
    if reason := lifecycle.objection(is_full=False):
        print(f"no real Kubernetes here: {reason}", file=sys.stderr)
        return 1
    with control_plane() as plane, tempfile.TemporaryDirectory() as folder:
        print(write("operator", asyncio.run(measure(plane, Path(folder)))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
