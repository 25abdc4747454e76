"""How many times faster a model will become, before anything is measured: from its steps, then from earlier jobs.

Speed-ups multiply, so they are averaged as logarithms. What is published counts as two jobs; each job that ended counts
as one and narrows, widens or moves the interval. Every prediction is scored when its job ends.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from frugal.api.compression_job import CompressionJobSpec, StrategyMode
from frugal.api.compression_steps import PruneStep, QuantizeStep
from frugal.api.money import SpeedupStatus

PRIOR_JOBS = 2.0
FOUR_OF_FIVE = 1.2816  # standard deviations on either side that hold 80 % of a normal distribution
INT8 = 2.2  # static int8 of a small CNN, ONNX Runtime, one core: docs/benchmarks.md, 60 s and 600 s searches
PRUNED_BEST = 4.3  # the same with half of its channels removed, in int8: docs/benchmarks.md, 360 s search
INT8_AFTER_PRUNING = 1.1  # what int8 adds to a pruned model: 4.3 / 3.9, same table
SPREAD = 0.35  # of the logarithm: 1.4x to 3.4x around int8
WIDE_SPREAD = 0.5  # where pruning, or another device than one core, may or may not help
LEAST_SPREAD = 0.05  # two machines never agree better: an interval of 0 would promise too much


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How an earlier job of the same sort ended: baseline's latency / the published model's."""

    sort: str
    latency_ratio: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Speedup:
    """Baseline's latency / the compressed model's: what is expected, and an interval that holds four of five."""

    low: float
    expected: float
    high: float
    jobs: int = 0  # earlier ones that it rests on


def sort_of(spec: CompressionJobSpec) -> str:
    """Return what must agree for an earlier job to tell something: task, where it runs, and whether it may train."""
    target = spec.targets[0]
    how = "trained" if spec.data.training is not None else "untrained"
    return f"{spec.model.task.value}, {target}, {spec.strategy.mode.value}, {how}"


def predicted(spec: CompressionJobSpec, earlier: Sequence[Outcome]) -> Speedup:
    """Return the expected speed-up of a job; `earlier` of another sort tells nothing."""
    middle, spread = _published(spec)
    known = [math.log(one.latency_ratio) for one in earlier if one.sort == sort_of(spec) and one.latency_ratio > 0]
    weight = PRIOR_JOBS + len(known)
    mean = (PRIOR_JOBS * math.log(middle) + sum(known)) / weight
    variance = (PRIOR_JOBS * spread**2 + sum((one - mean) ** 2 for one in known)) / weight
    reach = FOUR_OF_FIVE * max(LEAST_SPREAD, math.sqrt(variance * (1 + 1 / weight)))
    return Speedup(
        low=_short(math.exp(mean - reach)),
        expected=_short(math.exp(mean)),
        high=_short(math.exp(mean + reach)),
        jobs=len(known),
    )


def told(speedup: Speedup) -> SpeedupStatus:
    """Return the prediction as the status keeps it."""
    return SpeedupStatus(low=speedup.low, expected=speedup.expected, high=speedup.high, jobs=speedup.jobs)


def of_status(status: SpeedupStatus) -> Speedup:
    """Return the prediction that the status keeps."""
    return Speedup(low=status.low, expected=status.expected, high=status.high, jobs=status.jobs)


def scored(prediction: SpeedupStatus, latency_ratio: float) -> SpeedupStatus:
    """Return the prediction with what became of it."""
    return prediction.model_copy(
        update={
            "measured": _short(latency_ratio),
            "error_ratio": round(latency_ratio / prediction.expected - 1, 4),
            "is_within": prediction.low <= latency_ratio <= prediction.high,
        }
    )


def _published(spec: CompressionJobSpec) -> tuple[float, float]:
    """Return the middle of what is published for these steps, and the spread of its logarithm."""
    spread = SPREAD if str(spec.targets[0]) == "onnxruntime/cpu" else WIDE_SPREAD
    if spec.strategy.mode is StrategyMode.AUTO:
        if spec.data.training is None:
            return INT8, spread
        return math.sqrt(INT8 * PRUNED_BEST), WIDE_SPREAD
    steps = spec.strategy.pipeline
    pruned = math.prod(_of_pruning(step.prune) for step in steps if step.prune is not None)
    quantized = max((_of_quantizing(step.quantize) for step in steps if step.quantize is not None), default=1.0)
    both = pruned * min(quantized, INT8_AFTER_PRUNING) if pruned > 1 else quantized
    return both, WIDE_SPREAD if pruned > 1 or any(step.distill is not None for step in steps) else spread


def _of_pruning(step: PruneStep) -> float:
    """Whole channels leave the product of the kept shares of inputs and outputs; zeros make no CPU runtime faster."""
    return (1 - step.ratio) ** -2 if step.kind == "structured" else 1.0


def _of_quantizing(step: QuantizeStep) -> float:
    """Only linear int8 is computed in fewer bits; the other schemes are stored smaller and computed as before."""
    return INT8 if step.scheme == "linear" and step.bits == 8 else 1.0


def _short(value: float) -> float:
    return float(f"{value:.3g}")
