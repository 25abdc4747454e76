"""How a size reaches the pods: in place where the server can, else by a rollout that keeps the capacity."""

from __future__ import annotations

from dataclasses import replace

from frugal.decisions.inference import plan_inference
from frugal.decisions.plan import Plan
from frugal.decisions.snapshot import Capabilities, InferenceSnapshot, Manifest
from frugal.units import rfc3339
from tests.unit.decisions.factories import (
    DIGEST,
    PRICES,
    carried_out,
    environment,
    inference_spec,
    later,
    pod,
    status,
    with_pods,
)
from tests.unit.decisions.test_inference import (
    AUTO,
    deployment_of,
    follows,
    job_with,
    learnt,
    measured,
    requests_of,
    rolled_out,
    serving,
)

RESIZES = Capabilities(pod_disruption_budgets=True, pod_resize=True)
READY: Manifest = {"conditions": [{"type": "Ready", "status": "True"}]}


def able(spec: object | None = None, **changes: object) -> InferenceSnapshot:
    """A measured object with one pod, on a server that can resize pods."""
    spec = spec or inference_spec(rightSizing=AUTO)
    seen = serving(spec, environment=environment(prices=PRICES, capabilities=RESIZES), **changes)
    return replace(with_pods(seen, pod(seen, **READY)), measured=measured())


def resized(seen: InferenceSnapshot, plan: Plan) -> InferenceSnapshot:
    """What is seen once the pods have what the plan gives them."""
    (one,) = seen.children.pods
    (change,) = plan.resize
    containers = [{**container, "resources": change.resources} for container in one["spec"]["containers"]]
    return with_pods(carried_out(seen, plan), {**one, "spec": {**one["spec"], "containers": containers}})


def pending(seen: InferenceSnapshot, reason: str, *, seconds_ago: float) -> InferenceSnapshot:
    (one,) = seen.children.pods
    since = rfc3339(later(seen, -seconds_ago).environment.now)
    said = {"type": "PodResizePending", "status": "True", "reason": reason, "lastTransitionTime": since}
    conditions = [*one["status"]["conditions"], said]
    return with_pods(seen, {**one, "status": {**one["status"], "conditions": conditions}})


def test_pods_are_resized_where_they_run_and_the_template_keeps_its_requests() -> None:
    seen = able()
    before = requests_of(seen)

    plan = plan_inference(seen)

    (change,) = plan.resize
    target = status(plan)["applied"]["size"]
    assert (change.name, change.container) == ("pod-1", "server")
    assert change.resources["requests"] == {"cpu": target["cpu"], "memory": target["memory"]}
    assert change.resources["requests"] != before
    assert requests_of(carried_out(seen, plan)) == before


def test_what_was_resized_is_left_alone() -> None:
    seen = able()
    seen = resized(seen, plan_inference(seen))

    assert plan_inference(seen).resize == ()


def test_a_pod_made_meanwhile_is_resized_when_it_appears() -> None:
    seen = able()
    seen = resized(seen, plan_inference(seen))
    newer = pod(seen, name="pod-2")  # of the template, with its old requests

    plan = plan_inference(with_pods(seen, *seen.children.pods, newer))

    assert [one.name for one in plan.resize] == ["pod-2"]


def test_the_next_rollout_takes_the_size_into_the_template() -> None:
    seen = able(inference_spec(rightSizing=AUTO) | follows(), compression_job=job_with(DIGEST))
    seen = resized(seen, plan_inference(seen))

    plan = plan_inference(replace(seen, compression_job=job_with("cd" * 32)))

    target = status(plan)["applied"]["size"]
    assert requests_of(carried_out(seen, plan)) == {"cpu": target["cpu"], "memory": target["memory"]}
    assert plan.resize == ()


def test_a_server_that_cannot_resize_pods_gets_a_rollout() -> None:
    seen = able()
    seen = replace(seen, environment=environment(prices=PRICES))
    before = requests_of(seen)

    plan = plan_inference(seen)

    assert plan.resize == ()
    assert requests_of(carried_out(seen, plan)) != before


def test_a_node_that_has_no_room_for_good_or_for_long_gets_a_rollout() -> None:
    seen = able()
    seen = resized(seen, plan_inference(seen))
    before = requests_of(seen)

    def after(reason: str, seconds: float) -> dict[str, str]:
        waiting = pending(seen, reason, seconds_ago=seconds)
        return requests_of(carried_out(waiting, plan_inference(waiting)))

    assert after("Infeasible", 1) != before
    assert after("Deferred", 301) != before
    assert after("Deferred", 60) == before


def test_other_threads_need_another_process() -> None:
    asked = {"requests": {"cpu": "1800m", "memory": "512Mi"}, "limits": {"memory": "1Gi"}}
    runtime = {"podTemplate": {"spec": {"containers": [{"name": "server", "resources": asked}]}}}
    seen = able(inference_spec(rightSizing=AUTO, runtime=runtime))
    grown = replace(seen, measured=measured(learnt(rate=20.0, cores=2.0)))

    plan = plan_inference(grown)

    assert status(plan)["applied"]["size"]["cpu"] == "2408m"  # two threads where one was
    assert plan.resize == ()
    assert requests_of(carried_out(grown, plan))["cpu"] == "2408m"


def crowded(seen: InferenceSnapshot, *, seconds_ago: float) -> InferenceSnapshot:
    """Three pods that serve, and one that has found no node for so long."""
    since = rfc3339(later(seen, -seconds_ago).environment.now)
    unschedulable = {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "lastTransitionTime": since}
    old = [pod(seen, name=f"pod-{number}", **READY) for number in (1, 2, 3)]
    return with_pods(seen, *old, pod(seen, name="pod-4", phase="Pending", conditions=[unschedulable]))


def strategy(seen: InferenceSnapshot) -> Manifest:
    plan = plan_inference(seen)
    rolling: Manifest = deployment_of(carried_out(seen, plan))["spec"]["strategy"]["rollingUpdate"]
    return rolling


def test_where_nothing_has_room_one_goes_before_one_comes_while_the_load_allows_it() -> None:
    seen = serving(inference_spec(rightSizing=AUTO, replicas={"min": 3}), environment=environment(prices=PRICES))
    seen = replace(rolled_out(seen), measured=measured())
    busy = replace(seen, measured=measured(learnt(rate=200.0, cores=1.0)))  # needs every replica there is, or more

    assert strategy(crowded(seen, seconds_ago=200)) == {"maxUnavailable": 1, "maxSurge": 0}
    assert strategy(crowded(seen, seconds_ago=60))["maxUnavailable"] == 0  # a node may still come
    assert strategy(crowded(busy, seconds_ago=200))["maxUnavailable"] == 0
