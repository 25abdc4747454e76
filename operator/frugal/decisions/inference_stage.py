"""Where serving stands, read from the Deployment, its Service and its pods, and what a person is told about it."""

from __future__ import annotations

from dataclasses import dataclass

from frugal.api.conditions import Reason
from frugal.api.inference_deployment import InferenceDeployment
from frugal.api.status import ServingPhase, Size
from frugal.decisions.conditions import Standing
from frugal.decisions.inference_model import ModelChoice, deadline_exceeded
from frugal.decisions.pods import (
    Trouble,
    by_age,
    crash_trouble,
    is_being_deleted,
    is_ready,
    waiting_trouble,
)
from frugal.decisions.snapshot import Children, Manifest
from frugal.resources.identity import hash_of
from frugal.resources.inference import server_name

MEMORY_FIELD = "spec.runtime.podTemplate's memory limit, or set spec.rightSizing.mode: Auto"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rollout:
    """How far the Deployment is: pods that exist, that are of the newest template, that serve."""

    replicas: int
    updated: int
    ready: int
    is_complete: bool
    is_overdue: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingStage:
    """Where serving stands."""

    phase: ServingPhase
    standing: Standing
    reason: Reason
    message: str


NO_ROLLOUT = Rollout(replicas=0, updated=0, ready=0, is_complete=False, is_overdue=False)


def rollout_of(live: Manifest | None, desired: Manifest | None) -> Rollout:
    """Return how far `live` is on its way to `desired`; a `desired` of None takes it as it is."""
    if live is None:
        return NO_ROLLOUT
    status, wanted = live.get("status") or {}, int(live["spec"].get("replicas", 1))
    replicas, updated, ready = (
        int(status.get(count) or 0) for count in ("replicas", "updatedReplicas", "readyReplicas")
    )
    is_observed = int(status.get("observedGeneration") or 0) >= int(live["metadata"].get("generation", 1))
    is_current = desired is None or hash_of(desired) == hash_of(live)
    return Rollout(
        replicas=replicas,
        updated=updated,
        ready=ready,
        is_complete=is_observed and is_current and replicas == updated == ready == wanted,
        is_overdue=is_observed and is_current and deadline_exceeded(live),
    )


def stage_of(
    deployment: InferenceDeployment, choice: ModelChoice, size: Size, rollout: Rollout, children: Children
) -> ServingStage:
    """Return where serving stands; the first check that applies says it."""
    if choice.model is None:
        return _waiting(choice)
    trouble = _trouble(deployment, children)
    if choice.failed_version and rollout.is_complete:
        return _given_up(choice, rollout)
    if rollout.is_overdue:
        return _overdue(choice, rollout, trouble)
    if not rollout.is_complete:
        return _on_the_way(choice, size, rollout, trouble)
    if trouble is not None and trouble.reason is Reason.CONFLICT:
        return ServingStage(
            phase=ServingPhase.DEGRADED, standing=Standing.WORKING, reason=trouble.reason, message=trouble.message
        )
    if size.replicas == 0:
        message = "no replica runs: spec.replicas.desired is 0"
        return ServingStage(
            phase=ServingPhase.IDLE, standing=Standing.READY, reason=Reason.SCALED_TO_ZERO, message=message
        )
    return _serving(choice, size)


def endpoint_of(deployment: InferenceDeployment, children: Children) -> str:
    """Return where the Service answers: its name in the cluster, or loopback on a node that has no cluster DNS."""
    port = deployment.spec.service.port
    if _listening(children).get("status") == "True":
        return f"http://127.0.0.1:{port}"
    return f"http://{deployment.name}.{deployment.namespace}.svc:{port}"


def _waiting(choice: ModelChoice) -> ServingStage:
    assert choice.wait is not None, "without a model there is a reason to wait"
    return ServingStage(
        phase=ServingPhase.WAITING,
        standing=Standing.WORKING,
        reason=choice.wait.reason,
        message=choice.wait.message,
    )


def _serving(choice: ModelChoice, size: Size) -> ServingStage:
    assert choice.model is not None
    kept = f"; {choice.wait.message}" if choice.wait is not None else ""
    number = f"{size.replicas} of {size.replicas} {'replica serves' if size.replicas == 1 else 'replicas serve'}"
    return ServingStage(
        phase=ServingPhase.SERVING,
        standing=Standing.READY,
        reason=Reason.SERVING,
        message=f"{number} version {choice.model.version}{kept}",
    )


def _on_the_way(choice: ModelChoice, size: Size, rollout: Rollout, trouble: Trouble | None) -> ServingStage:
    assert choice.model is not None
    degraded = trouble is not None and rollout.ready > 0
    phase = ServingPhase.DEGRADED if degraded else ServingPhase.PROGRESSING
    if trouble is not None:
        return ServingStage(phase=phase, standing=Standing.WORKING, reason=trouble.reason, message=trouble.message)
    return ServingStage(
        phase=phase,
        standing=Standing.WORKING,
        reason=Reason.PROGRESSING,
        message=f"{size.replicas} {'replica' if size.replicas == 1 else 'replicas'} of version "
        f"{choice.model.version} {'is' if size.replicas == 1 else 'are'} being started",
    )


def _overdue(choice: ModelChoice, rollout: Rollout, trouble: Trouble | None) -> ServingStage:
    assert choice.model is not None
    said = f": {trouble.message}" if trouble is not None else ""
    left = f"; {rollout.ready} older replicas go on serving" if rollout.ready else ""
    return ServingStage(
        phase=ServingPhase.DEGRADED if rollout.ready else ServingPhase.FAILED,
        standing=Standing.STALLED,
        reason=Reason.ROLLOUT_FAILED,
        message=f"version {choice.model.version} did not become ready in time{said}{left}",
    )


def _given_up(choice: ModelChoice, rollout: Rollout) -> ServingStage:
    assert choice.model is not None
    return ServingStage(
        phase=ServingPhase.DEGRADED,
        standing=Standing.STALLED,
        reason=Reason.ROLLOUT_FAILED,
        message=f"version {choice.failed_version} did not become ready in time and was rolled back: {rollout.ready} "
        f"replicas serve version {choice.model.version}; publish another, or change spec.model",
    )


def _trouble(deployment: InferenceDeployment, children: Children) -> Trouble | None:
    """Return what keeps the newest pod that does not serve from serving, or the Service from answering."""
    listening = _listening(children)
    if listening.get("status") == "False":
        return Trouble(Reason.CONFLICT, f"spec.service.port: {listening.get('message', '')}")
    pods = [pod for pod in by_age(children.pods) if not is_ready(pod) and not is_being_deleted(pod)]
    container = server_name(deployment.spec)
    for pod in reversed(pods):
        trouble = waiting_trouble(pod) or crash_trouble(pod, container, memory_field=MEMORY_FIELD)
        if trouble is not None:
            return trouble
    return None


def _listening(children: Children) -> Manifest:
    """Return the condition by which a node without cluster DNS says whether the Service answers on loopback."""
    conditions = [one for service in children.services for one in (service.get("status") or {}).get("conditions") or []]
    return next((dict(one) for one in conditions if one.get("type") == "Listening"), {})
