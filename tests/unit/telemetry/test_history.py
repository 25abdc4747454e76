"""The past, replayed from a real Prometheus into which hours were filled."""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from frugal.loop.ports import ObjectKey, Workload
from frugal.sizing.samples import Observation
from frugal.telemetry.client import PrometheusClient
from frugal.telemetry.credentials import Credentials
from frugal.telemetry.history import STEP_SECONDS, history
from tests.prometheus import StartPrometheus
from tests.unit.telemetry.factories import KEY, pod

HOURS = 3
SCRAPE_SECONDS = 60
RATE = 4.0  # requests per second
CORES = 0.25
OLD, NEW = "fashion-599f-bcdfg", "fashion-7d4b9c-x2x4z"  # the second replaced the first in the middle


def lines(name: str, start: float, end: float) -> Iterator[str]:
    """Yield one pod's series, family by family, in the OpenMetrics format."""
    moments = [start + step * SCRAPE_SECONDS for step in range(int((end - start) / SCRAPE_SECONDS))]
    server = f'namespace="team",pod="{name}"'
    container = f'{server},container="serve"'
    families = {
        f'frugal_serve_requests_total{{{server},code="200"}}': RATE,
        f"process_cpu_seconds_total{{{server}}}": CORES,
        f"container_cpu_usage_seconds_total{{{container}}}": CORES,
    }
    for series, rate in families.items():
        yield from (f"{series} {rate * (at - start)} {at}" for at in moments)
    yield from (f"container_memory_working_set_bytes{{{container}}} 1024 {at}" for at in moments)


def filled(folder: Path, text: str) -> None:
    """Fill a Prometheus' data with what it would have scraped."""
    if shutil.which("promtool") is None:
        pytest.skip("no promtool here (Debian's package prometheus has it)")
    source = folder / "past.om"
    source.write_text(text)
    command = ["promtool", "tsdb", "create-blocks-from", "openmetrics", str(source), str(folder / "data")]
    made = subprocess.run(command, capture_output=True, text=True, check=False)
    assert made.returncode == 0, made.stderr


def by_family(*pods: Iterator[str]) -> str:
    found: dict[str, list[str]] = {}
    for line in (line for one in pods for line in one):
        found.setdefault(line.split("{")[0], []).append(line)
    return "\n".join(line for family in found.values() for line in family) + "\n# EOF\n"


async def told(url: str, now: float) -> tuple[Observation, ...]:
    running = pod(NEW)
    running["metadata"] |= {
        "labels": {"pod-template-hash": "7d4b9c"},
        "ownerReferences": [{"kind": "ReplicaSet", "name": "fashion-7d4b9c", "controller": True}],
    }
    client = PrometheusClient(url, Credentials())
    async with client.session() as session:
        found = await history(session, [Workload(key=KEY, pods=(running,))], now=now, seconds=HOURS * 3600)
    assert set(found) == {ObjectKey("InferenceDeployment", "team", "fashion")}
    return found[KEY]


async def test_the_past_of_a_workload_is_that_of_all_pods_that_it_had(
    tmp_path: Path, start_prometheus: StartPrometheus
) -> None:
    now = time.time() // STEP_SECONDS * STEP_SECONDS
    start, middle = now - HOURS * 3600, now - HOURS * 1800
    stranger = lines("fashion-2-7d4b9c-aaaaa", start, now)
    filled(tmp_path, by_family(lines(OLD, start, middle), lines(NEW, middle, now), stranger))

    with start_prometheus(tmp_path, jobs=[]) as url:
        past = await told(url, now)

    cores = [one.cpu_cores for seen in past for one in seen.usage if one.cpu_cores is not None]
    loads = [seen.load for seen in past if seen.load is not None]
    first = min(one.at for seen in past for one in seen.usage)
    assert cores == pytest.approx([CORES] * len(cores))
    assert len(cores) >= HOURS * 3600 / STEP_SECONDS - 4  # all but the ends, and the change of pods
    assert sum(load.requests for load in loads) == pytest.approx(RATE * HOURS * 3600, rel=0.06)
    assert sum(load.replicas != 1 for load in loads) <= 2  # where one pod replaced the other
    assert first < datetime.fromtimestamp(middle, tz=UTC)  # the pod that is gone is there
