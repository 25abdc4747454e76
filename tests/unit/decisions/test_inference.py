"""The life of an InferenceDeployment, look by look."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from functools import cache
from typing import Any

import pytest

from frugal.decisions.inference import plan_inference
from frugal.decisions.snapshot import Capabilities, InferenceSnapshot, Manifest, Measured
from frugal.sizing.demand import history_from_demand
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from frugal.sizing.state import WorkloadState
from frugal.units import MIB
from tests.unit.decisions.factories import (
    DIGEST,
    NOW,
    PRICES,
    carried_out,
    condition,
    edited,
    ended,
    environment,
    inference,
    inference_spec,
    is_idle,
    later,
    owned,
    pod,
    result,
    status,
    with_child_status,
    with_pods,
)

AUTO = {"mode": "Auto"}


def started(spec: object | None = None, **changes: Any) -> InferenceSnapshot:
    seen = inference(spec, **changes)
    return carried_out(seen, plan_inference(seen))


def rolled_out(seen: InferenceSnapshot) -> InferenceSnapshot:
    """What is seen once Kubernetes has brought every replica up."""
    (live,) = seen.children.deployments
    count = live["spec"]["replicas"]
    counts = {"replicas": count, "updatedReplicas": count, "readyReplicas": count}
    return with_child_status(seen, "Deployment", {"observedGeneration": live["metadata"]["generation"], **counts})


def serving(spec: object | None = None, **changes: Any) -> InferenceSnapshot:
    """An object that serves and whose status says so."""
    seen = rolled_out(started(spec, **changes))
    return carried_out(seen, plan_inference(seen))


def overdue(seen: InferenceSnapshot, *, ready: int = 1) -> InferenceSnapshot:
    (live,) = seen.children.deployments
    late = {"type": "Progressing", "status": "False", "reason": "ProgressDeadlineExceeded"}
    said = {"observedGeneration": live["metadata"]["generation"], "replicas": ready + 1, "readyReplicas": ready}
    return with_child_status(seen, "Deployment", said | {"updatedReplicas": 1, "conditions": [late]})


@cache
def learnt(*, rate: float = 1.0, cores: float = 0.05, memory_mib: int = 100, days: int = 2) -> WorkloadState:
    """A steady load, measured every minute: `cores` of a replica in use at `rate` requests a second."""
    return history_from_demand(
        [rate] * (days * 1440),
        service_seconds=0.01,
        cores_per_request_second=cores / rate,
        memory_bytes=memory_mib * MIB,
        now=NOW,
    )


def measured(state: WorkloadState | None = None, **changes: Any) -> Measured:
    usage = UsageSample(at=NOW, cpu_cores=0.05, memory_bytes=128 * MIB)
    load = LoadSample(
        at=NOW,
        interval_seconds=15,
        requests=30,
        failed=0,
        service_seconds=0.01,
        latency_buckets=((0.025, 29), (0.05, 30)),
        in_flight=0,
        replicas=1,
    )
    base = Measured(state=state or learnt(), observed_at=NOW, usage=(usage,), load=load)
    return replace(base, **changes)


def kinds(manifests: tuple[Manifest, ...]) -> list[str]:
    return [one["kind"] for one in manifests]


def deployment_of(seen: InferenceSnapshot) -> Manifest:
    (live,) = seen.children.deployments
    return live


def requests_of(seen: InferenceSnapshot) -> dict[str, str]:
    container = deployment_of(seen)["spec"]["template"]["spec"]["containers"][0]
    return dict(container["resources"]["requests"])


def test_a_new_object_gets_a_deployment_and_a_service() -> None:
    plan = plan_inference(inference())

    assert kinds(plan.apply) == ["Deployment", "Service"]
    assert status(plan)["phase"] == "Progressing"
    assert status(plan)["applied"]["size"]["cpu"] == "500m"
    assert "model" not in status(plan)  # nothing serves it yet


def test_an_object_that_is_rolled_out_is_ready_and_names_what_it_serves() -> None:
    seen = serving()

    said = seen.manifest["status"]
    assert said["phase"] == "Serving"
    assert said["model"]["uri"] == "pvc://models/digits.onnx"
    assert said["endpoint"] == "http://digits.ml.svc:8080"
    assert said["readyReplicas"] == 1
    assert condition(plan_inference(seen), "Ready")["status"] == "True"


def test_a_deployment_that_kubernetes_has_not_looked_at_yet_is_not_ready() -> None:
    seen = edited(serving(), replicas={"min": 2})
    seen = carried_out(seen, plan_inference(seen))

    plan = plan_inference(seen)  # its status still speaks of one replica

    assert condition(plan, "Ready")["status"] == "False"
    assert status(plan)["phase"] == "Progressing"


def test_two_replicas_get_a_disruption_budget_and_one_loses_it() -> None:
    two = started(inference_spec(replicas={"min": 2}))

    plan = plan_inference(edited(two, replicas={"min": 1}))

    assert kinds(two.children.pod_disruption_budgets) == ["PodDisruptionBudget"]
    assert [ref.kind for ref in plan.delete] == ["PodDisruptionBudget"]


def test_a_server_without_disruption_budgets_gets_none() -> None:
    plan = plan_inference(
        inference(inference_spec(replicas={"min": 2}), environment=environment(capabilities=Capabilities()))
    )

    assert kinds(plan.apply) == ["Deployment", "Service"]


def follows(name: str = "digits-job") -> dict[str, Any]:
    return {"model": {"compressionJobRef": {"name": name}}}


def job_with(*digests: str, phase: str = "Succeeded") -> Manifest:
    (artifact,) = result().artifacts
    artifacts = [
        artifact.model_copy(update={"uri": f"pvc://models/{digest}.onnx", "sha256": digest}).to_json()
        for digest in digests
    ]
    return owned("CompressionJob", {}, name="digits-job") | {"status": {"phase": phase, "artifacts": artifacts}}


def test_an_object_waits_for_an_artifact() -> None:
    plan = plan_inference(inference(follows(), compression_job=job_with(phase="Searching")))

    assert plan.apply == ()
    assert status(plan)["phase"] == "Waiting"
    assert condition(plan, "Ready")["reason"] == "WaitingForArtifact"
    assert "Searching" in condition(plan, "Ready")["message"]


def test_a_missing_compression_job_is_named() -> None:
    plan = plan_inference(inference(follows()))

    assert condition(plan, "Ready")["reason"] == "ReferenceMissing"
    assert "digits-job" in condition(plan, "Ready")["message"]


def test_a_published_artifact_is_served_by_its_digest() -> None:
    seen = started(follows(), compression_job=job_with(DIGEST))

    template = deployment_of(seen)["spec"]["template"]
    variables = {one["name"]: one["value"] for one in template["spec"]["containers"][0]["env"]}
    assert variables["FRUGAL_MODEL_SHA256"] == DIGEST
    assert variables["FRUGAL_MODEL_VERSION"] == DIGEST[:12]


def test_an_artifact_that_was_not_verified_is_not_served() -> None:
    job = job_with(DIGEST)
    job["status"]["artifacts"][0]["verified"] = False

    assert plan_inference(inference(follows(), compression_job=job)).apply == ()


def test_what_served_goes_on_when_the_job_has_nothing_any_more() -> None:
    seen = replace(serving(follows(), compression_job=job_with(DIGEST)), compression_job=None)

    plan = plan_inference(seen)

    assert status(plan)["model"]["sha256"] == DIGEST
    assert status(plan)["phase"] == "Serving"
    assert "digits-job" in condition(plan, "Ready")["message"]


def test_a_version_that_does_not_become_ready_is_rolled_back_and_not_tried_again() -> None:
    good, bad = DIGEST, "cd" * 32
    seen = replace(serving(follows(), compression_job=job_with(good)), compression_job=job_with(bad))
    seen = overdue(carried_out(seen, plan_inference(seen)))

    back = plan_inference(seen)
    seen = rolled_out(carried_out(seen, back))
    after = plan_inference(seen)

    assert good[:12] in str(back.apply[0])
    assert after.status is not None
    assert after.status["model"]["sha256"] == good
    assert condition(after, "Stalled")["reason"] == "RolloutFailed"
    assert bad[:12] in condition(after, "Stalled")["message"]
    assert carried_out(seen, after).children == seen.children


def test_a_third_version_is_tried_after_one_was_rolled_back() -> None:
    good, bad, better = DIGEST, "cd" * 32, "ef" * 32
    seen = replace(serving(follows(), compression_job=job_with(good)), compression_job=job_with(bad))
    seen = overdue(carried_out(seen, plan_inference(seen)))
    seen = rolled_out(carried_out(seen, plan_inference(seen)))

    plan = plan_inference(replace(seen, compression_job=job_with(better)))

    assert better[:12] in str(plan.apply[0])


def test_without_rollback_a_failed_version_stays_beside_the_old_replicas() -> None:
    spec = follows() | {"rollout": {"rollback": False}}
    bad = "cd" * 32
    seen = replace(serving(spec, compression_job=job_with(DIGEST)), compression_job=job_with(bad))
    seen = overdue(carried_out(seen, plan_inference(seen)))

    plan = plan_inference(seen)

    assert bad[:12] in str(plan.apply[0])
    assert condition(plan, "Stalled")["reason"] == "RolloutFailed"
    assert status(plan)["phase"] == "Degraded"
    assert status(plan)["model"]["sha256"] == DIGEST


def test_a_first_version_that_never_becomes_ready_has_failed() -> None:
    plan = plan_inference(overdue(started(), ready=0))

    assert status(plan)["phase"] == "Failed"
    assert condition(plan, "Stalled")["status"] == "True"


def test_a_pod_that_crashes_says_its_last_words() -> None:
    seen = started()
    crashed = [{**ended("server", exit_code=1, message="pvc://models/digits.onnx: no such file", reason="Error")[0]}]

    plan = plan_inference(with_pods(seen, pod(seen, containerStatuses=crashed)))

    assert condition(plan, "Ready")["reason"] == "PodFailed"
    assert "no such file" in condition(plan, "Ready")["message"]


def test_a_port_that_is_taken_is_told() -> None:
    seen = rolled_out(started())
    taken = {"type": "Listening", "status": "False", "reason": "PortTaken", "message": "cannot listen on port 8080"}

    plan = plan_inference(with_child_status(seen, "Service", {"conditions": [taken]}))

    assert condition(plan, "Ready")["reason"] == "Conflict"
    assert "spec.service.port" in condition(plan, "Ready")["message"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"accelerators": ["nvidia.com/gpu"]}, "spec.accelerators"),
        ({"compression": {"mode": "Auto"}}, "spec.compression.mode"),
    ],
)
def test_what_is_not_there_yet_is_said(changes: dict[str, Any], field: str) -> None:
    spec = {key: value for key, value in inference_spec(**changes).items() if value is not None}

    plan = plan_inference(inference(spec))

    assert plan.apply == ()
    assert condition(plan, "Stalled")["reason"] == "Unsupported"
    assert field in condition(plan, "Stalled")["message"]


def test_another_runtime_runs_on_the_accelerator_that_its_pod_asks_for() -> None:
    container = {"name": "vllm", "image": "vllm:1", "resources": {"limits": {"nvidia.com/gpu": 1, "memory": "8Gi"}}}
    runtime = {"name": "vllm", "podTemplate": {"spec": {"containers": [container]}}}

    seen = started(inference_spec(runtime=runtime, accelerators=["nvidia.com/gpu"]))

    (rendered,) = deployment_of(seen)["spec"]["template"]["spec"]["containers"]
    assert (rendered["name"], rendered["image"]) == ("vllm", "vllm:1")
    assert rendered["resources"]["limits"] == {"memory": "8Gi", "nvidia.com/gpu": "1"}
    assert "command" not in rendered


def test_recommend_says_a_smaller_size_and_changes_nothing() -> None:
    seen = replace(serving(environment=environment(prices=PRICES)), measured=measured())

    plan = plan_inference(seen)

    recommended = status(plan)["recommendation"]
    assert recommended["target"]["cpu"] != "500m"
    assert float(recommended["saving"]["monthly"]) > 0
    assert condition(plan, "RightSized")["reason"] == "Recommended"
    assert requests_of(carried_out(seen, plan)) == {"cpu": "500m", "memory": "512Mi"}


def test_off_recommends_nothing() -> None:
    seen = replace(serving(inference_spec(rightSizing={"mode": "Off"})), measured=measured())

    plan = plan_inference(seen)

    assert "recommendation" not in status(plan)
    assert condition(plan, "RightSized")["reason"] == "Off"


def automatic(**changes: Any) -> InferenceSnapshot:
    spec = inference_spec(rightSizing=AUTO, **changes)
    return replace(serving(spec, environment=environment(prices=PRICES)), measured=measured())


def test_auto_applies_what_saves_and_says_what_it_saves() -> None:
    seen = automatic()

    plan = plan_inference(seen)

    target = status(plan)["recommendation"]["target"]
    assert requests_of(carried_out(seen, plan)) == {"cpu": target["cpu"], "memory": target["memory"]}
    assert [event.reason for event in plan.events if event.reason == "Applied"] == ["Applied"]
    assert status(plan)["savings"]["referenceHourly"] == "0.0225"  # 0.5 cores at 0.04 and 0.5 GiB at 0.005
    assert condition(plan, "RightSized")["reason"] == "Applied"


def test_savings_grow_with_time_after_the_change() -> None:
    seen = automatic()
    seen = rolled_out(carried_out(seen, plan_inference(seen)))
    seen = replace(seen, measured=None)

    plan = plan_inference(later(seen, 3600))

    hourly = float(status(plan)["cost"]["hourly"])
    assert float(status(plan)["savings"]["sinceCreation"]) == pytest.approx(0.0225 - hourly, abs=1e-5)
    assert float(status(plan)["cost"]["monthToDate"]) == pytest.approx(hourly, abs=1e-5)


def test_a_second_saving_waits_for_the_cooldown() -> None:
    seen = automatic()
    seen = rolled_out(carried_out(seen, plan_inference(seen)))
    first = requests_of(seen)
    less = history_from_demand(
        [1.0] * 2880, service_seconds=0.01, cores_per_request_second=0.02, memory_bytes=40 * MIB, now=NOW
    )

    plan = plan_inference(later(replace(seen, measured=measured(less)), 60))

    assert requests_of(carried_out(seen, plan)) == first
    assert condition(plan, "RightSized")["reason"] == "CoolingDown"


def killed(state: WorkloadState, limit_mib: int) -> WorkloadState:
    return state.observe(Observation(usage=(), out_of_memory_bytes=(limit_mib * MIB,)))


def test_auto_gives_a_killed_container_more_memory_at_once() -> None:
    seen = automatic()
    seen = rolled_out(carried_out(seen, plan_inference(seen)))
    seen = replace(seen, measured=measured(killed(learnt(), 1024)))  # within the cooldown

    plan = plan_inference(later(seen, 60))

    assert requests_of(carried_out(seen, plan))["memory"] == "2048Mi"  # twice what it was killed at


def test_recommend_only_says_that_a_killed_container_needs_more() -> None:
    seen = replace(serving(), measured=measured(killed(learnt(), 1024)))

    plan = plan_inference(seen)

    assert requests_of(carried_out(seen, plan))["memory"] == "512Mi"
    assert status(plan)["recommendation"]["target"]["memory"] == "2048Mi"


def test_a_size_that_the_spec_asks_for_anew_replaces_what_was_made_of_the_old_one() -> None:
    seen = automatic()
    seen = rolled_out(carried_out(seen, plan_inference(seen)))
    container = {"name": "server", "resources": {"requests": {"cpu": "2", "memory": "1Gi"}}}

    plan = plan_inference(
        replace(edited(seen, runtime={"podTemplate": {"spec": {"containers": [container]}}}), measured=None)
    )

    assert requests_of(carried_out(seen, plan)) == {"cpu": "2", "memory": "1Gi"}


def test_a_change_by_hand_is_put_back() -> None:
    seen = serving()
    (live,) = seen.children.deployments
    scaled = {**live, "spec": {**live["spec"], "replicas": 7}}

    plan = plan_inference(replace(seen, children=replace(seen.children, deployments=(scaled,))))

    assert plan.apply[0]["spec"]["replicas"] == 1


@pytest.mark.parametrize(("desired", "replicas"), [(3, 3), (50, 4), (0, 1)])
def test_an_external_scaler_is_followed_within_bounds(desired: int, replicas: int) -> None:
    spec = inference_spec(
        rightSizing={"mode": "Auto", "scaling": "External"}, replicas={"min": 1, "max": 4, "desired": desired}
    )

    plan = plan_inference(replace(inference(spec), measured=measured()))

    assert plan.apply[0]["spec"]["replicas"] == replicas


def test_scaled_to_zero_is_idle_and_ready() -> None:
    spec = inference_spec(rightSizing={"scaling": "External"}, replicas={"min": 0, "desired": 0})

    seen = serving(spec)

    assert seen.manifest["status"]["phase"] == "Idle"
    assert condition(plan_inference(seen), "Ready")["status"] == "True"


def test_a_cap_cuts_replicas_but_keeps_the_least() -> None:
    heavy = learnt(rate=200.0, cores=2.0)
    budget = {"monthly": "20", "onExceed": "Cap"}
    spec = inference_spec(rightSizing=AUTO, budget=budget)
    seen = serving(spec, environment=environment(prices=PRICES))

    plan = plan_inference(replace(seen, measured=measured(heavy)))

    target = status(plan)["recommendation"]["target"]["replicas"]
    assert plan.apply[0]["spec"]["replicas"] < target
    assert f"{target} replicas were wanted" in condition(plan, "WithinBudget")["message"]


def test_a_forecast_over_the_budget_is_told_and_changes_nothing() -> None:
    spec = inference_spec(budget={"monthly": "0.01"})
    seen = serving(spec, environment=environment(prices=PRICES))

    plan = plan_inference(seen)

    assert condition(plan, "WithinBudget")["status"] == "False"
    assert plan.apply[0]["spec"]["replicas"] == 1


def test_money_is_not_said_without_a_price_book() -> None:
    seen = serving(inference_spec(budget={"monthly": "1"}), environment=environment(prices_problem="there is none"))

    plan = plan_inference(seen)

    assert "cost" not in status(plan)
    assert condition(plan, "WithinBudget")["reason"] == "PriceMissing"
    assert condition(plan, "WithinBudget")["message"] == "there is none"


def test_the_objective_is_judged_by_what_was_measured() -> None:
    slow = measured()
    assert slow.load is not None
    state = slow.state.observe(Observation(usage=slow.usage, load=slow.load))
    spec = inference_spec(slo={"latency": {"threshold": "25ms", "quantile": 0.99}})

    plan = plan_inference(replace(serving(spec), measured=replace(slow, state=state)))

    said = condition(plan, "SLOMet")  # 29 of 30 requests within 25 ms are 96.7 %
    assert (said["status"], said["reason"]) == ("False", "ObjectiveMissed")
    assert "96.667 %" in said["message"]


def test_utilization_is_what_was_used_of_what_was_requested() -> None:
    plan = plan_inference(replace(serving(), measured=measured()))

    said = status(plan)["utilization"]
    assert said["cpu"] == 0.1  # 0.05 of 0.5 cores
    assert said["memory"] == 0.25  # 128 of 512 MiB
    assert said["requestsPerSecond"] == 2  # 30 in 15 s


def test_samples_that_stop_make_telemetry_unavailable_and_keep_the_size() -> None:
    seen = replace(automatic(), measured=measured())

    plan = plan_inference(later(seen, 400))

    assert condition(plan, "TelemetryAvailable")["reason"] == "TelemetryStale"
    assert condition(plan, "RightSized")["reason"] == "TelemetryStale"
    assert requests_of(carried_out(seen, plan)) == {"cpu": "500m", "memory": "512Mi"}


def test_figures_wait_for_a_quarter_of_an_hour() -> None:
    seen = replace(serving(environment=environment(prices=PRICES)), measured=measured())
    seen = carried_out(seen, plan_inference(seen))
    busy = UsageSample(at=NOW, cpu_cores=0.4, memory_bytes=128 * MIB)

    def moved(minutes: int) -> Manifest:
        at = NOW + timedelta(minutes=minutes)
        newer = measured(observed_at=at, usage=(replace(busy, at=at),))
        return status(plan_inference(later(replace(seen, measured=newer), minutes * 60)))

    assert moved(5)["utilization"] == seen.manifest["status"]["utilization"]
    assert moved(5)["cost"] == seen.manifest["status"]["cost"]
    assert moved(15)["utilization"]["cpu"] == 0.8
    assert moved(15)["cost"] != seen.manifest["status"]["cost"]


def test_what_was_learnt_is_saved_every_quarter_of_an_hour() -> None:
    seen = replace(serving(), measured=measured())
    first = plan_inference(seen)
    seen = carried_out(seen, first)

    assert kinds(first.apply) == ["Deployment", "Service", "ConfigMap"]
    assert kinds(plan_inference(later(seen, 600)).apply) == ["Deployment", "Service"]
    assert kinds(plan_inference(later(seen, 900)).apply) == ["Deployment", "Service", "ConfigMap"]


def test_a_broken_rule_leaves_what_serves() -> None:
    seen = serving()
    ready = pod(seen, conditions=[{"type": "Ready", "status": "True"}])

    plan = plan_inference(with_pods(edited(seen, replicas={"min": 3, "max": 2}), ready))

    assert is_idle(plan)
    assert "spec.replicas.min" in condition(plan, "Valid")["message"]
    assert status(plan)["phase"] == "Degraded"
    assert status(plan)["model"]["uri"] == "pvc://models/digits.onnx"


@pytest.mark.parametrize("name", ["7digits", "digits.v2", "d" * 64])
def test_a_name_that_no_service_can_have_is_refused(name: str) -> None:
    plan = plan_inference(inference(manifest=owned("InferenceDeployment", inference_spec(), name=name)))

    assert "metadata.name" in condition(plan, "Valid")["message"]
