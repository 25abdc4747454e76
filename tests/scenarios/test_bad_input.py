"""Bad input ends in a condition that names the field, the value and the remedy, and disturbs nobody else."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scenarios.objects import compression_job, inference_deployment
from tests.scenarios.world import CLAIM, World, condition

WRONG_SPECS: list[tuple[str, dict[str, Any], str]] = [
    ("empty-pipeline", {"strategy": {"mode": "Pipeline"}}, "spec.strategy.pipeline"),
    (
        "contradiction",
        {"resources": {"requests": {"memory": "4Gi"}, "limits": {"memory": "1Gi"}}},
        "spec.resources.requests",
    ),
    (
        "two-loads",
        {"costBenefit": {"inferenceDeploymentRef": {"name": "x"}, "requestsPerSecond": 5}},
        "spec.costBenefit.requestsPerSecond",
    ),
]


@pytest.mark.parametrize(("name", "changes", "field"), WRONG_SPECS, ids=[row[0] for row in WRONG_SPECS])
def test_a_broken_rule_is_said_in_valid_false(world: World, name: str, changes: dict[str, Any], field: str) -> None:
    if world.enforces_rules:
        pytest.skip("this server refuses it at admission by CEL, which tests/cel checks")
    world.apply(compression_job(name, **changes))

    said = world.wait_condition("CompressionJob", name, "Valid", "False", seconds=30)

    assert said["reason"] == "InvalidSpec"
    assert field in said["message"]
    assert condition(world.status("CompressionJob", name), "Stalled")["status"] == "True"


WRONG_INPUTS: list[tuple[str, dict[str, Any], str, str]] = [
    ("no-model", {"model": {"uri": f"pvc://{CLAIM}/digits/nowhere.onnx"}}, "spec.model.uri", "nowhere.onnx"),
    ("wrong-sum", {"model": {"sha256": "0" * 64}}, "spec.model.sha256", "0000"),
    ("not-onnx", {"model": {"uri": f"pvc://{CLAIM}/bad/noise.onnx"}}, "spec.model", "noise.onnx"),
    ("pickle", {"model": {"uri": f"pvc://{CLAIM}/bad/pickle.pt", "format": "torch"}}, "spec.model", "pickle"),
    ("wrong-shape", {"data": {"evaluation": {"uri": f"pvc://{CLAIM}/bad/shape.npz"}}}, "spec.data.evaluation", "shape"),
    (
        "wrong-label",
        {"data": {"evaluation": {"uri": f"pvc://{CLAIM}/bad/labels.npz"}}},
        "spec.data.evaluation",
        "label",
    ),
    ("read-only", {"output": {"uri": "file:/proc/frugal"}}, "spec.output.uri", "/proc/frugal"),
]


def test_wrong_inputs_stall_with_field_and_remedy_while_a_good_one_goes_on(world: World) -> None:
    for name, changes, _, _ in WRONG_INPUTS:
        world.apply(compression_job(name, **changes))
    world.apply(compression_job("good-beside-bad"))

    for name, _, field, word in WRONG_INPUTS:
        said = world.wait_condition("CompressionJob", name, "Stalled", "True", seconds=300)
        assert said["reason"] == "InvalidInput", (name, said)
        assert field in said["message"], (name, said)
        assert word in said["message"], (name, said)
    world.wait("CompressionJob", "good-beside-bad", lambda status: status.get("phase") == "Succeeded", seconds=300)


def test_a_loss_above_the_limit_publishes_nothing(world: World) -> None:
    world.apply(compression_job("too-strict", objective={"maxLoss": 0}))

    said = world.wait_condition("CompressionJob", "too-strict", "Verified", "False")

    assert said["reason"] == "LossAboveLimit"
    status = world.status("CompressionJob", "too-strict")
    assert status["phase"] == "Failed"
    assert not status.get("artifacts")


def test_a_missing_secret_is_named(world: World) -> None:
    world.apply(compression_job("no-secret", credentials={"secretRef": {"name": "bucket"}}))

    status = world.wait(
        "CompressionJob",
        "no-secret",
        lambda status: "bucket" in condition(status, "Ready").get("message", ""),
        seconds=60,
    )

    assert status["phase"] == "Pending"
    world.apply({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket", "namespace": "default"}})
    world.wait("CompressionJob", "no-secret", lambda status: status.get("phase") == "Succeeded", seconds=240)


def test_a_served_model_that_is_missing_is_named(world: World) -> None:
    world.apply(inference_deployment("no-file", model={"uri": f"pvc://{CLAIM}/nowhere.onnx"}, service={"port": 18082}))

    status = world.wait(
        "InferenceDeployment",
        "no-file",
        lambda status: "nowhere.onnx" in condition(status, "Ready").get("message", ""),
        seconds=90,
    )

    assert condition(status, "Ready")["status"] == "False"


def test_a_pod_out_of_memory_is_told_with_its_limit(world: World) -> None:
    small = {"requests": {"memory": "48Mi"}, "limits": {"memory": "48Mi"}}
    world.apply(compression_job("small-pod", resources=small, backoffLimit=0))

    status = world.wait("CompressionJob", "small-pod", lambda status: status.get("phase") == "Failed", seconds=120)

    stalled = condition(status, "Stalled")
    assert stalled["reason"] == "OutOfMemory"
    assert "48Mi" in stalled["message"]
    assert "resources" in stalled["message"]
