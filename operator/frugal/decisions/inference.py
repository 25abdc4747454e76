"""The plan for one InferenceDeployment: which model, which size, which children, and what is said of it.

What the plan must remember stands in the status (`model`: the last that was fully rolled out; `applied`, `cost`,
`savings`) and in annotations of the Deployment; everything else is read from the children each time.
"""

from __future__ import annotations

import math
from collections.abc import Iterable

from frugal.api.conditions import ConditionType, Reason
from frugal.api.inference_deployment import InferenceDeployment
from frugal.api.status import ServingPhase
from frugal.decisions.conditions import ACCEPTED, Standing, Told, refused, triple, written
from frugal.decisions.events import events_between
from frugal.decisions.inference_adopted import plan_adopted
from frugal.decisions.inference_apply import Application, application_of
from frugal.decisions.inference_model import ModelChoice, choose_model
from frugal.decisions.inference_size import decide_size
from frugal.decisions.inference_stage import Rollout, rollout_of
from frugal.decisions.inference_status import (
    Look,
    due_checkpoint,
    requeue_seconds,
    resize_events,
    status_before,
    status_of,
)
from frugal.decisions.inference_support import unsupported_in
from frugal.decisions.inference_trial import Progress
from frugal.decisions.node_prices import labels_of_node
from frugal.decisions.parsing import parsed_inference_deployment
from frugal.decisions.plan import ObjectRef, Plan, ref_of
from frugal.decisions.pods import by_age, is_being_deleted, is_ready
from frugal.decisions.snapshot import InferenceSnapshot, Manifest
from frugal.errors import InvalidObject
from frugal.resources.inference import render_disruption_budget, render_service
from frugal.sizing.recommendation import Recommendation

WATCHED = (ConditionType.SLO_MET, ConditionType.WITHIN_BUDGET, ConditionType.TELEMETRY_AVAILABLE)


def plan_inference(seen: InferenceSnapshot) -> Plan:
    """Return what shall be done and said about an InferenceDeployment now; a spec that breaks a rule is a plan too."""
    if is_being_deleted(seen.manifest):
        return Plan(status=None)
    try:
        deployment = parsed_inference_deployment(seen.manifest)
    except InvalidObject as fault:
        return _unchanged(seen, refused(fault))
    unsupported = unsupported_in(deployment.spec)
    if unsupported:
        return _unchanged(seen, (ACCEPTED, *triple(Standing.STALLED, Reason.UNSUPPORTED, unsupported)))
    if deployment.spec.target_ref is not None:
        return plan_adopted(deployment, seen)
    return _plan(deployment, seen)


def _plan(deployment: InferenceDeployment, seen: InferenceSnapshot) -> Plan:
    before = status_before(seen.manifest)
    live = next((one for one in seen.children.deployments if one["metadata"]["name"] == deployment.name), None)
    node_labels = labels_of_node(by_age(seen.children.pods), seen.environment)
    choice = choose_model(deployment, seen, live, before)
    progress = _progress(live, choice)
    look = Look(
        deployment=deployment,
        seen=seen,
        before=before,
        live=live,
        choice=choice,
        progress=progress,
        decision=decide_size(
            deployment.spec, seen, live=live, before=before, node_labels=node_labels, progress=progress
        ),
        node_labels=node_labels,
    )
    application = _application(look)
    return _said(look, application, rollout_of(live, application.deployment if application else None))


def _progress(live: Manifest | None, choice: ModelChoice) -> Progress:
    """Return how the newest template that Kubernetes knows of is coming along."""
    rollout = rollout_of(live, None)
    version = choice.model.version if choice.model is not None else ""
    return Progress(is_complete=rollout.is_complete, is_overdue=rollout.is_overdue, version=version)


def _application(look: Look) -> Application | None:
    """Return how the decided size is applied; None while there is no model to serve."""
    if look.choice.model is None:
        return None
    advice, size = look.decision.advice, look.decision.size
    figures = advice.figures if isinstance(advice, Recommendation) else {}
    return application_of(
        look.deployment,
        look.seen,
        live=look.live,
        model=look.choice.model,
        size=size,
        needed_replicas=math.ceil(figures.get("needed_replicas", size.replicas)),
        failed_version=look.choice.failed_version,
    )


def _said(look: Look, application: Application | None, rollout: Rollout) -> Plan:
    """Return the plan with the status that tells of it."""
    desired = application.deployment if application is not None else None
    status, told = status_of(look, rollout, is_deployed=desired is not None)
    manifest, raw = look.seen.manifest, look.seen.manifest.get("status") or {}
    generation = look.deployment.generation
    conditions = written(told, raw.get("conditions") or [], generation=generation, now=look.now)
    after = status.model_copy(update={"observed_generation": generation, "conditions": conditions}).to_json()
    apply, delete = _children(look, desired)
    return Plan(
        apply=apply,
        delete=delete,
        resize=application.resizes if application is not None else (),
        status=after,
        events=(*events_between(manifest.get("status") or {}, after, watched=WATCHED), *resize_events(look, status)),
        requeue_seconds=requeue_seconds(look, status),
    )


def _children(look: Look, desired: Manifest | None) -> tuple[tuple[Manifest, ...], tuple[ObjectRef, ...]]:
    """Return the children as they shall be, and those that shall not be."""
    apply = [desired, render_service(look.deployment)] if desired is not None else []
    checkpoint = due_checkpoint(look)
    if checkpoint is not None:
        apply.append(checkpoint)
    budgets = look.seen.children.pod_disruption_budgets
    if desired is not None and look.decision.size.replicas > 1:
        if look.seen.environment.capabilities.pod_disruption_budgets:
            apply.append(render_disruption_budget(look.deployment))
        return tuple(apply), ()
    return tuple(apply), tuple(ref_of(one) for one in budgets)


def _unchanged(seen: InferenceSnapshot, told: Iterable[Told]) -> Plan:
    """Plan nothing, keep what runs, and say why."""
    before = seen.manifest.get("status") or {}
    generation = int(seen.manifest["metadata"].get("generation", 1))
    conditions = written(told, before.get("conditions") or [], generation=generation, now=seen.environment.now)
    ready = sum(map(is_ready, seen.children.pods))
    update = {
        "observed_generation": generation,
        "phase": ServingPhase.DEGRADED if ready else ServingPhase.FAILED,
        "ready_replicas": ready,
        "conditions": conditions,
    }
    after = status_before(seen.manifest).model_copy(update=update).to_json()
    return Plan(status=after, events=events_between(before, after))
