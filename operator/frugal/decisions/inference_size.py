"""Which size an InferenceDeployment shall have now: as the spec asks, as recommended, or as the budget allows.

When aims conflict the order is: memory that is needed, budget with `Cap`, the objective, saving.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from frugal.api.inference_deployment import InferenceDeploymentSpec, OnExceed, Scaling, SizingMode
from frugal.api.status import CostStatus, InferenceDeploymentStatus, Size
from frugal.decisions.node_prices import hourly_cost
from frugal.decisions.snapshot import Environment, InferenceSnapshot, Manifest
from frugal.pricing.cost import hours_between, next_month
from frugal.resources.inference import first_replicas_in, first_size, first_size_hash, first_size_hash_in, size_in
from frugal.sizing.recommendation import Recommendation, Refusal, SizingRequest, recommend
from frugal.sizing.stability import Objection, ProposedChange, hold, urgent_part
from frugal.units import parse_rfc3339

SPEC_REASON = "the size that the spec asks for"


@dataclass(frozen=True, slots=True, kw_only=True)
class SizeDecision:
    """The size to run, and what led to it.

    present: what ran until now. advice: None with mode Off, or while nothing was ever measured.
    objection: why the rest of the advice waits. reason: why `size` is what it is, in a sentence.
    capped_from: the replicas that were wanted before the budget cut them; None when it did not.
    """

    present: Size
    size: Size
    reason: str
    advice: Recommendation | Refusal | None = None
    objection: Objection | None = None
    capped_from: int | None = None


def decide_size(
    spec: InferenceDeploymentSpec,
    seen: InferenceSnapshot,
    *,
    live: Manifest | None,
    before: InferenceDeploymentStatus,
    node_labels: Mapping[str, str],
) -> SizeDecision:
    """Return the size to run now; the same inputs give the same size."""
    present, reason = _present(spec, live, before)
    advice = _advice(spec, seen, present, node_labels)
    size, objection = present, None
    if isinstance(advice, Recommendation) and spec.right_sizing.mode is SizingMode.AUTO:
        objection = hold(_change(spec, seen, present, advice.target, before, node_labels))
        size = advice.target if objection is None else urgent_part(present, advice.target)
        reason = reason if is_same_replica(size, present) else advice.explanation
    within = _capped(spec, size, before.cost, seen.environment, node_labels)
    return SizeDecision(
        present=present,
        size=within,
        reason=reason,
        advice=advice,
        objection=objection,
        capped_from=size.replicas if within.replicas < size.replicas else None,
    )


def is_same_size(one: Size, other: Size) -> bool:
    """Whether two sizes are the same amounts, however they are written."""
    return is_same_replica(one, other) and one.replicas == other.replicas


def is_same_replica(one: Size, other: Size) -> bool:
    """Whether one replica has the same in both sizes: then no pod needs a restart."""
    limits = (one.memory_limit, other.memory_limit)
    same_limit = limits[0] == limits[1] or (
        limits[0] is not None and limits[1] is not None and limits[0].value == limits[1].value
    )
    return same_limit and (one.accelerator, one.count, one.cpu.value, one.memory.value) == (
        other.accelerator,
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
    spec: InferenceDeploymentSpec, seen: InferenceSnapshot, present: Size, node_labels: Mapping[str, str]
) -> Recommendation | Refusal | None:
    if seen.measured is None or spec.right_sizing.mode is SizingMode.OFF:
        return None
    request = SizingRequest(
        applied=present,
        slo=spec.slo.latency,
        min_replicas=spec.replicas.min,
        max_replicas=spec.replicas.max,
        scaling_owned=spec.right_sizing.scaling is Scaling.FRUGAL,
        accelerators=tuple(spec.accelerators),
        servers_per_replica=1,  # our server computes one batch at a time; what another one can do is not known
    )
    environment = seen.environment
    return recommend(
        seen.measured.state,
        request,
        price=lambda size: hourly_cost(size, environment, node_labels)[0],
        now=environment.now,
    )


def _change(
    spec: InferenceDeploymentSpec,
    seen: InferenceSnapshot,
    present: Size,
    proposed: Size,
    before: InferenceDeploymentStatus,
    node_labels: Mapping[str, str],
) -> ProposedChange:
    kept = present.model_copy(update={"replicas": proposed.replicas})
    rules = spec.right_sizing
    return ProposedChange(
        now=seen.environment.now,
        applied=present,
        proposed=proposed,
        kept_hourly=hourly_cost(kept, seen.environment, node_labels)[0],
        proposed_hourly=hourly_cost(proposed, seen.environment, node_labels)[0],
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
    environment: Environment,
    node_labels: Mapping[str, str],
) -> Size:
    """Return the size with no more replicas than the rest of the month's budget carries, but as many as `min`."""
    budget = spec.budget
    if budget is None or budget.on_exceed is not OnExceed.CAP or cost is None or cost.currency != budget.currency:
        return size
    each, _ = hourly_cost(size.model_copy(update={"replicas": 1}), environment, node_labels)
    if not each:
        return size
    carried = _affordable(budget.monthly, cost, each)
    least = min(size.replicas, max(1, spec.replicas.min))
    return size.model_copy(update={"replicas": min(size.replicas, max(least, carried))})


def _affordable(monthly: Decimal, cost: CostStatus, each_hourly: Decimal) -> int:
    """Return how many replicas run to the end of the month with what is left of the budget, since last accrued."""
    observed = parse_rfc3339(cost.observed_at)
    hours_left = hours_between(observed, next_month(observed))
    left = max(Decimal(0), monthly - cost.month_to_date)
    return math.floor(left / (each_hourly * hours_left)) if hours_left else 0
