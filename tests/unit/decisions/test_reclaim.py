"""What becomes of artifacts when their CompressionJob is deleted."""

from __future__ import annotations

import json
from dataclasses import replace

from frugal.decisions.compression import plan_compression
from frugal.decisions.plan import Plan
from frugal.decisions.reclaim import FINALIZER
from frugal.decisions.snapshot import CompressionSnapshot
from tests.unit.decisions.factories import (
    DIGEST,
    REPORT_DIGEST,
    carried_out,
    compression,
    compression_spec,
    condition,
    ended,
    pod,
    result,
    with_child_status,
    with_pods,
)

RECLAIMED = compression_spec(output={"uri": "pvc://models/out", "reclaim": "Delete"})


def deleted(seen: CompressionSnapshot) -> CompressionSnapshot:
    metadata = {**seen.manifest["metadata"], "deletionTimestamp": "2026-11-18T16:00:00Z", "finalizers": [FINALIZER]}
    return replace(seen, manifest={**seen.manifest, "metadata": metadata})


def succeeded() -> CompressionSnapshot:
    seen = compression(RECLAIMED)
    seen = carried_out(seen, plan_compression(seen))
    message = result().model_dump_json(by_alias=True, exclude_none=True)
    seen = with_pods(seen, pod(seen, phase="Succeeded", containerStatuses=ended("compress", message=message)))
    return carried_out(seen, plan_compression(seen))


def removing() -> CompressionSnapshot:
    seen = deleted(succeeded())
    return with_pods(carried_out(seen, plan_compression(seen)))


def test_only_an_object_that_reclaims_carries_the_finalizer() -> None:
    assert plan_compression(compression(RECLAIMED)).finalizers == (FINALIZER,)
    assert plan_compression(compression()).finalizers == ()


def test_a_broken_spec_keeps_the_finalizer_that_is_there() -> None:
    seen = compression(RECLAIMED | {"backoffLimit": -1})
    metadata = {**seen.manifest["metadata"], "finalizers": [FINALIZER, "example.com/other"]}

    plan = plan_compression(replace(seen, manifest={**seen.manifest, "metadata": metadata}))

    assert plan.finalizers == (FINALIZER,)


def test_a_deleted_object_removes_exactly_what_it_wrote() -> None:
    plan = plan_compression(deleted(succeeded()))

    request, job = plan.apply
    folders = json.loads(request["data"]["request.json"])["uris"]
    assert folders[:2] == [f"pvc://models/out/sha256/{DIGEST}", f"pvc://models/out/sha256/{REPORT_DIGEST}"]
    assert folders[2].startswith("pvc://models/out/studies/")
    (container,) = job["spec"]["template"]["spec"]["containers"]
    assert container["command"] == ["python", "-m", "frugal_jobs.reclaim"]
    assert {"name": "claim-0", "mountPath": "/mnt/frugal/volumes/models", "readOnly": False} in container[
        "volumeMounts"
    ]
    assert [ref.kind for ref in plan.delete] == ["Job"]  # the compression's own, should it still run
    assert plan.finalizers == (FINALIZER,)


def test_a_folder_that_is_not_named_by_its_content_is_left() -> None:
    seen = deleted(succeeded())
    (artifact,) = seen.manifest["status"]["artifacts"]
    artifact["uri"] = "pvc://models/production/model.onnx"  # a status that somebody wrote by hand

    plan = plan_compression(seen)

    assert "production" not in plan.apply[0]["data"]["request.json"]


def test_removing_is_planned_once() -> None:
    seen = removing()

    plan = plan_compression(seen)

    assert [one["kind"] for one in plan.apply] == ["ConfigMap"]
    assert plan.delete == ()
    assert plan.status == seen.manifest["status"]


def test_an_object_goes_when_everything_is_removed() -> None:
    seen = with_child_status(removing(), "Job", {"conditions": [{"type": "Complete", "status": "True"}]})

    assert plan_compression(seen) == Plan(status=None)


def test_an_object_that_published_nothing_goes_at_once() -> None:
    assert plan_compression(deleted(compression(RECLAIMED))) == Plan(status=None)


def test_what_cannot_be_removed_keeps_the_object_and_says_how_to_go_on() -> None:
    failed = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}]}
    seen = removing()
    refused = pod(seen, phase="Failed", containerStatuses=ended("reclaim", exit_code=1, message="access denied"))

    plan = plan_compression(with_child_status(with_pods(seen, refused), "Job", failed))

    stalled = condition(plan, "Stalled")
    assert stalled["status"] == "True"
    assert "access denied" in stalled["message"]
    assert FINALIZER in stalled["message"]
    assert plan.finalizers == (FINALIZER,)
