"""The status of an InferenceDeployment: what one look saw and decided, in fields and conditions. Plans nothing.

Both ways of serving say the same: pods of ours, and a workload that was adopted.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from pydantic import ValidationError

from frugal.api.conditions import Reason
from frugal.api.inference_deployment import (
    InferenceDeployment,
    SizingMode,
)
from frugal.api.money import Saving
from frugal.api.status import (
    AppliedStatus,
    InferenceDeploymentStatus,
    RecommendationStatus,
    RejectedSize,
    ServedModelStatus,
    TrialStatus,
    UtilizationStatus,
)
from frugal.decisions.conditions import ACCEPTED, Told, triple
from frugal.decisions.inference_figures import (
    recommendation_of,
    steady,
    told_objective,
    told_size,
    told_telemetry,
    utilization_of,
)
from frugal.decisions.inference_model import ModelChoice
from frugal.decisions.inference_money import REFRESH_SECONDS, Account, accounted, limit_of, surroundings, told_budget
from frugal.decisions.inference_size import SizeDecision, is_same_replica, is_same_size
from frugal.decisions.inference_stage import Rollout, ServingStage, endpoint_of, stage_of
from frugal.decisions.inference_trial import Progress, goes_on, remembered, saves, with_rejected
from frugal.decisions.node_prices import hourly_cost
from frugal.decisions.plan import Event
from frugal.decisions.running_cost import running_cost
from frugal.decisions.snapshot import InferenceSnapshot, Manifest
from frugal.pricing.cost import saving
from frugal.pricing.pricebook import HourlyCost
from frugal.resources.checkpoint import find_checkpoint, render_checkpoint, saved_at
from frugal.resources.inference import (
    selector_of,
)
from frugal.sizing.explanation import kind_text
from frugal.sizing.recommendation import Recommendation
from frugal.sizing.request import STALE_AFTER_SECONDS
from frugal.units import parse_rfc3339, rfc3339


@dataclass(frozen=True, slots=True, kw_only=True)
class Look:
    """One look, put together: what runs, and what was decided."""

    deployment: InferenceDeployment
    seen: InferenceSnapshot
    before: InferenceDeploymentStatus
    live: Manifest | None
    choice: ModelChoice
    progress: Progress
    decision: SizeDecision
    node_labels: Mapping[str, str]

    @property
    def now(self) -> datetime:
        return self.seen.environment.now

    def hourly(self) -> tuple[HourlyCost | None, str]:
        """Return what the decided size costs an hour where its replicas are, or why that is not known."""
        return running_cost(self.decision.size, self.seen, self.before, self.node_labels)


def due_checkpoint(look: Look) -> Manifest | None:
    """Return the checkpoint when it is due: what was learnt is saved every 15 minutes."""
    measured = look.seen.measured
    if measured is None or measured.state.is_empty:
        return None
    saved = find_checkpoint(look.deployment.name, look.seen.children.config_maps)
    at = saved_at(saved) if saved is not None else None
    if at is not None and (look.now - at).total_seconds() < REFRESH_SECONDS:
        return None
    return render_checkpoint(look.deployment, measured.state.to_json(), now=look.now)


def status_of(look: Look, rollout: Rollout, *, is_deployed: bool) -> tuple[InferenceDeploymentStatus, list[Told]]:
    """Return the status without its conditions, and those conditions."""
    stage = stage_of(look.deployment, look.choice, look.decision.size, rollout, look.seen.children)
    return status_with(look, rollout, stage, is_deployed=is_deployed)


def status_with(
    look: Look, rollout: Rollout, stage: ServingStage, *, is_deployed: bool
) -> tuple[InferenceDeploymentStatus, list[Told]]:
    """Return the status at a stage without its conditions, and those conditions."""
    hourly, problem = look.hourly() if is_deployed else (None, "")
    account = _account(look, hourly)
    status = look.before.model_copy(
        update={
            "phase": stage.phase,
            "replicas": rollout.replicas,
            "ready_replicas": rollout.ready,
            "selector": ",".join(f"{key}={value}" for key, value in selector_of(look.deployment).items()),
            "model": _served(look, rollout),
            "endpoint": endpoint_of(look.deployment, look.seen.children),
            "recommendation": _recommendation(look),
            "applied": _applied(look) if is_deployed else look.before.applied,
            "rejected": _rejected(look),
            "utilization": _utilization(look),
            "cost": account.cost,
            "savings": account.savings,
        }
    )
    words = _figures(look, status, problem)
    return status, [ACCEPTED, *triple(stage.standing, stage.reason, stage.message), *words]


def _account(look: Look, hourly: HourlyCost | None) -> Account:
    """Return cost and savings when the decided size costs `hourly`."""
    before, environment = look.before, look.seen.environment
    present_hourly, _ = hourly_cost(look.decision.present, environment, look.node_labels)
    return accounted(
        before,
        hourly=hourly.total if hourly is not None else None,
        by_resource=hourly.by_resource() if hourly is not None else {},
        present=look.decision.present,
        present_hourly=present_hourly,
        around=surroundings(look.seen),
        is_changed=_is_resized(look),
        is_due=_is_older(before.cost.observed_at if before.cost else None, look.now),
        currency=environment.prices.currency if environment.prices is not None else "",
        now=look.now,
    )


def _recommendation(look: Look) -> RecommendationStatus | None:
    if look.deployment.spec.right_sizing.mode is SizingMode.OFF:
        return None
    known = look.before.recommendation
    is_due = _is_older(known.observed_at if known else None, look.now)
    return recommendation_of(look.decision, look.before, saving=_saving(look), is_due=is_due, now=look.now)


def _figures(look: Look, status: InferenceDeploymentStatus, problem: str) -> list[Told]:
    """Return the conditions whose sentences carry figures; `problem` is why the cost is not known."""
    spec, measured, decision = look.deployment.spec, look.seen.measured, look.decision
    telemetry = told_telemetry(measured, now=look.now)
    figures = (
        telemetry,
        told_size(spec, decision, telemetry),
        told_objective(spec, measured, now=look.now),
        told_budget(
            limit_of(spec, look.seen, status.cost),
            status.cost,
            problem=problem,
            has_prices=look.seen.environment.prices is not None,
            capped_from=decision.capped_from,
        ),
    )
    known = [one.to_json() for one in look.before.conditions]
    is_due = _figures_moved(look.before, status)
    return steady(figures, known, generation=look.deployment.generation, is_due=is_due)


def _figures_moved(before: InferenceDeploymentStatus, after: InferenceDeploymentStatus) -> bool:
    """Whether a figure of the status is newer, so that sentences with figures are renewed with it."""
    return any(
        getattr(before, field) != getattr(after, field)
        for field in ("recommendation", "applied", "utilization", "cost")
    )


def _served(look: Look, rollout: Rollout) -> ServedModelStatus | None:
    """Return the model that every replica serves: the new one only when it is rolled out, because it may go back."""
    return look.choice.model if rollout.is_complete and look.choice.model is not None else look.before.model


def _applied(look: Look) -> AppliedStatus:
    """Return the applied size; `since` moves when a replica is given something else, not with their number."""
    known, decision = look.before.applied, look.decision
    if known is not None and is_same_replica(known.size, decision.size):
        trial = goes_on(known, look.deployment.spec, look.seen.measured, look.progress, now=look.now)
        update = {"size": decision.size, "reason": decision.reason, "trial": trial}
        is_same = is_same_size(known.size, decision.size)
        return known.model_copy(update={**update, "size": known.size} if is_same else update)
    return AppliedStatus(size=decision.size, since=rfc3339(look.now), reason=decision.reason, trial=_trial(look))


def _trial(look: Look) -> TrialStatus | None:
    """Return the trial of a new size; one that was open goes on from the start when its size only grew."""
    known, decision = look.before.applied, look.decision
    if not _is_resized(look) or decision.taken_back:
        return None
    if saves(decision.present, decision.size):
        return TrialStatus(previous=decision.present)
    open_trial = known.trial if known is not None else None
    return open_trial.model_copy(update={"since": ""}) if open_trial is not None else None


def _rejected(look: Look) -> list[RejectedSize]:
    """Return the sizes that are not tried again, with the one that is taken back now."""
    version, decision = look.progress.version, look.decision
    known = remembered(look.before.rejected, version=version, now=look.now)
    if not decision.taken_back:
        return known
    return with_rejected(
        known, decision.present, decision.size, version=version, reason=decision.taken_back, now=look.now
    )


def _is_resized(look: Look) -> bool:
    """Whether right-sizing changes what runs with this plan."""
    decision = look.decision
    is_ours = isinstance(decision.advice, Recommendation) or bool(decision.taken_back)
    return is_ours and look.before.applied is not None and not is_same_size(decision.present, decision.size)


def resize_events(look: Look, status: InferenceDeploymentStatus) -> tuple[Event, ...]:
    """Return the event that tells of a change by right-sizing."""
    if not _is_resized(look) or status.applied == look.before.applied:
        return ()
    size, advice = look.decision.size, look.decision.advice
    why = advice.explanation if isinstance(advice, Recommendation) else look.decision.reason
    kind = f", {kind_text(size)}" if size.count else ""
    message = f"{size.replicas} x {size.cpu} CPU, {size.memory}{kind}: {why}"[:1024]
    if look.decision.taken_back:
        return (Event(reason=Reason.ROLLED_BACK, message=message, type="Warning"),)
    return (Event(reason=Reason.APPLIED, message=message),)


def _utilization(look: Look) -> UtilizationStatus | None:
    """Return the utilization, renewed every 15 minutes of measurements or when the size changes."""
    known, measured = look.before.utilization, look.seen.measured
    if measured is None or not measured.usage:
        return known
    same = look.before.applied is not None and is_same_size(look.before.applied.size, look.decision.size)
    if known is not None and same and not _is_older(known.observed_at, measured.observed_at):
        return known
    return utilization_of(measured, look.decision.present, look.deployment.spec)


def _saving(look: Look) -> Saving | None:
    advice = look.decision.advice
    if not isinstance(advice, Recommendation):
        return None
    present, _ = hourly_cost(look.decision.present, look.seen.environment, look.node_labels)
    target, _ = hourly_cost(advice.target, look.seen.environment, look.node_labels)
    return None if present is None or target is None else saving(present, target)


def _is_older(observed_at: str | None, now: datetime) -> bool:
    """Whether a figure is due again; one that was never written is."""
    return observed_at is None or (now - parse_rfc3339(observed_at)).total_seconds() >= REFRESH_SECONDS


def requeue_seconds(look: Look, status: InferenceDeploymentStatus) -> float:
    """Return when a figure is due or a sample becomes stale, whichever comes first."""
    waits = [REFRESH_SECONDS]
    if status.cost is not None:
        waits.append(REFRESH_SECONDS - (look.now - parse_rfc3339(status.cost.observed_at)).total_seconds())
    if look.seen.environment.prices_change_at is not None:
        waits.append((look.seen.environment.prices_change_at - look.now).total_seconds())
    if look.seen.measured is not None:
        stale_in = STALE_AFTER_SECONDS - (look.now - look.seen.measured.observed_at).total_seconds()
        waits += [stale_in + 1] if stale_in >= 0 else []
    return max(1.0, min(waits))


def status_before(manifest: Manifest) -> InferenceDeploymentStatus:
    """Return the status that stands in the object; one that cannot be read counts as none."""
    try:
        return InferenceDeploymentStatus.model_validate(manifest.get("status") or {})
    except ValidationError:
        return InferenceDeploymentStatus()
