"""The subresource pods/resize as Kubernetes documents it (KEP-1287), answered by a fake API server."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes.aio.client import ApiClient, Configuration

from frugal.cluster.capabilities import discover
from frugal.cluster.client import Api
from frugal.cluster.kubernetes_cluster import KubernetesCluster
from frugal.decisions.plan import PodResize
from frugal.decisions.snapshot import Capabilities
from frugal.errors import Rejected
from frugal.settings import Settings

Manifest = dict[str, Any]
RESOURCES = {"requests": {"cpu": "250m", "memory": "300Mi"}, "limits": {"memory": "600Mi"}}
CHANGE = PodResize(namespace="ml", name="pod-1", container="server", resources=RESOURCES)


@dataclass
class FakeServer:
    """Serves one pod, and its resize where `resources` lists it; accepts strategic merge patches of resources alone."""

    resources: list[str] = field(default_factory=lambda: ["pods", "pods/resize"])
    pods: dict[str, Manifest] = field(default_factory=dict)

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/version", self._version)
        app.router.add_get("/api/v1", self._resources)
        app.router.add_patch("/api/v1/namespaces/ml/pods/{name}/resize", self._resize)
        return app

    async def _version(self, _: web.Request) -> web.Response:
        return web.json_response({"major": "1", "minor": "35"})

    async def _resources(self, _: web.Request) -> web.Response:
        return web.json_response({"resources": [{"name": name} for name in self.resources]})

    async def _resize(self, request: web.Request) -> web.Response:
        pod = self.pods.get(request.match_info["name"])
        if pod is None:
            return web.json_response({"message": "pods not found"}, status=404)
        if request.content_type != "application/strategic-merge-patch+json":
            return web.json_response({"message": "the body of the request was in an unknown format"}, status=415)
        patch = json.loads(await request.text())
        if set(patch) != {"spec"} or set(patch["spec"]) != {"containers"}:
            return web.json_response({"message": "only cpu and memory resources are mutable"}, status=422)
        by_name = {one["name"]: one for one in patch["spec"]["containers"]}
        containers = [{**one, **by_name.get(one["name"], {})} for one in pod["spec"]["containers"]]
        metadata = {**pod["metadata"], "resourceVersion": str(int(pod["metadata"]["resourceVersion"]) + 1)}
        self.pods[request.match_info["name"]] = {**pod, "metadata": metadata, "spec": {"containers": containers}}
        return web.json_response(self.pods[request.match_info["name"]])


def pod() -> Manifest:
    metadata = {"name": "pod-1", "namespace": "ml", "uid": "uid-1", "resourceVersion": "1", "labels": {}}
    containers = [{"name": "server", "image": "serve:1", "resources": {}}, {"name": "proxy", "resources": {}}]
    return {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}


@pytest.fixture
def server() -> FakeServer:
    return FakeServer(pods={"pod-1": pod()})


@pytest.fixture
async def api(server: FakeServer) -> AsyncIterator[Api]:
    async with TestServer(server.app()) as running:
        configuration = Configuration(host=str(running.make_url("")).rstrip("/"))
        api = Api(ApiClient(configuration))
        yield api
        await api.close()


def cluster(api: Api) -> KubernetesCluster:
    return KubernetesCluster(
        api,
        Settings(),
        Capabilities(pod_resize=True),
        (),
        lambda: datetime.now(UTC),
        wake=lambda _: None,
        wake_all=lambda: None,
    )


async def test_the_subresource_is_found_where_the_server_has_it(server: FakeServer, api: Api) -> None:
    assert (await discover(api)).pod_resize

    server.resources.remove("pods/resize")

    assert not (await discover(api)).pod_resize


async def test_only_the_resources_of_the_container_are_changed(server: FakeServer, api: Api) -> None:
    await cluster(api).resize(CHANGE)

    serving, beside = server.pods["pod-1"]["spec"]["containers"]
    assert serving == {"name": "server", "image": "serve:1", "resources": RESOURCES}
    assert beside == {"name": "proxy", "resources": {}}


async def test_a_pod_that_is_gone_is_success(server: FakeServer, api: Api) -> None:
    server.pods.clear()

    await cluster(api).resize(CHANGE)


async def test_what_the_server_finds_invalid_is_told(server: FakeServer, api: Api) -> None:
    with pytest.raises(Rejected, match="only cpu and memory"):
        await api.patch("/api/v1/namespaces/ml/pods/pod-1/resize", {"metadata": {}})
