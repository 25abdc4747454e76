"""Measures candidates on validation data against the baseline, for the search alone. Publishes and verifies nothing."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from frugal.api.common import Task
from frugal.api.compression_job import CompressionJobSpec, Limits, Metric
from frugal.api.result import Candidate, ModelFigures
from frugal_jobs.datasets.samples import Samples
from frugal_jobs.evaluation.bounds import expected_bound
from frugal_jobs.evaluation.figures import figures_of
from frugal_jobs.evaluation.latency import compare
from frugal_jobs.evaluation.memory import inference_memory
from frugal_jobs.evaluation.quality import AGAINST_ORIGINAL, Loss, class_scores, disagreement_of, loss_between
from frugal_jobs.models.model import Model, Runnable
from frugal_jobs.models.running import blank_feed, outputs_of
from frugal_jobs.search.objective import Gains, gains_nothing, needs_memory, outside_limits, score
from frugal_jobs.search.space import has_trained
from frugal_jobs.targets import onnxruntime_cpu

SEARCH_RESAMPLES = 200  # of the bootstrap: only ranks here
LATENCY_SECONDS = 0.4


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One candidate's figures, and why it cannot be published (empty when it can)."""

    candidate: Candidate
    expected_bound: float | None
    objection: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """The baseline and the validation samples against which every candidate is weighed."""

    spec: CompressionJobSpec
    limits: Limits
    baseline: Model
    baseline_bytes: int
    baseline_flops: float | None
    baseline_memory: int | None
    validation: Samples | None
    baseline_outputs: NDArray[np.generic] | None
    evaluation_samples: int
    rival: Runnable | None = None  # what latency is compared with, where that is not the baseline in ONNX Runtime
    inflation_points: float = 0.0  # by which the original is better on validation rows because it was trained on them

    def weigh(self, model: Runnable) -> Measured:
        """Return the figures of `model`; raises what ONNX Runtime raises when it cannot run."""
        objection = onnxruntime_cpu.objection(model) if isinstance(model, Model) else ""
        loss, figures = self._quality(model)
        loss = self._corrected(loss, model)
        measured = compare(self.rival or self.baseline, model, self._feed(), seconds=LATENCY_SECONDS)
        memory = inference_memory(model) if self.baseline_memory is not None else None
        figures = figures.model_copy(
            update={
                "latency_p50_seconds": measured.candidate.p50_seconds,
                "latency_p95_seconds": measured.candidate.p95_seconds,
                "memory_bytes": memory,
            }
        )
        gains = self._gains(figures, measured.ratio)
        objective = self.spec.objective
        objection = objection or outside_limits(figures, self.limits) or gains_nothing(gains, objective)
        bound = self._expected(loss)
        points = loss.points if loss else 0.0
        if not objection and bound is not None and points > objective.max_loss:
            objection = f"loses {points:.2f} points of {objective.max_loss:g} allowed"
        candidate = Candidate(
            technique=model.label, loss=points, size_ratio=gains.size, latency_ratio=gains.latency,
            flops_ratio=gains.flops, objective=score(gains, points, objective), figures=figures,
            verdict=objection or "kept",
        )  # fmt: skip
        return Measured(candidate=candidate, expected_bound=bound, objection=objection)

    def _corrected(self, loss: Loss | None, model: Runnable) -> Loss | None:
        """Return the loss as it would be on rows that the original never saw.

        Quantization keeps what the original learnt by heart, training on other rows forgets it.
        """
        if loss is None or not has_trained(list(model.steps)):
            return loss
        return replace(
            loss, points=loss.points - self.inflation_points, upper_bound=loss.upper_bound - self.inflation_points
        )

    def _gains(self, figures: ModelFigures, latency_ratio: float) -> Gains:
        flops, memory = figures.flops, figures.memory_bytes
        return Gains(
            latency=latency_ratio,
            size=self.baseline_bytes / (figures.size_bytes or 1),
            flops=self.baseline_flops / flops if self.baseline_flops and flops else None,
            memory=self.baseline_memory / max(memory, 1) if self.baseline_memory and memory is not None else None,
        )

    def _quality(self, model: Runnable) -> tuple[Loss | None, ModelFigures]:
        """Return the loss on validation samples, if there are any, and all figures but latency and memory."""
        bare = ModelFigures(parameters=model.parameters, flops=self._flops(model), size_bytes=model.size_bytes)
        if self.validation is None or self.baseline_outputs is None:
            return None, bare
        outputs = outputs_of(model, self.validation.batches())
        if not np.isfinite(outputs.astype(np.float64)).all():
            raise ValueError("its outputs are not finite")
        objective, seed = self.spec.objective, self.spec.strategy.search.seed
        labels = self.validation.labels
        if labels is None and objective.metric in AGAINST_ORIGINAL:
            labels = self.baseline_outputs
        if labels is None:
            return self._change(outputs), bare
        loss = loss_between(
            objective.metric, baseline=self.baseline_outputs, candidate=outputs, labels=labels,
            confidence=objective.confidence, seed=seed, resamples=SEARCH_RESAMPLES,
        )  # fmt: skip
        figures = figures_of(model, outputs, labels, task=self.spec.model.task, metric=objective.metric)
        return loss, figures

    def _flops(self, model: Runnable) -> float | None:
        from frugal_jobs.evaluation.flops import flops_of

        return flops_of(model)

    def _change(self, outputs: NDArray[np.generic]) -> Loss:
        """Return how much the answers change, in points: what is lost at most when no label can tell."""
        assert self.baseline_outputs is not None
        before, after = self.baseline_outputs, outputs
        if self.spec.model.task is Task.CLASSIFICATION:
            share = disagreement_of(before, after)
        else:
            size = float(np.abs(before.astype(np.float64)).mean())
            share = float(np.abs(after.astype(np.float64) - before.astype(np.float64)).mean()) / max(size, 1e-12)
        return Loss(
            points=100 * share, upper_bound=100 * share, confidence=0.5, samples=len(outputs), disagreement=share
        )

    def _expected(self, loss: Loss | None) -> float | None:
        """Return the bound, in points, that evaluation will likely show."""
        if loss is None:
            return None
        if self.spec.objective.metric is not Metric.ACCURACY:  # the bootstrap's spread shrinks with the samples
            spread = max(0.0, loss.upper_bound - loss.points)
            return loss.points + spread * math.sqrt(loss.samples / self.evaluation_samples)
        share = expected_bound(
            loss=loss.points / 100, disagreement=loss.disagreement, samples=self.evaluation_samples,
            measured_on=loss.samples, confidence=self.spec.objective.confidence,
        )  # fmt: skip
        return 100 * share

    def _feed(self) -> dict[str, NDArray[np.generic]]:
        if self.validation is None:
            return blank_feed(self.baseline)
        return self.validation.at(np.full(self.baseline.inputs[0].shape[0] or 1, self.validation.typical()))


