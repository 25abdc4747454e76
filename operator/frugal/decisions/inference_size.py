"""Which size an InferenceDeployment shall have now: as the spec asks, as recommended, or as the budget allows.

When aims conflict the order is: memory that is needed, budget with `Cap`, the objective, saving.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from frugal.api.conditions import Reason
from frugal.api.inference_deployment import InferenceDeploymentSpec, OnExceed, RuntimeName, Scaling, SizingMode
from frugal.api.money import CostStatus
from frugal.api.status import InferenceDeploymentStatus, RejectedSize, Size
from frugal.decisions.inference_money import limit_of
from frugal.decisions.inference_trial import Progress, failed_before, fault_of, remembered, saves
from frugal.decisions.inventory import kinds_for, present_kind
from frugal.decisions.node_prices import hourly_cost
from frugal.decisions.snapshot import InferenceSnapshot, Manifest
from frugal.pricing.cost import hours_between, next_month
from frugal.resources.inference import first_replicas_in, first_size, first_size_hash, first_size_hash_in, size_in
from frugal.sizing.accelerators import kind_key
from frugal.sizing.recommendation import Recommendation, Refusal, SizingRequest, recommend
from frugal.sizing.stability import Objection, ProposedChange, hold, urgent_part
from frugal.units import parse_rfc3339

SPEC_REASON = "the size that the spec asks for"
TAKEN_BACK = "taken back"  # how the reason of a size begins that replaces one that failed


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeDecision:
    """The size to run, and what led to it.

    present: what ran until now. advice: None with mode Off, or while nothing was ever measured.
    objection: why the rest of the advice waits. reason: why `size` is what it is, in a sentence.
    taken_back: why the size on trial was taken back with this decision; empty when it was not.
    capped_from: the replicas that were wanted before the budget cut them; None when it did not.
    """

    present: Size
    size: Size
    reason: str
    advice: Recommendation | Refusal | None = None
    objection: Objection | None = None
    capped_from: int | None = None
    taken_back: str = ""


def decide_size(
    spec: InferenceDeploymentSpec,
    seen: InferenceSnapshot,
    *,
    live: Manifest | None,
    before: InferenceDeploymentStatus,
    node_labels: Mapping[str, str],
    progress: Progress,
) -> SizeDecision:
    """Return the size to run now; the same inputs give the same size."""
    return decide_from(
        spec, seen, _present(spec, live, before), before=before, node_labels=node_labels, progress=progress
    )


def decide_from(
    spec: InferenceDeploymentSpec,
    seen: InferenceSnapshot,
    standing: tuple[Size, str],
    *,
    before: InferenceDeploymentStatus,
    node_labels: Mapping[str, str],
    progress: Progress,
) -> SizeDecision:
    """Return the size to run now where `standing` runs, and why that does."""
    present, reason = standing
    fault = fault_of(before.applied, spec, seen.measured, progress)
    if fault and spec.right_sizing.mode is SizingMode.AUTO:
        return _taken_back(spec, present, before, fault)
    rejected = remembered(before.rejected, version=progress.version, now=seen.environment.now)
    advice = _advice(spec, seen, present, node_labels, rejected)
    size, objection = present, None
    if isinstance(advice, Recommendation) and spec.right_sizing.mode is SizingMode.AUTO:
        objection = _objection(spec, seen, present, advice, before, node_labels, rejected)
        size = _with_owned(spec, present, advice.target if objection is None else urgent_part(present, advice.kept))
        reason = reason if is_same_replica(size, present) else advice.explanation
    within = _capped(spec, size, before.cost, seen, node_labels)
    return SizeDecision(
        present=present,
        size=within,
        reason=reason,
        advice=advice,
        objection=objection,
        capped_from=size.replicas if within.replicas < size.replicas else None,
    )


def _taken_back(
    spec: InferenceDeploymentSpec, present: Size, before: InferenceDeploymentStatus, fault: str
) -> SizeDecision:
    """Return the size that ran before the trial, with no fewer replicas than now."""
    assert before.applied is not None
    assert before.applied.trial is not None, "only a size on trial has a fault"
    previous = before.applied.trial.previous
    replicas = max(previous.replicas, present.replicas)
    size = _with_owned(spec, present, previous.model_copy(update={"replicas": _bounded(spec, replicas)}))
    return SizeDecision(present=present, size=size, reason=f"{TAKEN_BACK}: {fault}", taken_back=fault)


def _objection(
    spec: InferenceDeploymentSpec,
    seen: InferenceSnapshot,
    present: Size,
    advice: Recommendation,
    before: InferenceDeploymentStatus,
    node_labels: Mapping[str, str],
    rejected: Sequence[RejectedSize],
) -> Objection | None:
    """Return why the part of the advice that saves must wait; a kind that alone keeps the objective never does."""
    if advice.is_rescue:
        return None
    failure = failed_before(advice.target, rejected) if saves(present, advice.target) else None
    if failure is not None:
        message = (
            f"{failure.size.replicas} x {failure.size.cpu} and {failure.size.memory} was taken back at {failure.at}"
        )
        return Objection(reason=Reason.FAILED_BEFORE, message=f"{message}: {failure.reason}"[:1024])
    held = hold(_change(spec, seen, present, advice, before, node_labels))
    is_on_trial = before.applied is not None and before.applied.trial is not None and saves(present, advice.target)
    if held is None and is_on_trial:
        return Objection(reason=Reason.ON_TRIAL, message="the last change that saves is still watched")
    return held


def _with_owned(spec: InferenceDeploymentSpec, present: Size, size: Size) -> Size:
    """Return `size` with the replicas that run where somebody else owns their number."""
    if spec.right_sizing.scaling is Scaling.FRUGAL:
        return size
    return size.model_copy(update={"replicas": present.replicas})


def is_same_size(one: Size, other: Size) -> bool:
    """Whether two sizes are the same amounts, however they are written."""
    return is_same_replica(one, other) and one.replicas == other.replicas


def is_same_replica(one: Size, other: Size) -> bool:
    """Whether one replica has the same in both sizes: then no pod needs a restart."""
    limits = (one.memory_limit, other.memory_limit)
    same_limit = limits[0] == limits[1] or (
        limits[0] is not None and limits[1] is not None and limits[0].value == limits[1].value
    )
    return same_limit and (one.accelerator, one.product, one.count, one.cpu.value, one.memory.value) == (
        other.accelerator,
        other.product,
        other.count,
        other.cpu.value,
        other.memory.value,
    )


def _present(
    spec: InferenceDeploymentSpec, live: Manifest | None, before: InferenceDeploymentStatus
) -> tuple[Size, str]:
    """Return the size that runs, its replicas within the spec's bounds, and why it runs.

    What the status says was applied comes first: so a change by hand is put back, not adopted. A size that the spec
    asks for anew (in its pod template) replaces whatever right-sizing had made of the old one; another `replicas.min`
    does so with their number, unless right-sizing owns it.
    """
    asked = first_size(spec)
    applied = before.applied.size if before.applied is not None else (size_in(live) if live is not None else None)
    reason = before.applied.reason if before.applied is not None else SPEC_REASON
    if applied is None:
        applied, reason = asked, SPEC_REASON
    elif live is not None and first_size_hash_in(live) != first_size_hash(spec):
        applied, reason = asked.model_copy(update={"replicas": applied.replicas}), SPEC_REASON
    is_automatic = spec.right_sizing.mode is SizingMode.AUTO
    is_asked_anew = live is not None and first_replicas_in(live) != str(asked.replicas)
    replicas = asked.replicas if is_asked_anew and not is_automatic else applied.replicas
    return applied.model_copy(update={"replicas": _bounded(spec, replicas)}), reason


def _bounded(spec: InferenceDeploymentSpec, replicas: int) -> int:
    bounds = spec.replicas
    if spec.right_sizing.scaling is Scaling.EXTERNAL:
        wanted = bounds.desired if bounds.desired is not None else replicas
        return min(max(wanted, bounds.min), bounds.max)
    return min(max(replicas, bounds.min, 1), bounds.max)


def _advice(
    spec: InferenceDeploymentSpec,
    seen: InferenceSnapshot,
    present: Size,
    node_labels: Mapping[str, str],
    rejected: Sequence[RejectedSize],
) -> Recommendation | Refusal | None:
    if seen.measured is None or spec.right_sizing.mode is SizingMode.OFF:
        return None
    environment, state = seen.environment, seen.measured.state
    kinds = kinds_for(spec, present, environment.node_labels)
    failed = {kind_key(one.size.accelerator, one.size.product, one.size.count) for one in rejected if one.is_kind}
    is_measured = spec.runtime.name is not RuntimeName.ONNXRUNTIME and state.concurrency.requests is not None
    request = SizingRequest(
        applied=present,
        slo=spec.slo.latency,
        min_replicas=spec.replicas.min,
        max_replicas=spec.replicas.max,
        scaling_owned=spec.right_sizing.scaling is Scaling.FRUGAL,
        kind=present_kind(present, environment.node_labels, node_labels),
        kinds=tuple(kind for kind in kinds if kind.key not in failed),
        keeps_limit_ratio=spec.target_ref is not None,
        servers_per_replica=None if is_measured else 1,  # our server computes one batch at a time
    )
    return recommend(
        state,
        request,
        price=lambda size: hourly_cost(size, environment, node_labels)[0],
        now=environment.now,
    )


def _change(
    spec: InferenceDeploymentSpec,
    seen: InferenceSnapshot,
    present: Size,
    advice: Recommendation,
    before: InferenceDeploymentStatus,
    node_labels: Mapping[str, str],
) -> ProposedChange:
    kept = present.model_copy(update={"replicas": advice.kept.replicas})
    rules = spec.right_sizing
    return ProposedChange(
        now=seen.environment.now,
        applied=present,
        proposed=advice.target,
        kept_hourly=hourly_cost(kept, seen.environment, node_labels)[0],
        proposed_hourly=hourly_cost(advice.target, seen.environment, node_labels)[0],
        last_change=_last_change(before),
        cooldown_seconds=rules.cooldown.seconds,
        min_saving_percent=rules.min_saving,
        change_windows=tuple(rules.change_windows),
    )


def _last_change(before: InferenceDeploymentStatus) -> datetime | None:
    """Return when right-sizing last changed a replica; what the spec asked for was no change of its own."""
    if before.applied is None or before.applied.reason == SPEC_REASON:
        return None
    return parse_rfc3339(before.applied.since)


def _capped(
    spec: InferenceDeploymentSpec,
    size: Size,
    cost: CostStatus | None,
    seen: InferenceSnapshot,
    node_labels: Mapping[str, str],
) -> Size:
    """Return the size with no more replicas than the rest of the month's budget carries, but as many as `min`."""
    limit = limit_of(spec, seen, cost)
    if limit is None or limit.budget.on_exceed is not OnExceed.CAP:
        return size
    if cost is None or cost.currency != limit.budget.currency:
        return size
    each, _ = hourly_cost(size.model_copy(update={"replicas": 1}), seen.environment, node_labels)
    if not each:
        return size
    carried = _affordable(limit.budget.monthly, cost, each)
    least = min(size.replicas, max(1, spec.replicas.min))
    return size.model_copy(update={"replicas": min(size.replicas, max(least, carried))})


def _affordable(monthly: Decimal, cost: CostStatus, each_hourly: Decimal) -> int:
    """Return how many replicas run to the end of the month with what is left of the budget, since last accrued."""
    observed = parse_rfc3339(cost.observed_at)
    hours_left = hours_between(observed, next_month(observed))
    left = max(Decimal(0), monthly - cost.month_to_date)
    return math.floor(left / (each_hourly * hours_left)) if hours_left else 0
