"""The whole loop: compress, verify, serve, measure, right-size, price."""

from __future__ import annotations

import time

import numpy as np

from frugal.settings import Settings
from tests.scenarios.objects import compression_job, inference_deployment, price_book
from tests.scenarios.world import CLAIM, World, condition, infer


def test_a_model_is_compressed_verified_served_measured_sized_and_priced(world: World) -> None:
    world.apply(price_book(world.operator_namespace), compression_job("loop"))
    world.apply(
        inference_deployment("loop-serving", model={"compressionJobRef": {"name": "loop"}}, service={"port": 18081})
    )

    job = world.wait("CompressionJob", "loop", lambda status: status.get("phase") in ("Succeeded", "Failed"))
    world.wait_condition("InferenceDeployment", "loop-serving", "Ready")

    assert job["phase"] == "Succeeded"
    assert job["best"]["lossUpperBound"] <= 3
    assert job["best"]["sizeRatio"] > 2
    assert condition(job, "Verified")["status"] == condition(job, "Published")["status"] == "True"
    (artifact,) = job["artifacts"]
    assert (world.volume / artifact["uri"].removeprefix(f"pvc://{CLAIM}/")).is_file()
    assert job["cost"]["currency"] == "USD"
    assert float(job["cost"]["amount"]) > 0

    answers_match(world, "loop-serving")
    serving = world.wait(
        "InferenceDeployment",
        "loop-serving",
        lambda status: "recommendation" in status and "utilization" in status and "cost" in status,
        seconds=240,
        why="measured, sized and priced",
    )
    assert serving["model"]["sha256"] == artifact["sha256"]
    assert serving["recommendation"]["explanation"]
    assert float(serving["cost"]["hourly"]) > 0
    assert condition(serving, "TelemetryAvailable")["status"] == "True"
    assert shown_within_a_tick(world, "frugal_cost_hourly_rate{")


def shown_within_a_tick(world: World, text: str) -> bool:
    """Tell whether /metrics comes to show `text`; its page of the workloads is made once a tick."""
    deadline = time.monotonic() + Settings().tick_seconds + 5
    while text not in world.metrics():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.5)
    return True


def answers_match(world: World, name: str) -> None:
    """The served artifact answers like the model it came from, on samples it never saw."""
    held = np.load(world.volume / "digits/test.npz")
    with world.endpoint(name) as url:
        outputs = np.array(infer(url, name, held["x"][:64].astype("float32").tolist())).reshape(64, -1)
    assert (outputs.argmax(axis=1) == held["y"][:64]).mean() > 0.85


def test_phases_are_told_in_events_once_each(world: World) -> None:
    world.apply(compression_job("told"))
    world.wait("CompressionJob", "told", lambda status: status.get("phase") == "Succeeded")

    reasons = [event["reason"] for event in world.events("told")]

    assert "Succeeded" in reasons
    assert len(reasons) == len(set(reasons)), reasons
