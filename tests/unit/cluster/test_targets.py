"""A Deployment that is not ours is followed by its name, with the pods of its selector."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from frugal.cluster.client import Api
from frugal.cluster.targets import Targets

Manifest = dict[str, Any]


class FakeServer:
    """Lists and watches one namespace's Deployments and pods, and remembers how it was asked."""

    def __init__(self) -> None:
        self.deployments: dict[str, Manifest] = {}
        self.pods: dict[str, Manifest] = {}
        self.asked: list[tuple[str, str]] = []
        self._watches: list[tuple[str, asyncio.Queue[Manifest]]] = []
        self._watched = asyncio.Event()

    async def watched(self, *kinds: str) -> None:
        """Wait until each of these kinds is watched."""
        async with asyncio.timeout(5):
            while not set(kinds) <= {kind for kind, _ in self._watches}:
                self._watched.clear()
                await self._watched.wait()

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/apis/apps/v1/namespaces/ml/deployments", self._deployments)
        app.router.add_get("/api/v1/namespaces/ml/pods", self._pods)
        return app

    def tell(self, kind: str, what: str, manifest: Manifest) -> None:
        """Send an event to every watch of this kind."""
        for watched, events in self._watches:
            if watched == kind:
                events.put_nowait({"type": what, "object": manifest})

    async def _deployments(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(("Deployment", request.query["fieldSelector"]))
        return await self._answer(request, "Deployment", self.deployments)

    async def _pods(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(("Pod", request.query["labelSelector"]))
        return await self._answer(request, "Pod", self.pods)

    async def _answer(self, request: web.Request, kind: str, objects: dict[str, Manifest]) -> web.StreamResponse:
        if "watch" not in request.query:
            return web.json_response({"metadata": {"resourceVersion": "7"}, "items": list(objects.values())})
        response = web.StreamResponse()
        await response.prepare(request)
        events: asyncio.Queue[Manifest] = asyncio.Queue()
        self._watches.append((kind, events))
        self._watched.set()
        while True:
            await response.write(json.dumps(await events.get()).encode() + b"\n")


def deployment(app: str = "llm", note: str = "") -> Manifest:
    return {
        "metadata": {"name": "existing", "namespace": "ml", "annotations": {"note": note}},
        "spec": {"selector": {"matchLabels": {"app": app}}, "template": {"spec": {"containers": []}}},
    }


def pod(name: str) -> Manifest:
    return {"metadata": {"name": name, "namespace": "ml"}, "status": {"phase": "Running"}}


@pytest.fixture
def server() -> FakeServer:
    return FakeServer()


@pytest.fixture
def woken() -> asyncio.Event:
    return asyncio.Event()


@pytest.fixture
async def targets(server: FakeServer, woken: asyncio.Event) -> AsyncIterator[Targets]:
    async with TestServer(server.app()) as running:
        api = Api(ApiClient(Configuration(host=str(running.make_url("")).rstrip("/"))))
        targets = Targets(api, wake=lambda *_: woken.set())
        yield targets
        await targets.close()
        await api.close()


async def until(targets: Targets, woken: asyncio.Event, names: tuple[int, int]) -> None:
    """Wait until so many Deployments and pods are known."""
    async with asyncio.timeout(5):
        while True:
            found = targets.look("ml", "existing")
            if (len(found.deployments), len(found.pods)) == names:
                return
            woken.clear()
            await woken.wait()


async def test_a_deployment_and_its_pods_are_found_and_followed(
    server: FakeServer, targets: Targets, woken: asyncio.Event
) -> None:
    server.deployments["existing"], server.pods["a"] = deployment(), pod("a")

    await until(targets, woken, (1, 1))
    assert set(server.asked) == {("Deployment", "metadata.name=existing"), ("Pod", "app=llm")}
    assert targets.look("ml", "existing").deployments[0]["kind"] == "Deployment"

    await server.watched("Deployment", "Pod")
    server.tell("Pod", "ADDED", pod("b"))
    await until(targets, woken, (1, 2))
    server.tell("Pod", "DELETED", pod("a"))
    await until(targets, woken, (1, 1))
    server.tell("Deployment", "DELETED", deployment())
    await until(targets, woken, (0, 0))


async def test_an_object_longer_than_a_readers_limit_is_read_whole(
    server: FakeServer, targets: Targets, woken: asyncio.Event
) -> None:
    server.deployments["existing"] = deployment()
    await until(targets, woken, (1, 0))
    await server.watched("Deployment")

    server.tell("Deployment", "MODIFIED", deployment(note="x" * 300_000))

    async with asyncio.timeout(5):
        while len(targets.look("ml", "existing").deployments[0]["metadata"]["annotations"]["note"]) < 300_000:
            woken.clear()
            await woken.wait()


async def test_what_nobody_adopts_any_more_is_forgotten(
    server: FakeServer, targets: Targets, woken: asyncio.Event
) -> None:
    server.deployments["existing"] = deployment()
    await until(targets, woken, (1, 0))

    targets.forget_all_but([])

    assert targets.look("ml", "existing").deployments == ()  # and this look begins anew
