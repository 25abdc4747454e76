"""What holds for every plan: it never fails, says the same twice, and changes nothing once it is carried out."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from frugal.api.result import ResultVerdict
from frugal.decisions.compression import plan_compression
from frugal.decisions.inference import plan_inference
from frugal.decisions.plan import Plan
from frugal.decisions.snapshot import CompressionSnapshot, InferenceSnapshot
from frugal.resources.identity import differs
from tests.unit.decisions.factories import (
    PRICES,
    carried_out,
    compression,
    compression_spec,
    ended,
    environment,
    inference,
    inference_spec,
    is_idle,
    later,
    owned,
    pod,
    result,
    with_child_status,
    with_pods,
)
from tests.unit.decisions.test_inference import learnt, measured, rolled_out

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda children: st.lists(children, max_size=4) | st.dictionaries(st.text(max_size=12), children, max_size=4),
    max_leaves=12,
)
COMPRESSION_FIELDS = st.sampled_from(
    [
        "model",
        "data",
        "objective",
        "strategy",
        "targets",
        "output",
        "resources",
        "podTemplate",
        "credentials",
        "suspend",
    ]
)
INFERENCE_FIELDS = st.sampled_from(
    ["model", "runtime", "slo", "replicas", "accelerators", "rightSizing", "rollout", "budget", "service", "targetRef"]
)
LOOSE_RUNTIME = st.builds(
    lambda resources, env: {
        "podTemplate": {"spec": {"containers": [{"name": "server", "resources": resources, "env": env}]}}
    },
    JSON,
    JSON,
)


def plan(seen: CompressionSnapshot | InferenceSnapshot) -> Plan:
    return plan_compression(seen) if isinstance(seen, CompressionSnapshot) else plan_inference(seen)


def same(plan: Plan, seen: CompressionSnapshot | InferenceSnapshot) -> bool:
    """Whether carrying out the plan would write nothing."""
    children = seen.children
    lists = (children.jobs, children.deployments, children.services, children.config_maps)
    every = [one for kind in (*lists, children.pod_disruption_budgets) for one in kind]
    living = {(one["kind"], one["metadata"]["name"]): one for one in every}
    wanted = {(one["kind"], one["metadata"]["name"]): one for one in plan.apply}
    is_written = any(key not in living or differs(one, living[key]) for key, one in wanted.items())
    return plan.status == seen.manifest["status"] and not plan.delete and not is_written


def compression_worlds() -> dict[str, CompressionSnapshot]:
    fresh = compression(environment=environment(prices=PRICES))
    started = carried_out(fresh, plan_compression(fresh))
    message = result().model_dump_json(by_alias=True, exclude_none=True)
    rejection = result(ResultVerdict.REJECTED).model_dump_json(by_alias=True, exclude_none=True)
    done = pod(started, phase="Succeeded", containerStatuses=ended("compress", message=message))
    rejected = pod(started, phase="Succeeded", containerStatuses=ended("compress", message=rejection))
    crashed = pod(started, phase="Failed", containerStatuses=ended("compress", exit_code=1, message="no space"))
    given_up = {"conditions": [{"type": "Failed", "status": "True", "reason": "BackoffLimitExceeded"}], "failed": 3}
    return {
        "fresh": fresh,
        "suspended": compression(compression_spec(suspend=True)),
        "running": with_pods(started, pod(started)),
        "succeeded": with_pods(started, done),
        "rejected": with_pods(started, rejected),
        "retrying": with_pods(started, crashed),
        "failed": with_child_status(with_pods(started, crashed), "Job", given_up),
        "invalid": compression({"model": {}}),
    }


def inference_worlds() -> dict[str, InferenceSnapshot]:
    priced = environment(prices=PRICES)
    fresh = inference(environment=priced)
    started = carried_out(fresh, plan_inference(fresh))
    auto = inference(inference_spec(rightSizing={"mode": "Auto"}, replicas={"min": 2}), environment=priced)
    budget = {"monthly": "5", "onExceed": "Cap"}
    capped = inference(inference_spec(rightSizing={"mode": "Auto"}, budget=budget), environment=priced)
    return {
        "fresh": fresh,
        "serving": rolled_out(started),
        "measured": replace(rolled_out(started), measured=measured()),
        "unpriced": replace(inference(), measured=measured()),
        "stale": later(replace(rolled_out(started), measured=measured()), 1000),
        "auto": replace(auto, measured=measured()),
        "capped": replace(capped, measured=measured(learnt(rate=200.0, cores=2.0))),
        "waiting": inference({"model": {"compressionJobRef": {"name": "nobody"}}}),
        "unsupported": inference({"targetRef": {"name": "existing"}}),
        "invalid": inference({"model": {}}),
    }


WORLDS = [pytest.param(seen, id=f"compression-{name}") for name, seen in compression_worlds().items()] + [
    pytest.param(seen, id=f"inference-{name}") for name, seen in inference_worlds().items()
]


@pytest.mark.parametrize("seen", WORLDS)
def test_a_plan_that_is_carried_out_settles(seen: CompressionSnapshot | InferenceSnapshot) -> None:
    for _ in range(3):  # a new size is applied, then told as applied
        seen = carried_out(seen, plan(seen))

    again = plan(seen)

    assert same(again, seen)
    assert again.events == ()


@pytest.mark.parametrize("seen", WORLDS)
def test_a_second_alone_changes_nothing(seen: CompressionSnapshot | InferenceSnapshot) -> None:
    for _ in range(3):
        seen = carried_out(seen, plan(seen))

    assert same(plan(later(seen, 1)), later(seen, 1))


@pytest.mark.parametrize("seen", WORLDS)
def test_the_same_snapshot_gives_the_same_plan(seen: CompressionSnapshot | InferenceSnapshot) -> None:
    assert plan(seen) == plan(seen)


@pytest.mark.parametrize("seen", WORLDS)
def test_no_event_without_a_new_status(seen: CompressionSnapshot | InferenceSnapshot) -> None:
    first = plan(seen)

    assert not first.events or first.status != seen.manifest["status"]


@pytest.mark.parametrize("seen", WORLDS)
def test_conditions_are_sorted_and_at_most_one_of_the_triple_is_true(
    seen: CompressionSnapshot | InferenceSnapshot,
) -> None:
    said = plan(seen).status
    assert said is not None

    types = [one["type"] for one in said["conditions"]]
    triple = [one["status"] for one in said["conditions"] if one["type"] in ("Ready", "Reconciling", "Stalled")]
    assert types == sorted(set(types))
    assert len(triple) == 3
    assert triple.count("True") <= 1
    assert {one["observedGeneration"] for one in said["conditions"]} == {said["observedGeneration"]}


@pytest.mark.parametrize("seen", WORLDS)
def test_every_child_is_owned_and_labelled(seen: CompressionSnapshot | InferenceSnapshot) -> None:
    uid = seen.manifest["metadata"]["uid"]

    for one in plan(seen).apply:
        assert one["metadata"]["labels"]["frugal.dev/uid"] == uid
        assert [owner["uid"] for owner in one["metadata"]["ownerReferences"]] == [uid]


@pytest.mark.parametrize("kind", ["CompressionJob", "InferenceDeployment"])
def test_an_object_that_goes_gets_no_plan(kind: str) -> None:
    going = owned(kind, {}, deletionTimestamp="2026-11-18T15:00:00Z")

    gone = plan(compression(manifest=going) if kind == "CompressionJob" else inference(manifest=going))

    assert gone == Plan(status=None)


def judged(plan: Plan) -> str:
    assert plan.status is not None
    return str(next(one["status"] for one in plan.status["conditions"] if one["type"] == "Valid"))


@given(JSON)
def test_any_garbage_is_a_plan_and_not_valid(garbage: object) -> None:
    for answer in (plan_compression(compression(garbage or {})), plan_inference(inference(garbage or {}))):
        assert judged(answer) == "False"
        assert is_idle(answer)


@given(COMPRESSION_FIELDS, JSON)
def test_a_job_with_one_garbled_field_is_a_plan(field: str, garbage: object) -> None:
    assert judged(plan_compression(compression(compression_spec(**{field: garbage})))) in ("True", "False")


@given(INFERENCE_FIELDS, JSON)
def test_a_deployment_with_one_garbled_field_is_a_plan(field: str, garbage: object) -> None:
    assert judged(plan_inference(inference(inference_spec(**{field: garbage})))) in ("True", "False")


@settings(max_examples=50)
@given(LOOSE_RUNTIME, st.sampled_from(["onnxruntime", "custom"]))
def test_whatever_stands_in_a_pod_template_is_a_plan(runtime: dict[str, Any], name: str) -> None:
    assert judged(plan_inference(inference(inference_spec(runtime=runtime | {"name": name})))) in ("True", "False")
