"""The cache: the newest version wins, whatever the order in which versions come."""

from __future__ import annotations

from typing import Any

from frugal.cluster.cache import Cache
from frugal.cluster.kinds import NODES, PODS
from frugal.loop.ports import ObjectKey

JOB = ObjectKey("CompressionJob", "team", "cnn")


def compression_job(*, version: int, uid: str = "u1", phase: str = "") -> dict[str, Any]:
    metadata = {"namespace": "team", "name": "cnn", "uid": uid, "resourceVersion": str(version)}
    return {"kind": "CompressionJob", "metadata": metadata, "status": {"phase": phase}}


def pod(name: str, *, version: int, owner: str = "u1", namespace: str = "team") -> dict[str, Any]:
    labels = {"frugal.dev/uid": owner}
    metadata = {"namespace": namespace, "name": name, "uid": f"{name}-uid", "resourceVersion": str(version)}
    return {"kind": "Pod", "metadata": {**metadata, "labels": labels, "managedFields": [{"manager": "kubelet"}]}}


def node(name: str, *, version: int, **labels: str) -> dict[str, Any]:
    return {
        "kind": "Node",
        "metadata": {"name": name, "uid": name, "resourceVersion": str(version), "labels": labels},
    }


def test_a_version_that_comes_late_does_not_undo_a_newer_one() -> None:
    cache = Cache()
    cache.update(compression_job(version=7, phase="Searching"))

    changed = cache.update(compression_job(version=5, phase="Pending"))

    assert not changed
    assert (cache.get(JOB) or {})["status"] == {"phase": "Searching"}


def test_the_same_version_again_changes_nothing() -> None:
    cache = Cache()

    changes = [cache.update(compression_job(version=7)), cache.update(compression_job(version=7))]

    assert changes == [True, False]


def test_versions_are_numbers_not_texts() -> None:
    cache = Cache()
    cache.update(compression_job(version=9, phase="old"))

    cache.update(compression_job(version=10, phase="new"))

    assert (cache.get(JOB) or {})["status"] == {"phase": "new"}


def test_an_update_that_lost_against_a_deletion_does_not_bring_the_object_back() -> None:
    cache = Cache()
    cache.update(compression_job(version=7))
    cache.remove(compression_job(version=8))

    cache.update(compression_job(version=7))

    assert cache.get(JOB) is None


def test_a_successor_of_the_same_name_takes_the_place() -> None:
    cache = Cache()
    cache.update(compression_job(version=7, uid="u1"))
    cache.remove(compression_job(version=8, uid="u1"))

    cache.update(compression_job(version=9, uid="u2"))

    assert (cache.get(JOB) or {})["metadata"]["uid"] == "u2"


def test_a_late_deletion_of_the_predecessor_spares_the_successor() -> None:
    cache = Cache()
    cache.update(compression_job(version=9, uid="u2"))

    cache.remove(compression_job(version=8, uid="u1"))

    assert cache.get(JOB) is not None


def test_children_are_found_by_the_uid_of_their_owner_in_order_of_name() -> None:
    cache = Cache()
    cache.update(pod("b", version=2))
    cache.update(pod("a", version=1))
    cache.update(pod("other", version=3, owner="u2"))

    children = cache.children("u1")

    assert [one["metadata"]["name"] for one in children.pods] == ["a", "b"]
    assert children.jobs == ()


def test_a_deleted_child_is_no_child_any_more() -> None:
    cache = Cache()
    cache.update(pod("a", version=1))

    cache.remove(pod("a", version=2))

    assert cache.children("u1").pods == ()


def test_a_complete_list_finds_what_was_deleted_while_nobody_watched() -> None:
    cache = Cache()
    cache.update(pod("gone", version=1))
    cache.update(pod("here", version=2))

    changed = cache.replace(PODS, None, [pod("here", version=2)], "10")

    assert [one["metadata"]["name"] for one in changed] == ["gone"]
    assert [one["metadata"]["name"] for one in cache.pods()] == ["here"]


def test_a_list_that_is_older_than_an_object_does_not_delete_it() -> None:
    cache = Cache()
    cache.update(pod("new", version=12))

    cache.replace(PODS, None, [], "10")

    assert len(cache.pods()) == 1


def test_the_list_of_one_namespace_says_nothing_of_another() -> None:
    cache = Cache()
    cache.update(pod("a", version=1, namespace="team"))
    cache.update(pod("b", version=1, namespace="other"))

    cache.replace(PODS, "team", [], "10")

    assert [one["metadata"]["name"] for one in cache.pods()] == ["b"]


def test_a_heartbeat_of_a_node_is_no_change_but_a_label_is() -> None:
    cache = Cache()
    cache.update(node("n1", version=1, zone="a"))

    heartbeat = cache.update(node("n1", version=2, zone="a"))
    relabelled = cache.update(node("n1", version=3, zone="b"))

    assert not heartbeat
    assert relabelled
    assert cache.node_labels() == {"n1": {"zone": "b"}}


def test_a_node_that_is_gone_has_no_labels() -> None:
    cache = Cache()
    cache.update(node("n1", version=1, zone="a"))

    cache.replace(NODES, None, [], "5")

    assert cache.node_labels() == {}


def test_what_nobody_reads_is_not_kept() -> None:
    cache = Cache()

    cache.update(pod("a", version=1))

    assert "managedFields" not in cache.pods()[0]["metadata"]
