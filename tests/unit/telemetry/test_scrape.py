"""Direct scraping over real sockets on loopback."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import datetime

import pytest
from aiohttp import web

from frugal.decisions.snapshot import Manifest
from frugal.telemetry.scrape import LARGEST_PAGE_BYTES, PodScraper, pod_address
from tests.unit.telemetry.factories import KEY, at, pod, workload

Answer = Callable[[web.Request], Awaitable[web.Response]]


@asynccontextmanager
async def served(answer: Answer) -> AsyncIterator[str]:
    """Serve /metrics on a free port, and give HOST:PORT."""
    application = web.Application()
    application.router.add_get("/metrics", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"{host}:{port}"
    finally:
        await runner.cleanup()


class HandClock:
    """A clock that moves only by hand."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> datetime:
        return at(self.seconds)


async def test_two_scrapes_make_an_observation() -> None:
    clock, requests = HandClock(), 100

    async def metrics(_: web.Request) -> web.Response:
        return web.Response(
            text=f'frugal_serve_requests_total{{code="200"}} {requests}\nprocess_cpu_seconds_total {requests / 100}\n'
        )

    async with served(metrics) as address:
        scraper = PodScraper(clock, lambda _: address)
        await scraper.read((workload(pod()),), now=at(0))
        clock.seconds, requests = 10.0, 150
        reading = await scraper.read((workload(pod()),), now=at(10))

    seen = reading.observations[KEY]
    assert seen.load is not None
    assert (seen.load.requests, seen.load.interval_seconds) == (50, 10)
    assert seen.usage[0].cpu_cores == 0.05
    assert reading.ages_seconds == {"pods": 0}


async def refused(_: web.Request) -> web.Response:
    return web.Response(status=404)


async def something_else(_: web.Request) -> web.Response:
    return web.Response(text="<html>hello</html>")


async def endless(_: web.Request) -> web.Response:
    return web.Response(text="x" * (LARGEST_PAGE_BYTES + 1))


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (refused, "answers HTTP 404"),
        (something_else, "not in the Prometheus text format"),
        (endless, "bytes of metrics"),
    ],
)
async def test_a_pod_that_gives_no_metrics_is_a_problem_with_its_reason(answer: Answer, said: str) -> None:
    async with served(answer) as address:
        reading = await PodScraper(lambda: at(0), lambda _: address).read((workload(pod("fashion-1")),), now=at(0))

    assert said in reading.problems[KEY]
    assert "fashion-1" in reading.problems[KEY]


async def test_a_pod_that_does_not_listen_is_a_problem_and_others_are_read_all_the_same() -> None:
    async def metrics(_: web.Request) -> web.Response:
        return web.Response(text="process_cpu_seconds_total 1\n")

    async with served(metrics) as address:

        def address_of(one: Manifest) -> str:
            return address if one["metadata"]["name"] == "b" else "127.0.0.1:1"

        scraper = PodScraper(lambda: at(0), address_of)
        other = workload(pod("b"), key=KEY.__class__(KEY.kind, "team", "other"))
        reading = await scraper.read((workload(pod("a")), other), now=at(0))

    assert set(reading.problems) == {KEY}
    assert "127.0.0.1:1" in reading.problems[KEY]


def test_a_pods_address_is_its_own_with_the_port_named_http() -> None:
    assert pod_address(pod(address="10.1.2.3")) == "10.1.2.3:8080"
    assert pod_address(pod(address="fd00::7")) == "[fd00::7]:8080"
    assert pod_address(pod(address="")) is None
