"""A workload that something else made: measured as it is, and only the fields that are ours are written."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from frugal.decisions.inference import plan_inference
from frugal.decisions.plan import Plan
from frugal.decisions.snapshot import Children, InferenceSnapshot, Manifest
from tests.unit.decisions.factories import PRICES, condition, edited, environment, inference, status
from tests.unit.decisions.test_inference import AUTO, learnt, measured


def existing(*, replicas: int = 1, **resources: Any) -> Manifest:
    asked = resources or {
        "requests": {"cpu": "500m", "memory": "512Mi"},
        "limits": {"cpu": "1", "memory": "1Gi"},
    }
    containers = [{"name": "llm", "image": "llm:1", "resources": asked}, {"name": "proxy", "image": "proxy:1"}]
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": "existing", "namespace": "ml", "uid": "uid-e", "generation": 1, "labels": {"app": "llm"}},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "llm"}},
            "template": {"metadata": {"labels": {"app": "llm"}}, "spec": {"containers": containers}},
        },
        "status": {
            "observedGeneration": 1,
            "replicas": replicas,
            "updatedReplicas": replicas,
            "readyReplicas": replicas,
        },
    }


def adopting(target: Manifest | None = None, **spec: Any) -> InferenceSnapshot:
    seen = inference(
        {"targetRef": {"name": "existing"}, **spec},
        environment=environment(prices=PRICES),
        measured=measured(learnt()),
    )
    return replace(seen, children=Children(deployments=(target or existing(),)))


def merged(seen: InferenceSnapshot, plan: Plan) -> InferenceSnapshot:
    """What is seen once the server has merged our fields into the Deployment."""
    (target,) = seen.children.deployments
    for ours in (one for one in plan.apply if one["kind"] == "Deployment"):
        spec = target["spec"]
        by_name = {one["name"]: one for one in ours["spec"]["template"]["spec"]["containers"]}
        containers = [{**one, **by_name.get(one["name"], {})} for one in spec["template"]["spec"]["containers"]]
        template = {**spec["template"], "spec": {"containers": containers}}
        replicas = ours["spec"].get("replicas", spec["replicas"])
        target = {**target, "spec": {**spec, "replicas": replicas, "template": template}}
    manifest = {**seen.manifest, "status": status(plan)}
    return replace(seen, manifest=manifest, children=Children(deployments=(target,)))


def deployments(plan: Plan) -> list[Manifest]:
    return [one for one in plan.apply if one["kind"] == "Deployment"]


def test_recommend_observes_and_writes_nothing_of_it() -> None:
    plan = plan_inference(adopting())

    assert deployments(plan) == []
    assert plan.delete == ()
    assert status(plan)["recommendation"]["target"]["cpu"] != "500m"
    assert status(plan)["phase"] == "Serving"
    assert condition(plan, "RightSized")["reason"] == "Recommended"
    assert status(plan)["selector"] == "app=llm"


def test_auto_writes_the_requests_and_the_replicas_and_nothing_else() -> None:
    plan = plan_inference(adopting(rightSizing=AUTO))

    (ours,) = deployments(plan)
    target = status(plan)["applied"]["size"]
    (container,) = ours["spec"]["template"]["spec"]["containers"]
    assert set(ours["metadata"]) == {"name", "namespace"}
    assert set(ours["spec"]) == {"replicas", "template"}
    assert set(container) == {"name", "resources"}
    assert container["name"] == "llm"
    assert container["resources"]["requests"] == {"cpu": target["cpu"], "memory": target["memory"]}


def test_limits_keep_their_ratio_to_the_requests() -> None:
    plan = plan_inference(adopting(rightSizing=AUTO))

    (ours,) = deployments(plan)
    resources = ours["spec"]["template"]["spec"]["containers"][0]["resources"]
    cpu = int(resources["requests"]["cpu"].removesuffix("m"))
    memory = int(resources["requests"]["memory"].removesuffix("Mi"))
    assert resources["limits"] == {"cpu": f"{2 * cpu}m", "memory": f"{2 * memory}Mi"}


def test_what_was_applied_stays_applied_and_is_not_written_twice() -> None:
    seen = adopting(rightSizing=AUTO)
    seen = merged(seen, plan_inference(seen))

    plan = plan_inference(seen)

    after = merged(seen, plan)
    assert after.children == seen.children
    assert condition(plan, "RightSized")["reason"] == "Applied"


def test_with_an_external_scaler_the_replicas_are_not_ours() -> None:
    plan = plan_inference(adopting(existing(replicas=4), rightSizing={"mode": "Auto", "scaling": "External"}))

    (ours,) = deployments(plan)
    assert set(ours["spec"]) == {"template"}
    assert status(plan)["applied"]["size"]["replicas"] == 4


def test_somebody_who_puts_other_requests_back_is_not_fought() -> None:
    seen = adopting(rightSizing=AUTO)
    seen = merged(seen, plan_inference(seen))
    seen = replace(seen, children=Children(deployments=(existing(),)))

    plan = plan_inference(seen)

    assert deployments(plan) == []
    assert condition(plan, "RightSized")["reason"] == "Conflict"
    assert "500m and 512Mi" in condition(plan, "RightSized")["message"]

    again = plan_inference(edited(merged(seen, plan), rightSizing=AUTO | {"cooldown": "1m"}))
    assert len(deployments(again)) == 1  # its owner has looked at the spec, so it is tried again


def test_a_workload_that_is_not_there_is_named() -> None:
    seen = replace(adopting(), children=Children())

    plan = plan_inference(seen)

    assert condition(plan, "Ready")["reason"] == "ReferenceMissing"
    assert "existing" in condition(plan, "Ready")["message"]
    assert plan.requeue_seconds == 60


def test_a_workload_without_requests_is_asked_for_them() -> None:
    plan = plan_inference(adopting(existing(limits={"memory": "1Gi"})))

    assert deployments(plan) == []
    assert "resources.requests.cpu" in condition(plan, "Ready")["message"]
