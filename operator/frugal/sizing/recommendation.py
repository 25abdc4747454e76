"""The size that would do, with its bounds and its sentence, or a refusal. Whether to apply it is decided elsewhere.

What grows may grow from the first minute; what shrinks needs enough samples to carry the quantile that it rests on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from frugal.api.conditions import Reason
from frugal.api.status import Size
from frugal.sizing.choice import Alternative, choose
from frugal.sizing.explanation import after_kill_sentence
from frugal.sizing.request import HourlyPrice, SizingRequest
from frugal.sizing.sized import limit_for
from frugal.sizing.state import WorkloadState
from frugal.sizing.vertical import out_of_memory_floor
from frugal.units import duration_text, memory_quantity

__all__ = ["Alternative", "HourlyPrice", "Recommendation", "Refusal", "SizingRequest", "recommend"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recommendation:
    """A size with its bounds; `figures` are the numbers that the sentence is made of, their units in their names.

    kept: the size that would do on the kind that runs now; the same as `target` where that kind stays.
    is_rescue: on the kind that runs now no allowed number of replicas keeps the objective, on the target's it does.
    alternatives: the other kinds that were looked at, cheapest first, each with why it was not taken.
    """

    target: Size
    lower: Size
    upper: Size
    explanation: str
    figures: Mapping[str, float]
    kept: Size
    is_rescue: bool = False
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why there is no recommendation."""

    reason: Reason
    message: str


def recommend(
    state: WorkloadState, request: SizingRequest, *, price: HourlyPrice | None = None, now: datetime
) -> Recommendation | Refusal:
    """Return the least size that holds the objective; the same inputs give the same answer.

    On one kind the fewest replicas are the cheapest: they share the CPU but each brings its memory. Between kinds
    `price` chooses. An out-of-memory kill is answered even where everything else is too little or too old.
    """
    for check in REFUSAL_CHECKS:
        if (refusal := check(state, request, now)) is not None:
            return _after_kill(state, request, now) or refusal
    choice = choose(state, request, price=price, now=now)
    return Recommendation(
        target=choice.best.target,
        lower=choice.best.lower,
        upper=choice.best.upper,
        explanation=choice.best.explanation,
        figures=choice.best.figures,
        kept=choice.present.target,
        is_rescue=choice.is_rescue,
        alternatives=choice.alternatives,
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


def _after_kill(state: WorkloadState, request: SizingRequest, now: datetime) -> Recommendation | None:
    """Raise memory alone, when a recent kill says that it is too little."""
    floor, applied = out_of_memory_floor(state, now=now), request.applied
    if state.out_of_memory is None or floor <= applied.memory.whole:
        return None
    target = applied.model_copy(
        update={"memory": memory_quantity(floor), "memory_limit": limit_for(None, request, memory_quantity(floor))}
    )
    return Recommendation(
        target=target,
        lower=applied,
        upper=target,
        kept=target,
        explanation=after_kill_sentence(state.out_of_memory.killed_bytes, target),
        figures={"killed_bytes": float(state.out_of_memory.killed_bytes), "target_memory_bytes": floor},
    )
