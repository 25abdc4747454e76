"""The plan for a workload that something else made: measured as it is, its requests applied where `Auto` says so.

Only the fields that are ours are written, by server-side apply, and never against somebody who puts them back.
"""

from __future__ import annotations

from frugal.api.conditions import ConditionType, Reason
from frugal.api.inference_deployment import InferenceDeployment, Scaling, SizingMode
from frugal.api.status import InferenceDeploymentStatus, ServingPhase, Size
from frugal.decisions.conditions import ACCEPTED, Standing, Told, triple, written
from frugal.decisions.events import events_between
from frugal.decisions.inference_model import ModelChoice
from frugal.decisions.inference_size import SPEC_REASON, SizeDecision, decide_from, is_same_replica
from frugal.decisions.inference_stage import Rollout, ServingStage, rollout_of
from frugal.decisions.inference_status import (
    Look,
    due_checkpoint,
    requeue_seconds,
    resize_events,
    status_before,
    status_with,
)
from frugal.decisions.inference_trial import Progress
from frugal.decisions.node_prices import labels_of_node
from frugal.decisions.plan import Plan
from frugal.decisions.pods import by_age
from frugal.decisions.snapshot import InferenceSnapshot, Manifest
from frugal.resources.adopted import adopted_size, render_adopted, selector_text

WATCHED = (ConditionType.SLO_MET, ConditionType.WITHIN_BUDGET, ConditionType.TELEMETRY_AVAILABLE)
LOOK_AGAIN_SECONDS = 60.0  # a target that is not there may be watched only once it exists


def plan_adopted(deployment: InferenceDeployment, seen: InferenceSnapshot) -> Plan:
    """Return what shall be done with the workload that spec.targetRef names."""
    assert deployment.spec.target_ref is not None
    name = deployment.spec.target_ref.name
    target = next((one for one in seen.children.deployments if one["metadata"]["name"] == name), None)
    if target is None:
        missing = f"spec.targetRef.name: there is no Deployment {name!r} in this namespace; create it"
        return _waiting(deployment, seen, Reason.REFERENCE_MISSING, missing)
    size = adopted_size(deployment.spec, target)
    if size is None:
        unsized = (
            f"Deployment {name} requests no CPU and memory, so there is nothing to compare with; give its container "
            "resources.requests.cpu and .memory"
        )
        return _waiting(deployment, seen, Reason.UNSUPPORTED, unsized)
    return _plan(deployment, seen, target, size)


def _plan(deployment: InferenceDeployment, seen: InferenceSnapshot, target: Manifest, size: Size) -> Plan:
    before = _fresh_after_a_change(deployment, status_before(seen.manifest))
    rollout = rollout_of(target, None)
    node_labels = labels_of_node(by_age(seen.children.pods), seen.environment)
    progress = Progress(is_complete=rollout.is_complete, is_overdue=rollout.is_overdue, version="")
    taken = _taken(before, size)
    reason = before.applied.reason if before.applied is not None else SPEC_REASON
    decision = (
        SizeDecision(present=size, size=size, reason=reason)
        if taken
        else decide_from(
            deployment.spec, seen, (size, reason), before=before, node_labels=node_labels, progress=progress
        )
    )
    look = Look(
        deployment=deployment,
        seen=seen,
        before=before,
        live=target,
        choice=ModelChoice(model=None),
        progress=progress,
        decision=decision,
        node_labels=node_labels,
    )
    return _said(look, target, rollout, taken)


def _said(look: Look, target: Manifest, rollout: Rollout, taken: str) -> Plan:
    status, told = status_with(look, rollout, _stage(target, rollout), is_deployed=not taken)
    status = status.model_copy(update={"selector": selector_text(target), "endpoint": ""})
    if taken:
        told = [one for one in told if one.type is not ConditionType.RIGHT_SIZED]
        told.append(Told(ConditionType.RIGHT_SIZED, False, Reason.CONFLICT, taken))
    raw = look.seen.manifest.get("status") or {}
    generation = look.deployment.generation
    conditions = written(told, raw.get("conditions") or [], generation=generation, now=look.now)
    after = status.model_copy(update={"observed_generation": generation, "conditions": conditions}).to_json()
    checkpoint = due_checkpoint(look)
    return Plan(
        apply=(*_ours(look, target, taken), *((checkpoint,) if checkpoint else ())),
        status=after,
        events=(*events_between(raw, after, watched=WATCHED), *resize_events(look, status)),
        requeue_seconds=requeue_seconds(look, status),
    )


def _ours(look: Look, target: Manifest, taken: str) -> tuple[Manifest, ...]:
    """Return the fields to apply: none while only observed, and none before there is a first change of our own."""
    rules = look.deployment.spec.right_sizing
    is_changed = look.decision.size != look.decision.present or (
        look.before.applied is not None and look.before.applied.reason != SPEC_REASON
    )
    if rules.mode is not SizingMode.AUTO or taken or not is_changed:
        return ()
    owns_replicas = rules.scaling is Scaling.FRUGAL
    return (render_adopted(look.deployment, target, look.decision.size, owns_replicas=owns_replicas),)


def _taken(before: InferenceDeploymentStatus, size: Size) -> str:
    """Return who has put other requests in the place of ours; empty when nobody has."""
    applied = before.applied
    if applied is None or applied.reason == SPEC_REASON or is_same_replica(applied.size, size):
        return ""
    return (
        f"{applied.size.cpu} and {applied.size.memory} were applied, and somebody has put {size.cpu} and {size.memory} "
        "in their place: take resources out of the other manager's manifest (Argo CD: ignoreDifferences with "
        "RespectIgnoreDifferences), then change this object's spec to start again"
    )


def _fresh_after_a_change(
    deployment: InferenceDeployment, before: InferenceDeploymentStatus
) -> InferenceDeploymentStatus:
    """Return the status without what was applied where the spec is a new one: its owner has looked at the matter."""
    if before.observed_generation == deployment.generation:
        return before
    return before.model_copy(update={"applied": None})


def _stage(target: Manifest, rollout: Rollout) -> ServingStage:
    name = target["metadata"]["name"]
    if rollout.is_overdue:
        message = f"Deployment {name} does not get on: `kubectl describe deployment {name}` says why"
        phase = ServingPhase.DEGRADED if rollout.ready else ServingPhase.FAILED
        return ServingStage(phase=phase, standing=Standing.STALLED, reason=Reason.ROLLOUT_FAILED, message=message)
    if not rollout.is_complete:
        message = f"{rollout.ready} of the replicas of Deployment {name} are ready"
        phase = ServingPhase.PROGRESSING
        return ServingStage(phase=phase, standing=Standing.WORKING, reason=Reason.PROGRESSING, message=message)
    message = f"Deployment {name} serves with {rollout.ready} {'replica' if rollout.ready == 1 else 'replicas'}"
    return ServingStage(phase=ServingPhase.SERVING, standing=Standing.READY, reason=Reason.SERVING, message=message)


def _waiting(deployment: InferenceDeployment, seen: InferenceSnapshot, reason: Reason, message: str) -> Plan:
    raw = seen.manifest.get("status") or {}
    told = (ACCEPTED, *triple(Standing.WORKING, reason, message))
    conditions = written(told, raw.get("conditions") or [], generation=deployment.generation, now=seen.environment.now)
    update = {
        "observed_generation": deployment.generation,
        "phase": ServingPhase.WAITING,
        "ready_replicas": 0,
        "conditions": conditions,
    }
    after = status_before(seen.manifest).model_copy(update=update).to_json()
    return Plan(status=after, events=events_between(raw, after), requeue_seconds=LOOK_AGAIN_SECONDS)
