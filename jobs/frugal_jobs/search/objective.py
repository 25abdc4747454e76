"""The objective min L(W) + lambda * C(W) within hard limits, over measured figures. Pure arithmetic."""

from __future__ import annotations

from dataclasses import dataclass

from frugal.api.compression_job import CostKey, Limits, Objective
from frugal.api.result import ModelFigures
from frugal.units import Quantity, duration_text, size_text

PROFILES = {  # as the API's description of `profile` promises
    "edge": Limits(size=Quantity("64Mi"), memory=Quantity("256Mi")),
    "mobile": Limits(size=Quantity("32Mi"), memory=Quantity("128Mi")),
}
SLOWER = 0.9  # of the baseline's speed: interleaved medians of equal models stay within some percent


@dataclass(frozen=True, slots=True, kw_only=True)
class Gains:
    """A candidate against the baseline; above 1 it is better. None: not measured."""

    latency: float
    size: float
    flops: float | None = None
    memory: float | None = None


def cost(gains: Gains, objective: Objective) -> float:
    """Return C: the weighted mean of cost / baseline over what is weighted and measured.

    `price` counts as latency: on the same machine a request costs what it takes of it.
    """
    ratios = {
        CostKey.LATENCY: gains.latency, CostKey.PRICE: gains.latency, CostKey.SIZE: gains.size,
        CostKey.FLOPS: gains.flops, CostKey.MEMORY: gains.memory,
    }  # fmt: skip
    parts = [(weight, ratio) for key, weight in objective.cost.items() if (ratio := ratios[key]) is not None]
    weights = sum(weight for weight, _ in parts)
    return sum(weight / ratio for weight, ratio in parts) / weights if weights else 1.0


def score(gains: Gains, loss_points: float, objective: Objective) -> float:
    """Return what is minimized: C, or J = L + lambda * C when lambda is set; L in points."""
    spent = cost(gains, objective)
    return spent if objective.lambda_ is None else loss_points + objective.lambda_ * spent


def limits_of(objective: Objective, profile: str) -> Limits:
    """Return the profile's limits, overruled by those that the user wrote."""
    preset = PROFILES.get(profile, Limits())
    return preset.model_copy(
        update={name: getattr(objective.limits, name) for name in objective.limits.model_fields_set}
    )


def needs_memory(objective: Objective, limits: Limits) -> bool:
    """Return whether the memory of candidates must be measured, which takes a process each."""
    return limits.memory is not None or objective.cost.get(CostKey.MEMORY, 0) > 0


def outside_limits(figures: ModelFigures, limits: Limits) -> str:
    """Return which hard limit the figures break, for people; empty when none."""
    size, memory, latency = figures.size_bytes, figures.memory_bytes, figures.latency_p95_seconds
    if limits.size is not None and size is not None and size > limits.size.whole:
        return f"its file has {size_text(size)}, limit {limits.size}"
    if limits.memory is not None and memory is not None and memory > limits.memory.whole:
        return f"it needs {size_text(memory)} of memory, limit {limits.memory}"
    if limits.latency_p95 is not None and latency is not None and latency > limits.latency_p95.seconds:
        return f"its p95 latency is {duration_text(latency)}, limit {limits.latency_p95}"
    return ""


def gains_nothing(gains: Gains, objective: Objective) -> str:
    """Return why a candidate is not worth publishing; empty when it is.

    Whoever weighs speed gets nothing slower, and whoever weighs size nothing larger, whatever else is gained by it;
    a cost that is not weighed is no objection.
    """
    weighed = {key for key, weight in objective.cost.items() if weight > 0}
    if gains.latency < SLOWER and weighed & {CostKey.LATENCY, CostKey.PRICE}:
        return f"slower than the original ({gains.latency:.2f}x)"
    if gains.size < 1 and CostKey.SIZE in weighed:
        return f"larger than the original ({gains.size:.2f}x)"
    if cost(gains, objective) >= 1:
        return "gains nothing that the objective weighs"
    return ""
