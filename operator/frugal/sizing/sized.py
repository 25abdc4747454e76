"""The size that would do on one kind of accelerator, with its bounds and its sentence. Compares no two kinds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from frugal.api.status import Size
from frugal.sizing.explanation import figures_of, sentence
from frugal.sizing.needs import Needs, needs_of
from frugal.sizing.request import HourlyPrice, SizingRequest
from frugal.sizing.state import WorkloadState
from frugal.sizing.vertical import Need, memory_limit
from frugal.units import Quantity, cpu_quantity, memory_quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Sized:
    """A size with what led to it; `hourly` is what the target costs, None where a price is missing."""

    needs: Needs
    target: Size
    lower: Size
    upper: Size
    hourly: Decimal | None
    explanation: str
    figures: Mapping[str, float]


def size_on(state: WorkloadState, request: SizingRequest, *, price: HourlyPrice | None, now: datetime) -> Sized:
    """Return the least size that holds the objective on the kind that `request.applied` names."""
    needs = needs_of(state, request, now=now)
    target = _target(needs, request)
    before, after = (price(request.running), price(target)) if price else (None, None)
    hourly = None if before is None or after is None else (before, after)
    figures = figures_of(state, needs, target, hourly=hourly)
    return Sized(
        needs=needs,
        target=target,
        lower=_bound(target, needs, request, _lower, min),
        upper=_bound(target, needs, request, _upper, max),
        hourly=after,
        explanation=sentence(figures, request, needs, target),
        figures=figures,
    )


def limit_for(need: Need | None, request: SizingRequest, memory: Quantity) -> Quantity | None:
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


def _target(needs: Needs, request: SizingRequest) -> Size:
    applied = request.applied
    memory = _quantity(needs.chosen_memory.amount, applied.memory, memory_quantity)
    return applied.model_copy(
        update={
            "cpu": _quantity(needs.chosen_cpu.amount, applied.cpu, cpu_quantity),
            "memory": memory,
            "memory_limit": limit_for(needs.memory, request, memory),
            "replicas": int(needs.count.amount),
        }
    )


def _quantity(amount: float, applied: Quantity, write: Callable[[float], Quantity]) -> Quantity:
    """Keep the applied text when the amount is the same, so that nothing differs by its spelling."""
    return applied if math.isclose(amount, float(applied.value)) else write(amount)


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
    replicas = int(outer(target.replicas, within))
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
