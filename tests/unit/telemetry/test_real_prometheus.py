"""Every query against a real Prometheus that scrapes a server, a kubelet's cAdvisor and a DCGM exporter."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from aiohttp import web

from frugal.loop.ports import Reading
from frugal.telemetry.client import PrometheusClient
from frugal.telemetry.credentials import Credentials
from frugal.telemetry.prometheus import PrometheusTelemetry
from frugal.telemetry.sources.gpu import MIB
from tests.fakes.exporters import ERROR_RATIO, Card, Fleet, served
from tests.prometheus import SCRAPE_SECONDS, StartPrometheus
from tests.unit.telemetry.factories import KEY, pod, workload

RULES = Path(__file__).parents[3] / "manifests/monitoring/recording.rules.yaml"
WORKLOAD = workload(pod("fashion-1"))
WHOLE_POD = 'namespace="team",pod="fashion-1",container=""'
CONTAINER = 'namespace="team",pod="fashion-1",container="serve"'


@dataclass
class Machine:
    """What the three exporters say; the counters are moved by the test."""

    requests: float = 100.0
    cpu_seconds: float = 50.0

    def server(self) -> str:
        return (
            f'frugal_serve_requests_total{{code="200",model="m"}} {self.requests}\n'
            f'frugal_serve_request_duration_seconds_bucket{{le="0.01"}} {self.requests}\n'
            f'frugal_serve_request_duration_seconds_bucket{{le="+Inf"}} {self.requests}\n'
            f"frugal_serve_in_flight_requests 3\nprocess_cpu_seconds_total 1\nprocess_resident_memory_bytes 1\n"
        )

    def kubelet(self) -> str:
        return (
            f"container_cpu_usage_seconds_total{{{CONTAINER}}} {self.cpu_seconds}\n"
            f"container_cpu_usage_seconds_total{{{WHOLE_POD}}} {self.cpu_seconds * 2}\n"
            f"container_memory_working_set_bytes{{{CONTAINER}}} {64 * MIB}\n"
        )

    def cards(self) -> str:
        labels = 'gpu="0",namespace="team",pod="fashion-1"'
        return (
            f"DCGM_FI_PROF_GR_ENGINE_ACTIVE{{{labels}}} 0.25\nDCGM_FI_DEV_FB_USED{{{labels}}} 2048\n"
            f"DCGM_FI_PROF_SM_ACTIVE{{{labels}}} 9223372036854775794\n"
        )


@asynccontextmanager
async def exporters(machine: Machine) -> AsyncIterator[str]:
    """Serve the three pages, and give HOST:PORT."""
    pages: dict[str, Callable[[], str]] = {"server": machine.server, "kubelet": machine.kubelet, "dcgm": machine.cards}

    async def page(request: web.Request) -> web.Response:
        return web.Response(text=pages[request.match_info["name"]]())

    application = web.Application()
    application.router.add_get("/{name}", page)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


def scrape_jobs(address: str) -> list[dict[str, object]]:
    """Return the jobs as a cluster has them: a pod's labels come from discovery, an exporter's pod is its own."""

    def job(name: str, *, honor_labels: bool, **labels: str) -> dict[str, object]:
        target = {"targets": [address], "labels": labels}
        return {
            "job_name": name,
            "metrics_path": f"/{name}",
            "honor_labels": honor_labels,
            "static_configs": [target],
        }

    return [
        job("server", honor_labels=False, namespace="team", pod="fashion-1"),
        job("kubelet", honor_labels=True),
        job("dcgm", honor_labels=False, namespace="gpu-operator", pod="dcgm-exporter-x"),
    ]


def telemetry_of(url: str) -> PrometheusTelemetry:
    return PrometheusTelemetry(PrometheusClient(url, Credentials()))


def port_of(url: str) -> int:
    return int(url.rsplit(":", 1)[1])


async def read_until(telemetry: PrometheusTelemetry, holds: Callable[[Reading], bool]) -> Reading:
    """Read as the ticker does, until a reading is as wanted."""
    async with asyncio.timeout(30):
        while True:
            reading = await telemetry.read((WORKLOAD,), now=datetime.now(UTC))
            if holds(reading):
                return reading
            await asyncio.sleep(SCRAPE_SECONDS / 4)


async def test_a_workload_is_measured_by_what_prometheus_scraped(
    tmp_path: Path, start_prometheus: StartPrometheus
) -> None:
    machine = Machine()
    async with exporters(machine) as address:
        with start_prometheus(tmp_path, jobs=scrape_jobs(address)) as url:
            telemetry = telemetry_of(url)
            await read_until(telemetry, _has_gpu)  # all three were scraped
            machine.requests += 40
            machine.cpu_seconds += 2
            reading = await read_until(telemetry, _has_requests)

    seen = reading.observations[KEY]
    assert seen.load is not None
    assert seen.load.requests == 40
    assert seen.load.latency_buckets == ((0.01, 40),)
    assert seen.load.in_flight == 3
    (usage,) = seen.usage
    assert usage.memory_bytes == 64 * MIB  # the container's, not the process's 1 byte
    assert (usage.gpu_ratio, usage.gpu_memory_bytes) == (0.25, 2048 * MIB)  # SM activity was a placeholder
    assert 0 <= reading.ages_seconds["prometheus"] < 10


async def test_a_prometheus_that_is_away_is_every_workloads_problem(
    tmp_path: Path, start_prometheus: StartPrometheus
) -> None:
    with start_prometheus(tmp_path, jobs=[]) as url:
        pass

    reading = await telemetry_of(url).read((WORKLOAD,), now=datetime.now(UTC))

    assert url in reading.problems[KEY]
    assert reading.observations == {}


async def test_a_pod_that_nobody_scrapes_is_a_problem_that_says_so(
    tmp_path: Path, start_prometheus: StartPrometheus
) -> None:
    with start_prometheus(tmp_path, jobs=[]) as url:
        reading = await read_until(telemetry_of(url), lambda one: "cannot be asked" not in str(one.problems))

    assert reading.problems == {KEY: "Prometheus has no series of pod fashion-1: is it scraped?"}


def fleet_of(minutes: Moment) -> Fleet:
    return Fleet(12, replicas=2, namespaces=3, seconds=minutes)


@dataclass
class Moment:
    """A time that moves only by hand, so that every scrape between two moves says the same."""

    seconds: float = 1000.0

    def __call__(self) -> float:
        return self.seconds


async def both_looks(
    telemetry: PrometheusTelemetry, fleet: Fleet, moment: Moment, holds: Callable[[Reading], bool]
) -> Reading:
    """Let a fleet work for a minute between two looks, and return what the second one tells."""
    workloads = fleet.described()

    async def until(wanted: Callable[[Reading], bool]) -> Reading:
        async with asyncio.timeout(30):
            while True:
                reading = await telemetry.read(workloads, now=datetime.now(UTC))
                if wanted(reading):
                    return reading
                await asyncio.sleep(SCRAPE_SECONDS / 4)

    await until(lambda one: not one.problems and len(one.observations) == len(workloads) and holds(one))
    moment.seconds += 60
    return await until(
        lambda one: (
            len(one.observations) == len(workloads)
            and all(seen.load is not None and seen.load.requests > 0 for seen in one.observations.values())
        )
    )


def gpu_of_all(reading: Reading, fleet: Fleet) -> dict[str, float]:
    """Return what is attributed to all pods of each card together."""
    cards: dict[str, float] = {}
    by_key = {key: iter(seen.usage) for key, seen in reading.observations.items()}
    for simulated in fleet.pods:
        usage = next(by_key[fleet.key(simulated)])
        if usage.gpu_ratio is not None:
            cards[simulated.card_uuid] = cards.get(simulated.card_uuid, 0.0) + usage.gpu_ratio
    return cards


async def test_a_fleet_is_measured_as_it_was_simulated_and_no_card_is_given_away_twice(
    tmp_path: Path, start_prometheus: StartPrometheus
) -> None:
    moment = Moment()
    fleet = fleet_of(moment)
    async with served(fleet) as address:
        with start_prometheus(tmp_path, jobs=fleet.scrape_jobs(address)) as url:
            telemetry = telemetry_of(url)
            reading = await both_looks(telemetry, fleet, moment, lambda _: True)

    assert telemetry.asked.queries <= 20
    assert telemetry.asked.samples <= 50 * len(fleet.pods)
    for key, seen in reading.observations.items():
        pods = [pod for pod in fleet.pods if fleet.key(pod) == key]
        assert seen.load is not None
        assert seen.load.requests == pytest.approx(60 * sum(pod.requests_per_second for pod in pods))
        assert seen.load.failed == pytest.approx(seen.load.requests * ERROR_RATIO)
        assert [one.memory_bytes for one in seen.usage] == [pod.memory_bytes for pod in pods]
    attributed, simulated = gpu_of_all(reading, fleet), {pod.card_uuid: pod.card_activity for pod in fleet.pods}
    assert attributed == pytest.approx({uuid: simulated[uuid] for uuid in attributed})
    assert len(attributed) == len({pod.card_uuid for pod in fleet.pods if pod.card is not Card.NONE})


async def test_with_the_recording_rules_the_figures_are_the_same(
    tmp_path: Path, start_prometheus: StartPrometheus
) -> None:
    moment = Moment()
    fleet = fleet_of(moment)
    async with served(fleet) as address:
        jobs = fleet.scrape_jobs(address)
        rules = tmp_path / "recording.rules.yaml"
        rules.write_text(RULES.read_text().replace("interval: 15s", f"interval: {SCRAPE_SECONDS}s"))
        with start_prometheus(tmp_path, jobs=jobs, rule_files=[rules]) as url:
            telemetry = telemetry_of(url)
            await both_looks(telemetry, fleet, moment, lambda _: telemetry.are_recorded)
            moment.seconds += 30
            await asyncio.sleep(3 * SCRAPE_SECONDS)
            reading = await telemetry.read(fleet.described(), now=datetime.now(UTC))

    assert telemetry.are_recorded
    for key, seen in reading.observations.items():
        pods = [pod for pod in fleet.pods if fleet.key(pod) == key]
        assert [one.memory_bytes for one in seen.usage] == [pod.memory_bytes for pod in pods]


async def test_a_prometheus_that_starts_anew_loses_nothing_of_what_the_pods_count(
    tmp_path: Path, start_prometheus: StartPrometheus
) -> None:
    machine = Machine()
    async with exporters(machine) as address:
        with start_prometheus(tmp_path, jobs=scrape_jobs(address)) as url:
            telemetry = telemetry_of(url)
            await read_until(telemetry, _has_gpu)
        machine.requests += 25
        away = await telemetry.read((WORKLOAD,), now=datetime.now(UTC))
        with start_prometheus(tmp_path, jobs=scrape_jobs(address), port=port_of(url)):
            back = await read_until(telemetry, _has_requests)

    assert "cannot be asked" in away.problems[KEY]
    assert away.observations == {}
    assert away.ages_seconds["prometheus"] >= 0  # what was seen last, and how old it is
    seen = back.observations[KEY]
    assert seen.load is not None
    assert seen.load.requests == 25


def _has_gpu(reading: Reading) -> bool:
    observation = reading.observations.get(KEY)
    return observation is not None and bool(observation.usage) and observation.usage[0].gpu_ratio is not None


def _has_requests(reading: Reading) -> bool:
    observation = reading.observations.get(KEY)
    return observation is not None and observation.load is not None and observation.load.requests > 0
