"""All figures of one model but its latency, as the API's ModelFigures. How each is computed stands elsewhere."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from frugal.api.common import Task
from frugal.api.compression_job import Metric
from frugal.api.result import ModelFigures
from frugal_jobs.evaluation.flops import flops_of
from frugal_jobs.evaluation.quality import class_scores, score_for
from frugal_jobs.models.model import Runnable

CLASS_METRICS = frozenset({Metric.ACCURACY, Metric.PRECISION, Metric.RECALL, Metric.F1})


def figures_of(
    model: Runnable, outputs: NDArray[np.generic], labels: NDArray[np.generic], *, task: Task, metric: Metric | str
) -> ModelFigures:
    """Return quality on the samples that gave `outputs`, parameters, FLOPs and size; quality in [0, 1] shares."""
    figures = ModelFigures(
        samples=len(outputs), parameters=model.parameters, flops=flops_of(model), size_bytes=model.size_bytes
    )
    if task is Task.CLASSIFICATION:
        scores = class_scores(outputs, labels)
        figures = figures.model_copy(
            update={
                "accuracy": scores.accuracy, "precision": scores.precision, "recall": scores.recall, "f1": scores.f1
            }
        )  # fmt: skip
    if metric not in CLASS_METRICS:
        figures = figures.model_copy(update={"metric": score_for(metric)(outputs, labels)})
    return figures
