"""Followed logs: whole, in order and once, through lost connections; over real sockets on loopback."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from aiohttp import web
from kubernetes.aio.client import ApiClient, Configuration

from frugal.cluster import logs
from frugal.cluster.client import Api
from frugal.cluster.logs import LINE_BYTES, LogFollowers

POD: dict[str, Any] = {
    "kind": "Pod",
    "metadata": {"name": "cnn-1", "namespace": "team", "uid": "u1"},
    "spec": {"containers": [{"name": "compress"}, {"name": "sidecar"}]},
    "status": {"phase": "Running"},
}
Log = Callable[[web.Request, web.StreamResponse], Awaitable[None]]


def line(second: int, text: str) -> bytes:
    """Return a line as the kubelet gives it with timestamps."""
    return f"2026-11-24T12:00:{second:02d}.000000000Z {text}\n".encode()


@asynccontextmanager
async def followers(*connections: Log, phase: str = "Succeeded") -> AsyncIterator[tuple[LogFollowers, list[str]]]:
    """Serve a pod's log, one answer for each connection, and give its follower and the pods that it woke."""
    answers, woken = list(connections), list[str]()

    async def log(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await answers.pop(0)(request, response)
        return response

    async def pod(_: web.Request) -> web.Response:
        ended = phase if not answers else "Running"
        return web.json_response({**POD, "status": {"phase": ended}})

    application = web.Application()
    application.router.add_get("/api/v1/namespaces/team/pods/cnn-1/log", log)
    application.router.add_get("/api/v1/namespaces/team/pods/cnn-1", pod)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    configuration = Configuration()
    configuration.host = "http://{}:{}".format(*runner.addresses[0][:2])
    api = Api(ApiClient(configuration))
    following = LogFollowers(api, lambda seen: woken.append(seen["metadata"]["name"]))
    try:
        yield following, woken
    finally:
        await following.close()
        await api.close()
        await runner.cleanup()


async def all_lines(following: LogFollowers, count: int) -> tuple[str, ...]:
    async with asyncio.timeout(5):
        while len(following.lines(POD)) < count:  # noqa: ASYNC110 - the follower's own task brings it about
            await asyncio.sleep(0.01)
    await asyncio.sleep(0.05)  # what came twice would come now
    return following.lines(POD)


async def test_lines_arrive_while_the_container_runs_and_json_wakes() -> None:
    async def running(_: web.Request, response: web.StreamResponse) -> None:
        await response.write(line(1, "loading") + line(2, '{"kind": "phase"}'))

    async with followers(running) as (following, woken):
        seen = await all_lines(following, 2)

    assert seen == ("loading", '{"kind": "phase"}')
    assert woken == ["cnn-1"]


async def test_a_line_may_come_in_pieces() -> None:
    async def running(_: web.Request, response: web.StreamResponse) -> None:
        whole = line(1, '{"kind": "phase"}')
        await response.write(whole[:30])
        await asyncio.sleep(0.05)
        await response.write(whole[30:])

    async with followers(running) as (following, _woken):
        assert await all_lines(following, 1) == ('{"kind": "phase"}',)


async def test_a_lost_connection_resumes_where_it_was_and_repeats_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logs, "RESUME_SECONDS", 0.01)
    asked = list[str]()

    async def cut(request: web.Request, response: web.StreamResponse) -> None:
        await response.write(line(1, "one") + line(2, "two"))
        assert request.transport is not None
        request.transport.close()

    async def resumed(request: web.Request, response: web.StreamResponse) -> None:
        asked.append(request.query["sinceTime"])
        await response.write(line(2, "two") + line(3, "three"))  # whole seconds: the last one comes again

    async with followers(cut, resumed) as (following, _woken):
        seen = await all_lines(following, 3)

    assert seen == ("one", "two", "three")
    assert asked == ["2026-11-24T12:00:02Z"]


async def test_a_line_that_is_too_long_is_dropped_and_the_next_is_not() -> None:
    async def running(_: web.Request, response: web.StreamResponse) -> None:
        await response.write(line(1, "x" * (2 * LINE_BYTES)) + line(2, "short"))

    async with followers(running) as (following, _woken):
        assert await all_lines(following, 1) == ("short",)


async def test_only_the_containers_own_log_is_read_when_the_user_added_another() -> None:
    asked = list[str]()

    async def running(request: web.Request, response: web.StreamResponse) -> None:
        asked.append(request.query["container"])
        await response.write(line(1, "one"))

    async with followers(running) as (following, _woken):
        await all_lines(following, 1)

    assert asked == ["compress"]


async def test_a_pod_that_has_not_started_is_not_followed_and_one_that_is_gone_is_forgotten() -> None:
    async def running(_: web.Request, response: web.StreamResponse) -> None:
        await response.write(line(1, "one"))

    async with followers(running) as (following, _woken):
        pending = following.lines({**POD, "status": {"phase": "Pending"}})
        await all_lines(following, 1)
        following.forget_all_but([])

        assert pending == ()
        assert following.lines({**POD, "status": {"phase": "Pending"}}) == ()
