"""The size that would do, with its bounds and its sentence, or a refusal. Whether to apply it is decided elsewhere.

What grows may grow from the first minute; what shrinks needs enough samples to carry the quantile that it rests on.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from frugal.api.conditions import Reason
from frugal.api.status import Size
from frugal.sizing.explanation import after_kill_sentence, figures_of, sentence
from frugal.sizing.needs import Needs, needs_of
from frugal.sizing.request import HourlyPrice, SizingRequest
from frugal.sizing.state import WorkloadState
from frugal.sizing.vertical import Need, memory_limit, out_of_memory_floor
from frugal.units import Quantity, cpu_quantity, duration_text, memory_quantity

__all__ = ["HourlyPrice", "Recommendation", "Refusal", "SizingRequest", "recommend"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A size with its bounds; `figures` are the numbers that the sentence is made of, their units in their names."""

    target: Size
    lower: Size
    upper: Size
    explanation: str
    figures: Mapping[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there is no recommendation."""

    reason: Reason
    message: str


def recommend(
    state: WorkloadState, request: SizingRequest, *, price: HourlyPrice | None = None, now: datetime
) -> Recommendation | Refusal:
    """Return the least size that holds the objective; the same inputs give the same answer.

    The fewest replicas are the cheapest: they share the CPU but each brings its memory. `price` only tells what the
    change is worth. An out-of-memory kill is answered even where everything else is too little or too old.
    """
    for check in REFUSAL_CHECKS:
        if (refusal := check(state, request, now)) is not None:
            return _after_kill(state, request, now) or refusal
    needs = needs_of(state, request, now=now)
    target = _target(needs, request)
    hourly = _hourly(price, request.applied, target)
    figures = figures_of(state, needs, target, hourly=hourly)
    return Recommendation(
        target=target,
        lower=_bound(target, needs, request, _lower, min),
        upper=_bound(target, needs, request, _upper, max),
        explanation=sentence(figures, request, needs, target),
        figures=figures,
    )


def nothing_measured(state: WorkloadState, request: SizingRequest, now: datetime) -> Refusal | None:
    """Refuse while no sample has come."""
    if state.is_empty:
        return Refusal(reason=Reason.TELEMETRY_MISSING, message="nothing has been measured yet")
    return None


def stale(state: WorkloadState, request: SizingRequest, now: datetime) -> Refusal | None:
    """Refuse on samples older than `stale_after_seconds`."""
    assert state.last_at is not None
    age = (now - state.last_at).total_seconds()
    if age <= request.stale_after_seconds:
        return None
    limit = duration_text(request.stale_after_seconds)
    message = f"the newest sample is {duration_text(age)} old, more than {limit}: nothing is changed on old data"
    return Refusal(reason=Reason.TELEMETRY_STALE, message=message)


def too_young(state: WorkloadState, request: SizingRequest, now: datetime) -> Refusal | None:
    """Refuse before `min_history_seconds` are measured."""
    if state.history_seconds >= request.min_history_seconds:
        return None
    measured, asked = duration_text(state.history_seconds), duration_text(request.min_history_seconds)
    return Refusal(reason=Reason.TOO_FEW_SAMPLES, message=f"{measured} measured, at least {asked} are needed")


REFUSAL_CHECKS = (nothing_measured, stale, too_young)


def _hourly(price: HourlyPrice | None, applied: Size, target: Size) -> tuple[Decimal, Decimal] | None:
    before, after = (price(applied), price(target)) if price else (None, None)
    return None if before is None or after is None else (before, after)


def _after_kill(state: WorkloadState, request: SizingRequest, now: datetime) -> Recommendation | None:
    """Raise memory alone, when a recent kill says that it is too little."""
    floor, applied = out_of_memory_floor(state, now=now), request.applied
    if state.out_of_memory is None or floor <= applied.memory.whole:
        return None
    target = applied.model_copy(
        update={"memory": memory_quantity(floor), "memory_limit": _limit(None, request, memory_quantity(floor))}
    )
    return Recommendation(
        target=target,
        lower=applied,
        upper=target,
        explanation=after_kill_sentence(state.out_of_memory.killed_bytes, target),
        figures={"killed_bytes": float(state.out_of_memory.killed_bytes), "target_memory_bytes": floor},
    )


def _target(needs: Needs, request: SizingRequest) -> Size:
    applied = request.applied
    memory = _quantity(needs.chosen_memory.amount, applied.memory, memory_quantity)
    return applied.model_copy(
        update={
            "cpu": _quantity(needs.chosen_cpu.amount, applied.cpu, cpu_quantity),
            "memory": memory,
            "memory_limit": _limit(needs.memory, request, memory),
            "replicas": int(needs.count.amount),
        }
    )


def _quantity(amount: float, applied: Quantity, write: Callable[[float], Quantity]) -> Quantity:
    """Keep the applied text when the amount is the same, so that nothing differs by its spelling."""
    return applied if math.isclose(amount, float(applied.value)) else write(amount)


def _limit(need: Need | None, request: SizingRequest, memory: Quantity) -> Quantity | None:
    """Return the memory limit; it moves with the request, or when what was seen does not fit it any more."""
    applied = request.applied
    if applied.memory_limit is None:
        return None
    if request.keeps_limit_ratio:
        ratio = applied.memory_limit.value / applied.memory.value
        return memory_quantity(math.ceil(memory.value * ratio))
    fits = need is None or applied.memory_limit.whole >= need.target
    if memory == applied.memory and fits:
        return applied.memory_limit
    limit = memory_limit(need, memory.whole) if need else memory.whole
    return memory_quantity(limit)


def _lower(need: Need) -> float:
    return need.lower


def _upper(need: Need) -> float:
    return need.upper


def _bound(
    target: Size,
    needs: Needs,
    request: SizingRequest,
    side: Callable[[Need], float],
    outer: Callable[[float, float], float],
) -> Size:
    """Return the bound on one side; `outer` (min or max) keeps it outside of the target."""
    cpu = outer(target.cpu.cores, side(needs.cpu)) if needs.cpu else target.cpu.cores
    memory = outer(target.memory.whole, side(needs.memory)) if needs.memory else target.memory.whole
    wanted = needs.replicas.lower if outer is min else needs.replicas.upper
    within = min(max(wanted, request.min_replicas, 1), request.max_replicas)
    replicas = int(outer(target.replicas, within)) if request.scaling_owned else target.replicas
    written = _quantity(memory, target.memory, memory_quantity)
    limit = target.memory_limit and max(target.memory_limit, written, key=lambda one: one.value)
    return target.model_copy(
        update={
            "cpu": _quantity(cpu, target.cpu, cpu_quantity),
            "memory": written,
            "memory_limit": limit,
            "replicas": replicas,
        }
    )
