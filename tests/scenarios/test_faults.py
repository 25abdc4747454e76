"""Killing the operator, the pod or the API server in the middle of each phase loses and duplicates nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress

import httpx
import pytest

from tests.scenarios.objects import compression_job, inference_deployment
from tests.scenarios.world import CLAIM, Manifest, World, infer, sample_rows

PHASES = ("Pending", "Estimating", "Searching", "Verifying", "Publishing")


def at_or_past(phase: str) -> Callable[[Manifest], bool]:
    later = (*PHASES[PHASES.index(phase) :], "Succeeded")
    return lambda status: status.get("phase") in later


def ended_once(world: World, name: str) -> None:
    """The work ended well, by one Job, with one artifact, each event told once."""
    status = world.wait("CompressionJob", name, lambda status: status.get("phase") == "Succeeded", seconds=300)
    uid = world.uid("CompressionJob", name)
    assert len(world.children(uid, "Job")) == 1
    assert len(status["artifacts"]) == 1
    published = [path for path in (world.volume / "out" / name / "sha256").iterdir() if (path / "model.onnx").is_file()]
    assert len(published) == 1
    reasons = [(event["reason"], event["message"]) for event in world.events(name)]
    assert len(reasons) == len(set(reasons)), reasons


@pytest.mark.slow
@pytest.mark.parametrize("phase", PHASES)
def test_killing_the_operator_loses_and_duplicates_nothing(world: World, phase: str) -> None:
    name = f"operator-{phase.lower()}"
    world.apply(compression_job(name, training=True))
    world.wait("CompressionJob", name, at_or_past(phase))

    world.kill_operator()
    world.start_operator()

    ended_once(world, name)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["Estimating", "Searching", "Verifying"])
def test_killing_the_pod_resumes_the_work(world: World, phase: str) -> None:
    name = f"pod-{phase.lower()}"
    world.apply(compression_job(name, training=True))
    world.wait("CompressionJob", name, at_or_past(phase))
    uid = world.uid("CompressionJob", name)

    for pod in world.children(uid, "Pod"):
        world.kill_pod(pod)

    ended_once(world, name)


@pytest.mark.slow
@pytest.mark.parametrize("phase", ["Pending", "Searching", "Publishing"])
def test_losing_the_api_server_loses_and_duplicates_nothing(world: World, phase: str) -> None:
    if not world.has_api_server:
        pytest.skip("embedded mode has no API server; its store lives in the operator's process, killed above")
    name = f"server-{phase.lower()}"
    world.apply(compression_job(name, training=True))
    world.wait("CompressionJob", name, at_or_past(phase))

    world.restart_api_server()

    ended_once(world, name)


@pytest.mark.slow
def test_losing_the_node_costs_time_and_nothing_else(world: World) -> None:
    if not world.has_api_server:
        pytest.skip("embedded mode's node is the operator's own process, killed above")
    world.apply(compression_job("homeless", training=True))
    world.wait("CompressionJob", "homeless", at_or_past("Searching"))

    world.replace_node(world.children(world.uid("CompressionJob", "homeless"), "Pod"))

    ended_once(world, "homeless")


@pytest.mark.slow
def test_serving_goes_on_while_the_operator_is_away(world: World) -> None:
    served = {"uri": f"pvc://{CLAIM}/digits/model.onnx"}
    world.apply(inference_deployment("steady", model=served, service={"port": 18085}))
    world.wait_condition("InferenceDeployment", "steady", "Ready")
    uid = world.uid("InferenceDeployment", "steady")

    world.kill_operator()
    if world.pods_outlive_operator:
        assert answers(world, "steady")
    world.start_operator()

    assert answers(world, "steady", seconds=60)
    world.wait_condition("InferenceDeployment", "steady", "Ready")
    assert len(world.children(uid, "Deployment")) == 1
    assert len(world.children(uid, "Service")) == 1


@pytest.mark.slow
def test_a_killed_replica_is_replaced(world: World) -> None:
    served = {"uri": f"pvc://{CLAIM}/digits/model.onnx"}
    world.apply(inference_deployment("replace", model=served, service={"port": 18086}))
    world.wait_condition("InferenceDeployment", "replace", "Ready")
    uid = world.uid("InferenceDeployment", "replace")

    killed = world.children(uid, "Pod")
    for pod in killed:
        world.kill_pod(pod)

    old = {pod["metadata"]["uid"] for pod in killed}
    world.wait(
        "InferenceDeployment",
        "replace",
        lambda status: status.get("readyReplicas") == 1 and is_fresh(world.children(uid, "Pod"), old),
        seconds=120,
        why="another pod, or another container in it, is ready",
    )
    assert answers(world, "replace", seconds=30)  # the Service hears of the new container a moment later


def answers(world: World, name: str, *, seconds: float = 5.0) -> bool:
    """Whether the Service answers at some time within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        with suppress(httpx.TransportError), world.endpoint(name) as url:
            return bool(infer(url, name, sample_rows(world, 1)))
        if time.monotonic() > deadline:
            return False
        time.sleep(0.25)


def is_fresh(pods: list[Manifest], old: set[str]) -> bool:
    """Whether one pod is left, and it is another one or its container was started again and is ready."""
    statuses = [one for pod in pods for one in (pod.get("status") or {}).get("containerStatuses") or []]
    started_again = pods[0]["metadata"]["uid"] not in old or statuses[0]["restartCount"] > 0 if statuses else False
    return len(pods) == 1 and started_again and bool(statuses[0]["ready"])