def scale_for(  # a scale is made of all of these
    spec: CompressionJobSpec, limits: Limits, *, baseline: Model, baseline_bytes: int, validation: Samples | None,
    figures: ModelFigures, was_seen: bool = False,
) -> Scale:  # fmt: skip
    """Return the scale for one job; runs the baseline over the validation samples."""
    outputs = None if validation is None else outputs_of(baseline, validation.batches())
    inflation = _inflation(outputs, validation, figures) if was_seen else 0.0
    memory = inference_memory(baseline) if needs_memory(spec.objective, limits) else None
    return Scale(
        spec=spec, limits=limits, baseline=baseline, baseline_bytes=baseline_bytes, baseline_flops=figures.flops,
        baseline_memory=memory, validation=validation,
        baseline_outputs=outputs, evaluation_samples=figures.samples or 1, inflation_points=inflation,
    )  # fmt: skip


def _inflation(outputs: NDArray[np.generic] | None, validation: Samples | None, figures: ModelFigures) -> float:
    """Return by how many points the original is better on the rows held out of its training than on evaluation data.

    Only its own score on the evaluation data is used, which no candidate had a part in.
    """
    if outputs is None or validation is None or validation.labels is None or figures.accuracy is None:
        return 0.0
    return max(0.0, 100 * (class_scores(outputs, validation.labels).accuracy - figures.accuracy))
