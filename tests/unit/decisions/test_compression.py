"""The life of a CompressionJob, look by look."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from frugal.api.result import ResultVerdict
from frugal.decisions.compression import plan_compression
from frugal.decisions.snapshot import CompressionSnapshot
from tests.unit.decisions.factories import (
    PRICES,
    carried_out,
    compression,
    compression_spec,
    condition,
    edited,
    ended,
    environment,
    is_idle,
    later,
    line,
    owned,
    pod,
    result,
    status,
    waiting,
    with_child_status,
    with_pods,
)


def started(spec: object | None = None, **changes: Any) -> CompressionSnapshot:
    seen = compression(spec, **changes)
    return carried_out(seen, plan_compression(seen))


def with_verdict(seen: CompressionSnapshot, **changes: Any) -> CompressionSnapshot:
    message = result(**changes).model_dump_json(by_alias=True, exclude_none=True)
    done = pod(seen, phase="Succeeded", containerStatuses=ended("compress", message=message))
    return with_pods(seen, done)


def finished(spec: object | None = None, **changes: Any) -> CompressionSnapshot:
    seen = with_verdict(started(spec), **changes)
    return carried_out(seen, plan_compression(seen))


def test_a_new_object_gets_its_request_and_its_job() -> None:
    plan = plan_compression(compression())

    assert [one["kind"] for one in plan.apply] == ["ConfigMap", "Job"]
    assert status(plan)["phase"] == "Pending"
    assert [event.reason for event in plan.events] == ["Pending"]
    assert condition(plan, "Reconciling")["status"] == "True"


def test_a_deleted_object_is_left_to_its_owner_references() -> None:
    manifest = owned("CompressionJob", compression_spec(), deletionTimestamp="2026-11-18T15:00:00Z")

    plan = plan_compression(compression(manifest=manifest))

    assert plan.status is None
    assert is_idle(plan)
    assert plan.events == ()


@pytest.mark.parametrize("phase", ["Estimating", "Searching", "Verifying", "Publishing"])
def test_a_phase_that_the_pod_tells_is_the_phase_and_an_event(phase: str) -> None:
    seen = started()
    seen = replace(with_pods(seen, pod(seen)), progress=(line("phase", phase=phase),))

    plan = plan_compression(seen)

    assert status(plan)["phase"] == phase
    assert [event.reason for event in plan.events] == [phase]


def test_progress_is_told_with_its_estimated_end_and_its_front() -> None:
    small = {"technique": "int8", "loss": 0.3, "sizeRatio": 4.0, "latencyRatio": 3.0}
    beaten = {"technique": "float16", "loss": 0.4, "sizeRatio": 2.0, "latencyRatio": 1.0}
    seen = started()
    lines = (
        line("advice", message="2 Conv: int8"),
        line("trial", trials=1, of=4, etaSeconds=90, candidate=small),
        line("trial", trials=2, of=4, etaSeconds=60, candidate=beaten),
    )

    plan = plan_compression(replace(with_pods(seen, pod(seen)), progress=lines))

    assert status(plan)["progress"] == {"trials": 2, "of": 4, "eta": "1m"}
    assert status(plan)["advice"] == "2 Conv: int8"
    assert [one["technique"] for one in status(plan)["candidates"]] == ["int8"]  # float16 is worse in everything


def test_progress_of_a_pod_of_earlier_inputs_is_not_told() -> None:
    seen = started()
    old = pod(seen)
    seen = edited(with_pods(seen, old), objective={"maxLoss": 1})

    plan = plan_compression(replace(seen, progress=(line("trial", trials=3, of=4),)))

    assert "progress" not in status(plan)


def test_a_success_names_what_was_published() -> None:
    seen = with_verdict(started(environment=environment(prices=PRICES)))

    plan = plan_compression(seen)

    said = status(plan)
    assert said["phase"] == "Succeeded"
    assert said["finishedAt"] == "2026-11-18T15:01:30Z"
    assert said["artifacts"][0]["sha256"] == "ab" * 32
    assert condition(plan, "Ready")["status"] == condition(plan, "Verified")["status"] == "True"
    assert condition(plan, "Published")["status"] == "True"
    assert said["utilization"] == {"cpu": 0.75, "memory": 0.25}  # 45 s of 1 core * 60 s; 1 of 4 GiB
    assert said["cost"]["amount"] == "0.000833"  # 60 s of 1 core at 0.04 and 2 GiB at 0.005 an hour: 0.05 / 60


def test_a_verdict_outlives_its_job_and_its_pods() -> None:
    seen = finished()

    plan = plan_compression(compression(manifest=seen.manifest))

    assert is_idle(plan)
    assert plan.events == ()
    assert plan.status == seen.manifest["status"]


def test_a_finished_job_goes_after_its_time_and_not_before_its_verdict_is_written() -> None:
    seen = with_verdict(started(compression_spec(ttlSecondsAfterFinished=0)))
    first = plan_compression(seen)
    after = later(carried_out(seen, first), 90)  # the pod ended 90 s after NOW

    second = plan_compression(after)

    assert first.delete == ()
    assert [ref.kind for ref in second.delete] == ["Job", "ConfigMap"]


def test_a_finished_job_stays_for_its_time() -> None:
    seen = finished(compression_spec(ttlSecondsAfterFinished=600))

    plan = plan_compression(seen)

    assert plan.delete == ()
    assert plan.requeue_seconds == 690  # it ended 90 s after NOW


def test_a_loss_above_the_limit_is_a_verdict_and_publishes_nothing() -> None:
    plan = plan_compression(with_verdict(started(), verdict=ResultVerdict.REJECTED, message="best lost 0.9 points"))

    assert status(plan)["phase"] == "Failed"
    assert condition(plan, "Verified")["status"] == "False"
    assert condition(plan, "Verified")["reason"] == "LossAboveLimit"
    assert "maxLoss is 0.5" in condition(plan, "Ready")["message"]
    assert status(plan)["artifacts"] == []


def test_an_input_that_cannot_be_used_stalls_with_its_field_and_leaves_the_spec_valid() -> None:
    message = "nowhere.onnx: no such file; correct it"
    seen = with_verdict(started(), verdict=ResultVerdict.INVALID, field="model.uri", message=message)

    plan = plan_compression(seen)

    stalled = condition(plan, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "InvalidInput")
    assert stalled["message"] == "spec.model.uri: nowhere.onnx: no such file; correct it"
    assert condition(plan, "Valid")["status"] == "True"


def test_a_killed_pod_is_told_with_its_limit_while_the_job_retries() -> None:
    seen = started()
    killed = pod(seen, phase="Failed", containerStatuses=ended("compress", exit_code=137, reason="OOMKilled"))

    plan = plan_compression(with_pods(seen, killed))

    said = condition(plan, "Reconciling")
    assert (said["status"], said["reason"]) == ("True", "OutOfMemory")
    assert "4Gi" in said["message"]
    assert "attempt 1 of 3" in said["message"]
    assert [event.type for event in plan.events] == ["Warning"]


def test_a_job_that_gave_up_for_lack_of_memory_says_so() -> None:
    seen = started(compression_spec(backoffLimit=0, resources={"limits": {"memory": "48Mi"}}))
    killed = pod(seen, phase="Failed", containerStatuses=ended("compress", exit_code=137, reason="OOMKilled"))
    given_up = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}], "failed": 1}

    plan = plan_compression(with_child_status(with_pods(seen, killed), "Job", given_up))

    stalled = condition(plan, "Stalled")
    assert (stalled["status"], stalled["reason"]) == ("True", "OutOfMemory")
    assert "48Mi" in stalled["message"]
    assert "spec.resources.limits.memory" in stalled["message"]
    assert status(plan)["phase"] == "Failed"


def failed_for_lack_of_memory() -> CompressionSnapshot:
    seen = started()
    killed = pod(seen, phase="Failed", containerStatuses=ended("compress", exit_code=137, reason="OOMKilled"))
    given_up = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}], "failed": 3}
    seen = with_child_status(with_pods(seen, killed), "Job", given_up)
    return carried_out(seen, plan_compression(seen))


def test_more_memory_after_an_outage_starts_the_same_work_again() -> None:
    seen = edited(failed_for_lack_of_memory(), resources={"limits": {"memory": "8Gi"}})

    first = plan_compression(seen)
    seen = carried_out(seen, first)
    second = plan_compression(seen)
    seen = with_pods(carried_out(seen, second))
    third = plan_compression(seen)

    assert "finishedAt" not in status(first)
    assert first.delete == ()  # the status comes first: a crash here forgets nothing
    assert [ref.kind for ref in second.delete] == ["Job"]
    assert [one["kind"] for one in third.apply] == ["ConfigMap", "Job"]


def test_a_failure_without_a_change_stays_a_failure() -> None:
    seen = failed_for_lack_of_memory()

    plan = plan_compression(later(seen, 60))

    assert is_idle(plan)
    assert plan.status == seen.manifest["status"]


def test_suspending_and_resuming_a_failure_starts_it_again() -> None:
    seen = edited(failed_for_lack_of_memory(), suspend=True)

    first = plan_compression(seen)
    seen = edited(with_pods(carried_out(seen, first)), suspend=False)
    second = plan_compression(seen)

    assert status(first)["phase"] == "Suspended"
    assert [ref.kind for ref in first.delete] == ["Job"]
    assert [one["kind"] for one in second.apply] == ["ConfigMap", "Job"]


def test_suspending_keeps_the_progress_and_ends_the_job() -> None:
    seen = started()
    seen = replace(with_pods(seen, pod(seen)), progress=(line("trial", trials=3, of=4),))
    seen = edited(carried_out(seen, plan_compression(seen)), suspend=True)

    plan = plan_compression(seen)

    assert [ref.kind for ref in plan.delete] == ["Job"]
    assert status(plan)["progress"]["trials"] == 3
    assert {condition(plan, kind)["status"] for kind in ("Ready", "Reconciling", "Stalled")} == {"False"}


def test_suspending_what_has_succeeded_changes_nothing() -> None:
    plan = plan_compression(edited(finished(), suspend=True))

    assert status(plan)["phase"] == "Succeeded"


def test_a_deadline_is_told_with_its_field() -> None:
    seen = started(compression_spec(activeDeadlineSeconds=60))
    overdue = {"conditions": [{"type": "Failed", "status": "True", "reason": "DeadlineExceeded"}]}

    plan = plan_compression(with_child_status(seen, "Job", overdue))

    assert condition(plan, "Stalled")["reason"] == "DeadlineExceeded"
    assert "spec.activeDeadlineSeconds (60)" in condition(plan, "Stalled")["message"]


def test_changed_inputs_replace_the_job_and_keep_what_was_published() -> None:
    seen = edited(finished(), objective={"maxLoss": 1})

    plan = plan_compression(seen)

    assert sorted(ref.kind for ref in plan.delete) == ["ConfigMap", "Job"]
    assert [one["kind"] for one in plan.apply] == ["ConfigMap", "Job"]
    assert {ref.name for ref in plan.delete}.isdisjoint({one["metadata"]["name"] for one in plan.apply})
    assert status(plan)["artifacts"][0]["sha256"] == "ab" * 32
    assert "baseline" not in status(plan)
    assert condition(plan, "Published")["status"] == "Unknown"


def test_a_change_that_defines_no_result_does_not_start_again() -> None:
    seen = finished()

    plan = plan_compression(edited(seen, backoffLimit=5))

    assert is_idle(plan)
    assert status(plan)["phase"] == "Succeeded"
    assert condition(plan, "Ready")["observedGeneration"] == 2


def test_a_deleted_job_is_made_again() -> None:
    seen = started()

    plan = plan_compression(compression(manifest=seen.manifest))

    assert [one["kind"] for one in plan.apply] == ["ConfigMap", "Job"]


def test_a_complete_job_whose_verdict_nobody_read_is_asked_again() -> None:
    seen = started()
    complete = {"type": "Complete", "status": "True", "lastTransitionTime": "2026-11-18T15:00:00Z"}
    seen = with_child_status(seen, "Job", {"conditions": [complete], "succeeded": 1})

    at_once, patient = plan_compression(seen), plan_compression(later(seen, 61))

    assert at_once.delete == ()  # the pod's own event may still come
    assert [ref.kind for ref in patient.delete] == ["Job"]


def test_a_pod_that_says_nothing_readable_is_a_failure() -> None:
    seen = started()
    mute = pod(seen, phase="Succeeded", containerStatuses=ended("compress", message="Segmentation"))

    plan = plan_compression(with_pods(seen, mute))

    assert condition(plan, "Stalled")["reason"] == "PodFailed"
    assert "Segmentation" in condition(plan, "Stalled")["message"]


@pytest.mark.parametrize(
    ("trouble", "reason", "word"),
    [
        (
            {"containerStatuses": waiting("compress", "CreateContainerConfigError", 'secret "bucket" not found')},
            "ReferenceMissing",
            "bucket",
        ),
        ({"containerStatuses": waiting("compress", "ImagePullBackOff", "back-off")}, "ImageUnavailable", "jobs:1"),
        (
            {
                "conditions": [
                    {"type": "PodScheduled", "reason": "Unschedulable", "message": "0/1 nodes: Insufficient cpu"}
                ]
            },
            "Unschedulable",
            "Insufficient cpu",
        ),
        (
            {
                "conditions": [
                    {
                        "type": "PodScheduled",
                        "reason": "Unschedulable",
                        "message": 'persistentvolumeclaim "models" not found',
                    }
                ]
            },
            "ReferenceMissing",
            "models",
        ),
    ],
)
def test_a_pod_that_cannot_start_says_why(trouble: dict[str, Any], reason: str, word: str) -> None:
    seen = started()

    plan = plan_compression(with_pods(seen, pod(seen, phase="Pending", **trouble)))

    assert status(plan)["phase"] == "Pending"
    assert condition(plan, "Ready")["reason"] == reason
    assert word in condition(plan, "Ready")["message"]


def test_settings_changed_before_the_pod_ran_are_used() -> None:
    seen = edited(started(), resources={"requests": {"cpu": "1"}})

    first = plan_compression(seen)
    second = plan_compression(carried_out(seen, first))

    assert [ref.kind for ref in first.delete] == ["Job"]
    job = second.apply[1]
    assert job["spec"]["template"]["spec"]["containers"][0]["resources"] == {"requests": {"cpu": "1"}}


def test_settings_changed_while_the_pod_runs_do_not_end_it() -> None:
    seen = started()
    seen = edited(with_pods(seen, pod(seen)), resources={"requests": {"cpu": "1"}})

    plan = plan_compression(seen)

    assert plan.delete == ()


def served_by(hourly: str) -> dict[str, Any]:
    cost = {"hourly": hourly, "monthToDate": "0", "forecastMonth": "0", "currency": "USD", "observedAt": "x"}
    return owned("InferenceDeployment", {}, name="digits-serving") | {"status": {"cost": cost}}


def enforced(hourly: str) -> CompressionSnapshot:
    terms = {
        "mode": "Enforce",
        "labourHours": 10,
        "labourRate": "100",
        "inferenceDeploymentRef": {"name": "digits-serving"},
    }
    spec = compression_spec(costBenefit=terms)
    return compression(spec, served_by=served_by(hourly), environment=environment(prices=PRICES))


def test_what_will_not_pay_is_not_started_when_enforced() -> None:
    plan = plan_compression(enforced("0.01"))  # 90 d of it are 21.60, against 1,000 of labour

    assert plan.apply == ()
    assert condition(plan, "WorthIt")["status"] == "False"
    assert condition(plan, "Stalled")["reason"] == "NotWorthIt"


def test_what_pays_is_started_when_enforced() -> None:
    plan = plan_compression(enforced("100"))

    assert [one["kind"] for one in plan.apply] == ["ConfigMap", "Job"]
    assert condition(plan, "WorthIt")["status"] == "True"


def test_what_was_predicted_at_the_start_is_kept_while_the_price_moves() -> None:
    seen = enforced("100")
    seen = carried_out(seen, plan_compression(seen))
    before = seen.manifest["status"]["costBenefit"]["before"]

    plan = plan_compression(replace(seen, served_by=served_by("0.01")))

    assert status(plan)["costBenefit"]["before"] == before
    assert plan.delete == ()


def test_a_prediction_is_scored_when_the_work_ends() -> None:
    said = finished().manifest["status"]

    speedup = said["costBenefit"]["speedup"]
    assert speedup["measured"] == said["best"]["latencyRatio"]
    assert speedup["errorRatio"] == round(speedup["measured"] / speedup["expected"] - 1, 4)


def test_a_prediction_rests_on_earlier_jobs() -> None:
    ended = finished().manifest
    seen = replace(enforced("100"), earlier=(ended, ended))

    seen = carried_out(seen, plan_compression(seen))

    speedup = seen.manifest["status"]["costBenefit"]["speedup"]
    assert speedup["jobs"] == 2
    assert "from 2 earlier jobs" in seen.manifest["status"]["costBenefit"]["before"]["explanation"]


def test_a_held_back_job_is_queued() -> None:
    seen = started(compression_spec(queueName="team-a"))
    (job,) = seen.children.jobs
    held = {**job, "spec": {**job["spec"], "suspend": True}}
    seen = replace(seen, children=replace(seen.children, jobs=(held,)))

    plan = plan_compression(seen)

    assert status(plan)["phase"] == "Queued"
    assert job["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team-a"


def test_a_broken_rule_changes_nothing_and_names_every_field() -> None:
    seen = started()
    broken = edited(seen, strategy={"mode": "Pipeline"}, output={"uri": "ftp://x"})

    plan = plan_compression(broken)

    assert is_idle(plan)
    valid = condition(plan, "Valid")
    assert (valid["status"], valid["reason"]) == ("False", "InvalidSpec")
    assert "spec.strategy.pipeline" in valid["message"]
    assert "spec.output.uri" in valid["message"]
    assert condition(plan, "Stalled")["status"] == "True"


def test_a_mended_rule_finds_the_verdict_again() -> None:
    seen = finished()
    broken = edited(seen, backoffLimit=-1)
    broken = carried_out(broken, plan_compression(broken))

    plan = plan_compression(edited(broken, backoffLimit=1))

    assert status(plan)["phase"] == "Succeeded"
    assert condition(plan, "Ready")["status"] == condition(plan, "Valid")["status"] == "True"


def test_a_name_that_no_label_can_carry_is_refused() -> None:
    plan = plan_compression(compression(manifest=owned("CompressionJob", compression_spec(), name="a" * 64)))

    assert "metadata.name" in condition(plan, "Valid")["message"]
