"""The Cluster port's promises on a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any

import pytest

from frugal.api.conditions import Reason
from frugal.cluster.capabilities import discover, watchable
from frugal.cluster.client import Api
from frugal.cluster.kinds import COMPRESSION_JOBS, CONFIG_MAPS, EVENTS
from frugal.cluster.kubernetes_cluster import KubernetesCluster
from frugal.decisions.plan import Event, ObjectRef
from frugal.errors import ClusterUnavailable, Conflict, Forbidden, NotFound, Rejected
from frugal.loop.ports import ObjectKey
from frugal.settings import Settings
from tests.cluster.cluster import ControlPlane

Manifest = dict[str, Any]


@pytest.fixture
async def api(api_server: ControlPlane) -> AsyncIterator[Api]:
    connected = await Api.connect(str(api_server.kubeconfig))
    yield connected
    await connected.close()


@pytest.fixture
def woken() -> list[Manifest]:
    """What the cluster told of, in order."""
    return []


@pytest.fixture
async def cluster(api: Api, namespace: str, woken: list[Manifest]) -> KubernetesCluster:
    capabilities = await discover(api)
    return KubernetesCluster(
        api,
        Settings(namespaces=(namespace,), operator_namespace=namespace),
        capabilities,
        await watchable(api, capabilities),
        lambda: datetime.now(UTC),
        wake=woken.append,
        wake_all=lambda: None,
    )


async def make(api: Api, cluster: KubernetesCluster, namespace: str) -> tuple[ObjectKey, Manifest]:
    """Create a CompressionJob as a user does, and let the cache know it."""
    spec = {
        "model": {"uri": "s3://m/a.onnx"},
        "data": {"evaluation": {"uri": "s3://d/a.npz"}},
        "output": {"uri": "s3://m/out"},
    }
    metadata = {"name": "cnn", "namespace": namespace}
    body = {"apiVersion": COMPRESSION_JOBS.api_version, "kind": "CompressionJob", "metadata": metadata, "spec": spec}
    made = await api.create(COMPRESSION_JOBS.collection(namespace), body)
    await cluster.resync()
    return ObjectKey("CompressionJob", namespace, "cnn"), made


def config_map(owner: Manifest, text: str = "b") -> Manifest:
    metadata = {
        "name": "child",
        "namespace": owner["metadata"]["namespace"],
        "labels": {"frugal.dev/uid": owner["metadata"]["uid"]},
    }
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": text}}


async def test_our_own_writes_are_seen_at_once(api: Api, cluster: KubernetesCluster, namespace: str) -> None:
    key, owner = await make(api, cluster, namespace)

    await cluster.apply(config_map(owner))
    await cluster.apply_status(key, {"observedGeneration": 1, "phase": "Pending"})

    (child,) = cluster.children(owner["metadata"]["uid"]).config_maps
    assert child["data"] == {"a": "b"}
    assert (cluster.get(key) or {})["status"] == {"observedGeneration": 1, "phase": "Pending"}


async def test_our_own_status_wakes_those_who_wait_for_it_even_before_the_watch_tells(
    api: Api, cluster: KubernetesCluster, namespace: str, woken: list[Manifest]
) -> None:
    key, _ = await make(api, cluster, namespace)
    woken.clear()

    await cluster.apply_status(key, {"phase": "Succeeded"})
    told_by_the_answer = [manifest["status"]["phase"] for manifest in woken]
    cluster.take(woken[0], is_deleted=False)  # the watch event of the same write comes late

    assert told_by_the_answer == ["Succeeded"]
    assert len(woken) == 1


async def test_what_a_later_apply_leaves_out_goes_away(api: Api, cluster: KubernetesCluster, namespace: str) -> None:
    key, _ = await make(api, cluster, namespace)
    await cluster.apply_status(key, {"observedGeneration": 1, "phase": "Pending", "advice": "prune"})

    await cluster.apply_status(key, {"observedGeneration": 1, "phase": "Searching"})

    assert (cluster.get(key) or {})["status"] == {"observedGeneration": 1, "phase": "Searching"}


async def test_a_finalizer_and_a_status_do_not_take_each_other_away(
    api: Api, cluster: KubernetesCluster, namespace: str
) -> None:
    key, _ = await make(api, cluster, namespace)

    await cluster.apply_finalizers(key, ("frugal.dev/artifacts",))
    await cluster.apply_status(key, {"observedGeneration": 1})
    both = cluster.get(key) or {}
    await cluster.apply_finalizers(key, ())

    assert both["metadata"]["finalizers"] == ["frugal.dev/artifacts"]
    assert both["status"] == {"observedGeneration": 1}
    assert "finalizers" not in (cluster.get(key) or {})["metadata"]


async def test_an_object_that_is_gone_is_no_error_and_does_not_come_back(
    api: Api, cluster: KubernetesCluster, namespace: str
) -> None:
    key, made = await make(api, cluster, namespace)
    await api.delete(COMPRESSION_JOBS.path(namespace, "cnn"), uid=made["metadata"]["uid"])

    await cluster.apply_status(key, {"observedGeneration": 1})
    await cluster.apply_finalizers(key, ("frugal.dev/artifacts",))

    with pytest.raises(NotFound):
        await api.get(COMPRESSION_JOBS.path(namespace, "cnn"))


async def test_a_deletion_spares_a_successor_of_the_same_name(
    api: Api, cluster: KubernetesCluster, namespace: str
) -> None:
    _, owner = await make(api, cluster, namespace)
    await cluster.apply(config_map(owner))
    ref = ObjectRef(api_version="v1", kind="ConfigMap", namespace=namespace, name="child", uid="another")

    await cluster.delete(ref)

    assert (await api.get(CONFIG_MAPS.path(namespace, "child")))["data"] == {"a": "b"}


async def test_deleting_what_is_gone_is_success(cluster: KubernetesCluster, namespace: str) -> None:
    ref = ObjectRef(api_version="batch/v1", kind="Job", namespace=namespace, name="never", uid="u")

    await cluster.delete(ref)


async def test_the_same_event_twice_is_posted_once(api: Api, cluster: KubernetesCluster, namespace: str) -> None:
    key, _ = await make(api, cluster, namespace)
    event = Event(reason=Reason.PENDING, message="waits")

    for _ in range(2):
        await cluster.record(cluster.get(key) or {}, event)

    listed = await api.get(EVENTS.collection(namespace))
    assert [item["message"] for item in listed["items"] if item["reason"] == "Pending"] == ["waits"]


async def test_a_resync_finds_what_was_deleted_unseen(api: Api, cluster: KubernetesCluster, namespace: str) -> None:
    _, owner = await make(api, cluster, namespace)
    await cluster.apply(config_map(owner))
    found = await api.get(CONFIG_MAPS.path(namespace, "child"))
    await api.delete(CONFIG_MAPS.path(namespace, "child"), uid=found["metadata"]["uid"])

    await cluster.resync()

    assert cluster.children(owner["metadata"]["uid"]).config_maps == ()


async def test_the_price_book_is_read_with_the_rest(api: Api, cluster: KubernetesCluster, namespace: str) -> None:
    metadata = {"name": "frugal-prices", "namespace": namespace}
    body = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"prices.yaml": "currency: EUR"}}
    await api.create(CONFIG_MAPS.collection(namespace), body)

    await cluster.resync()

    assert cluster.price_book() == "currency: EUR"


async def test_each_refusal_is_the_error_that_says_what_to_do(api: Api, namespace: str) -> None:
    invalid = {"apiVersion": "frugal.dev/v1alpha1", "kind": "CompressionJob", "metadata": {"name": "x"}, "spec": {}}
    taken = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "taken"}}
    elsewhere = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}
    await api.create(CONFIG_MAPS.collection(namespace), taken)

    with pytest.raises(Rejected, match=r"spec.model: Required value"):
        await api.create(COMPRESSION_JOBS.collection(namespace), invalid)
    with pytest.raises(Conflict, match="already exists"):
        await api.create(CONFIG_MAPS.collection(namespace), taken)
    with pytest.raises(NotFound, match="namespaces"):
        await api.create(CONFIG_MAPS.collection("nowhere"), elsewhere)
    with pytest.raises(Forbidden, match="cannot"):
        await _as_nobody(api).get("/api/v1/nodes")


async def test_a_server_that_is_away_is_an_outage(api: Api) -> None:
    api._client.configuration.host = "https://127.0.0.1:1"

    with pytest.raises(ClusterUnavailable, match=r"127\.0\.0\.1:1"):
        await api.get("/version")


def _as_nobody(api: Api) -> Api:
    """Impersonate a user without rights."""
    api._client.default_headers["Impersonate-User"] = "nobody"
    return api
