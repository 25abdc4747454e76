"""A tick that cannot be trusted is every workload's problem, and the next good one goes on from the last good one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from aiohttp import web

from frugal.loop.ports import Reading
from frugal.telemetry.client import PrometheusClient
from frugal.telemetry.credentials import Credentials
from frugal.telemetry.prometheus import PrometheusTelemetry
from tests.unit.telemetry.factories import KEY, at, pod, workload

WORKLOADS = (workload(pod("a")),)


@dataclass
class Server:
    """A Prometheus that knows one pod; a test moves its counter, its clock and its faults."""

    requests: float = 100.0
    seconds: float = 0.0  # its clock, after noon
    sampled_at: float | None = None  # when it scraped last; None: now
    fails: str = ""  # what the query holds that it refuses
    warns: str = ""  # what the query holds that it answers only partly

    def answer(self, query: str) -> dict[str, Any]:
        if self.fails and self.fails in query:
            return {"status": "error", "errorType": "execution", "error": "out of memory"}
        body = {"status": "success", "data": {"resultType": "vector", "result": self._result(query)}}
        return {**body, "warnings": ["store gateway is away"]} if self.warns and self.warns in query else body

    def _result(self, query: str) -> list[dict[str, Any]]:
        now = at(self.seconds).timestamp()
        labels = {"namespace": "team", "pod": "a"}
        if "vector(0)" in query:
            return [{"metric": {}, "value": [now, "0"]}]
        if "timestamp(" in query and "process_cpu" in query:
            scraped = now if self.sampled_at is None else at(self.sampled_at).timestamp()
            return [{"metric": labels, "value": [now, str(scraped)]}]
        if "frugal_serve_requests_total" in query:
            series = {"__name__": "frugal_serve_requests_total", "code": "200", **labels}
            return [{"metric": series, "value": [now, str(self.requests)]}]
        return []


@asynccontextmanager
async def telemetry_of(server: Server) -> AsyncIterator[PrometheusTelemetry]:
    async def answer(request: web.Request) -> web.Response:
        return web.json_response(server.answer(str((await request.post())["query"])))

    application = web.Application()
    application.router.add_post("/api/v1/query", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    host, port = runner.addresses[0][:2]
    try:
        yield PrometheusTelemetry(PrometheusClient(f"http://{host}:{port}", Credentials()))
    finally:
        await runner.cleanup()


async def look(telemetry: PrometheusTelemetry, server: Server, seconds: float, **changes: Any) -> Reading:
    """Let the server stand so many seconds after noon, with these changes, and read."""
    server.seconds = seconds
    for name, value in changes.items():
        setattr(server, name, value)
    return await telemetry.read(WORKLOADS, now=at(seconds))


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        ({"fails": "frugal_serve_requests_total"}, "out of memory"),
        ({"fails": "DCGM"}, "out of memory"),
        ({"warns": "container_cpu"}, "answers only partly: store gateway is away"),
    ],
    ids=["one query fails", "another fails", "one is answered partly"],
)
async def test_a_tick_that_is_not_whole_is_no_tick_and_nothing_is_lost(fault: dict[str, str], said: str) -> None:
    server = Server()
    async with telemetry_of(server) as telemetry:
        await look(telemetry, server, 0)

        broken = await look(telemetry, server, 15, requests=130.0, **fault)
        mended = await look(telemetry, server, 30, requests=160.0, fails="", warns="")

    assert said in broken.problems[KEY]
    assert broken.observations == {}
    assert broken.ages_seconds == {"prometheus": 15}  # of what is still known
    load = mended.observations[KEY].load
    assert load is not None
    assert (load.requests, load.interval_seconds) == (60, 30)


async def test_a_prometheus_whose_clock_is_wrong_is_not_believed() -> None:
    server = Server(seconds=3600)
    async with telemetry_of(server) as telemetry:
        reading = await telemetry.read(WORKLOADS, now=at(0))

    assert reading.problems == {KEY: "Prometheus' clock is 3600 s ahead of the operator's: set both by NTP"}
    assert reading.observations == {}


async def test_a_clock_that_is_a_little_off_is_believed() -> None:
    server = Server(seconds=5)
    async with telemetry_of(server) as telemetry:
        reading = await telemetry.read(WORKLOADS, now=at(0))

    assert reading.problems == {}


async def test_a_target_that_is_no_longer_scraped_ages_and_tells_nothing_new() -> None:
    server = Server()
    async with telemetry_of(server) as telemetry:
        await look(telemetry, server, 0)
        await look(telemetry, server, 15)

        stale = await look(telemetry, server, 90, sampled_at=15)

    assert stale.observations == {}
    assert stale.ages_seconds == {"prometheus": 75}
