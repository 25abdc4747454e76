"""Suspend, resume, change, delete: what a person does to an object while it works."""

from __future__ import annotations

import time

from tests.scenarios.objects import compression_job, inference_deployment
from tests.scenarios.world import CLAIM, Manifest, World, condition


def searching(status: Manifest) -> bool:
    return status.get("phase") in ("Searching", "Verifying")


def test_suspending_ends_the_pod_and_resuming_ends_the_work(world: World) -> None:
    world.apply(compression_job("pause", training=True))
    world.wait("CompressionJob", "pause", searching)
    uid = world.uid("CompressionJob", "pause")

    world.apply(compression_job("pause", training=True, suspend=True))
    world.wait("CompressionJob", "pause", lambda status: status.get("phase") == "Suspended", seconds=60)
    deadline = time.monotonic() + 60
    while world.children(uid, "Pod") and time.monotonic() < deadline:
        time.sleep(0.25)
    assert world.children(uid, "Job") == world.children(uid, "Pod") == []

    world.apply(compression_job("pause", training=True))
    world.wait("CompressionJob", "pause", lambda status: status.get("phase") == "Succeeded", seconds=240)


def test_a_changed_objective_starts_the_work_again_and_other_changes_do_not(world: World) -> None:
    world.apply(compression_job("again"))
    first = world.wait("CompressionJob", "again", lambda status: status.get("phase") == "Succeeded")

    world.apply(compression_job("again", backoffLimit=1))
    world.wait_condition("CompressionJob", "again", "Ready")
    assert world.status("CompressionJob", "again")["inputsHash"] == first["inputsHash"]

    world.apply(compression_job("again", objective={"maxLoss": 4}))
    second = world.wait(
        "CompressionJob",
        "again",
        lambda status: status.get("phase") == "Succeeded" and status["inputsHash"] != first["inputsHash"],
    )
    assert second["artifacts"]


def test_deleting_takes_the_children_and_leaves_the_artifacts(world: World) -> None:
    world.apply(compression_job("gone"))
    status = world.wait("CompressionJob", "gone", lambda status: status.get("phase") == "Succeeded")
    uid = world.uid("CompressionJob", "gone")
    artifact = world.volume / status["artifacts"][0]["uri"].removeprefix(f"pvc://{CLAIM}/")

    world.delete("CompressionJob", "gone")

    deadline = time.monotonic() + 60
    kinds = ("Job", "Pod", "ConfigMap")
    while any(world.children(uid, kind) for kind in kinds) and time.monotonic() < deadline:
        time.sleep(0.25)
    assert [world.children(uid, kind) for kind in kinds] == [[], [], []]
    assert artifact.is_file()


def test_a_deleted_child_comes_back(world: World) -> None:
    world.apply(
        inference_deployment("heal", model={"uri": f"pvc://{CLAIM}/digits/model.onnx"}, service={"port": 18083})
    )
    world.wait_condition("InferenceDeployment", "heal", "Ready")
    uid = world.uid("InferenceDeployment", "heal")
    (before,) = world.children(uid, "Service")

    world.delete("Service", before["metadata"]["name"])

    comes_back(world, uid, before)


def test_a_deleted_request_comes_back_while_the_work_goes_on(world: World) -> None:
    world.apply(compression_job("unasked", training=True))
    world.wait("CompressionJob", "unasked", searching)
    uid = world.uid("CompressionJob", "unasked")
    (before,) = world.children(uid, "ConfigMap")

    world.delete("ConfigMap", before["metadata"]["name"])

    comes_back(world, uid, before)
    world.wait("CompressionJob", "unasked", lambda status: status.get("phase") == "Succeeded", seconds=240)


def comes_back(world: World, uid: str, before: Manifest) -> None:
    """A child that was deleted is there again, once, as another object."""
    deadline = time.monotonic() + 60
    after: list[Manifest] = []
    while time.monotonic() < deadline:
        after = world.children(uid, before["kind"])
        if after and after[0]["metadata"]["uid"] != before["metadata"]["uid"]:
            break
        time.sleep(0.25)
    assert len(after) == 1
    assert after[0]["metadata"]["uid"] != before["metadata"]["uid"]


def test_a_changed_replica_count_is_followed_in_place(world: World) -> None:
    served = {"uri": f"pvc://{CLAIM}/digits/model.onnx"}
    world.apply(inference_deployment("grow", model=served, service={"port": 18084}))
    world.wait_condition("InferenceDeployment", "grow", "Ready")

    world.apply(inference_deployment("grow", model=served, replicas={"min": 2}, service={"port": 18084}))

    status = world.wait("InferenceDeployment", "grow", lambda status: status.get("readyReplicas") == 2, seconds=120)
    assert condition(status, "Ready")["status"] == "True"
