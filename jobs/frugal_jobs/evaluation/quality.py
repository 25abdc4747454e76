"""How good a model's outputs are: the metrics of the API, their loss in points, and its upper bound. Runs no model."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugal.api.compression_job import Metric
from frugal_jobs.errors import Unsupported
from frugal_jobs.evaluation.bounds import (
    RESAMPLES,
    accuracy_loss_bound,
    bootstrap_loss_bound,
    discordant,
)

Floats = NDArray[np.floating]
Labels = NDArray[np.generic]
Score = Callable[[NDArray[np.generic], NDArray[np.generic]], float]

FIELD = "spec.objective.metric"
UNBOUNDED = frozenset({Metric.MAE, Metric.RMSE})  # lower is better, and the loss is in percent of the baseline
AGAINST_ORIGINAL = frozenset({Metric.COSINE, Metric.SPEARMAN})  # without labels, likeness to the original's outputs
PAIR_SHIFTS = (1, 2, 3, 5)  # neighbours whose likeness is ranked: four pairs for each sample
POINTS = 100.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Loss:
    """What a candidate loses against the baseline, in points."""

    points: float
    upper_bound: float
    confidence: float
    samples: int
    disagreement: float  # share of samples that one model has right and the other wrong (or answers differently)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassScores:
    """The four figures of a classifier, as shares; all but accuracy are macro averages."""

    accuracy: float
    precision: float
    recall: float
    f1: float


def predicted_classes(outputs: NDArray[np.generic]) -> NDArray[np.int64]:
    """Return the class of each row: of the highest output, or for one output whether its score is above its middle.

    One output is a probability when all values are in [0, 1] (middle 0.5), otherwise a logit (middle 0).
    """
    rows = outputs.reshape(len(outputs), -1).astype(np.float64)
    if rows.shape[1] > 1:
        return np.asarray(rows.argmax(axis=1), np.int64)
    is_probability = rows.min() >= 0 and rows.max() <= 1
    return (rows[:, 0] > (0.5 if is_probability else 0.0)).astype(np.int64)


def class_scores(outputs: NDArray[np.generic], labels: Labels) -> ClassScores:
    """Return the four figures; classes that neither labels nor predictions have are left out of the averages."""
    counts = _confusion(labels.astype(np.int64).ravel(), predicted_classes(outputs))
    precision, recall, f1 = _macro(counts)
    return ClassScores(accuracy=float(np.trace(counts) / counts.sum()), precision=precision, recall=recall, f1=f1)


def _confusion(labels: NDArray[np.int64], predicted: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return counts (true class, predicted class)."""
    classes = int(max(labels.max(), predicted.max())) + 1
    return np.bincount(labels * classes + predicted, minlength=classes**2).reshape(classes, classes)


def _macro(counts: NDArray[np.int64]) -> tuple[float, float, float]:
    """Return macro (precision, recall, F1) as scikit-learn's with zero_division=0."""
    hits, predicted, actual = np.diag(counts), counts.sum(axis=0), counts.sum(axis=1)
    present = (predicted + actual) > 0
    precision = hits / np.maximum(predicted, 1)
    recall = hits / np.maximum(actual, 1)
    f1 = 2 * hits / np.maximum(predicted + actual, 1)
    return float(precision[present].mean()), float(recall[present].mean()), float(f1[present].mean())


def _auc(outputs: NDArray[np.generic], labels: Labels) -> float:
    """Return the area under the ROC curve; for many classes the macro mean of one against the rest."""
    from scipy.stats import rankdata

    rows = outputs.reshape(len(outputs), -1).astype(np.float64)
    scores = rows[:, 1:2] if rows.shape[1] == 2 else rows
    targets = [1] if scores.shape[1] == 1 else range(scores.shape[1])
    areas = []
    for column, target in enumerate(targets):
        is_target = labels.ravel() == target
        positives, negatives = int(is_target.sum()), int((~is_target).sum())
        if positives and negatives:
            rank_sum = rankdata(scores[:, column])[is_target].sum()
            areas.append((rank_sum - positives * (positives + 1) / 2) / (positives * negatives))
    return float(np.mean(areas)) if areas else 0.5


def _cosine(outputs: NDArray[np.generic], references: NDArray[np.generic]) -> float:
    """Return the mean cosine between rows; a row of zeros is like nothing (0)."""
    return float(_row_cosines(outputs, references).mean())


def _row_cosines(outputs: NDArray[np.generic], references: NDArray[np.generic]) -> Floats:
    one = outputs.reshape(len(outputs), -1).astype(np.float64)
    other = references.reshape(len(references), -1).astype(np.float64)
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return np.asarray(np.einsum("ij,ij->i", one, other) / np.maximum(lengths, 1e-30), np.float64)


def _spearman(outputs: NDArray[np.generic], references: NDArray[np.generic]) -> float:
    """Return the rank correlation between the likenesses (cosines) of pairs of rows in both; 1 keeps every order."""
    from scipy.stats import spearmanr

    if len(outputs) <= max(PAIR_SHIFTS):
        return 1.0
    found, wanted = _pair_cosines(outputs), _pair_cosines(references)
    return float(np.nan_to_num(spearmanr(found, wanted).statistic, nan=0.0))


def _pair_cosines(rows: NDArray[np.generic]) -> Floats:
    flat = rows.reshape(len(rows), -1).astype(np.float64)
    flat /= np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-30)
    return np.concatenate([np.einsum("ij,ij->i", flat, np.roll(flat, shift, axis=0)) for shift in PAIR_SHIFTS])


def _mae(outputs: NDArray[np.generic], labels: Labels) -> float:
    return float(np.abs(outputs.astype(np.float64).ravel() - labels.astype(np.float64).ravel()).mean())


def _rmse(outputs: NDArray[np.generic], labels: Labels) -> float:
    return float(np.sqrt(np.square(outputs.astype(np.float64).ravel() - labels.astype(np.float64).ravel()).mean()))


def _class_metric(name: str) -> Score:
    return lambda outputs, labels: float(getattr(class_scores(outputs, labels), name))


SCORES: dict[Metric, Score] = {
    Metric.ACCURACY: _class_metric("accuracy"),
    Metric.PRECISION: _class_metric("precision"),
    Metric.RECALL: _class_metric("recall"),
    Metric.F1: _class_metric("f1"),
    Metric.AUC: _auc,
    Metric.MAE: _mae,
    Metric.RMSE: _rmse,
    Metric.COSINE: _cosine,
    Metric.SPEARMAN: _spearman,
}


def score_for(metric: Metric | str) -> Score:
    """Return the function that computes `metric` from outputs and labels; raises Unsupported."""
    if isinstance(metric, Metric):
        if metric in SCORES:
            return SCORES[metric]
        known = ", ".join(known.value for known in SCORES)
        raise Unsupported(
            field=FIELD, value=metric.value, fault="is not computed yet",
            remedy=f"use one of {known}, or an entry point package.module:function(outputs, labels)",
        )  # fmt: skip
    return _entry_point(metric)


def _entry_point(text: str) -> Score:
    module, _, name = text.partition(":")
    try:
        score: Score = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        remedy = "install it in the pod's image"
        raise Unsupported(field=FIELD, value=text, fault=f"cannot be imported ({error})", remedy=remedy) from error
    return score


def loss_between(
    metric: Metric | str, *, baseline: NDArray[np.generic], candidate: NDArray[np.generic], labels: Labels,
    confidence: float, seed: int, resamples: int = RESAMPLES,
) -> Loss:  # fmt: skip
    """Return the loss in points and its one-sided upper bound, over samples in the same order."""
    samples = len(labels)
    if metric is Metric.ACCURACY:
        truth = labels.astype(np.int64).ravel()
        lost, won = discordant(predicted_classes(baseline) == truth, predicted_classes(candidate) == truth)
        bound = accuracy_loss_bound(lost=lost, won=won, samples=samples, confidence=confidence)
        points, disagreement = POINTS * (lost - won) / samples, (lost + won) / samples
        return Loss(
            points=points, upper_bound=POINTS * bound, confidence=confidence, samples=samples, disagreement=disagreement
        )
    loss_of = _loss_of(metric, baseline, candidate, labels)
    bound = bootstrap_loss_bound(loss_of, samples=samples, confidence=confidence, seed=seed, resamples=resamples)
    return Loss(
        points=loss_of(np.arange(samples)), upper_bound=bound, confidence=confidence, samples=samples,
        disagreement=disagreement_of(baseline, candidate),
    )  # fmt: skip


def _loss_of(
    metric: Metric | str, baseline: NDArray[np.generic], candidate: NDArray[np.generic], labels: Labels
) -> Callable[[NDArray[np.int64]], float]:
    """Return what gives the loss in points on the samples of given numbers."""
    if metric is Metric.COSINE:  # a mean over samples, so that resamples need no new cosines
        lost = _row_cosines(baseline, labels) - _row_cosines(candidate, labels)
        return lambda index: POINTS * float(lost[index].mean())
    score = score_for(metric)

    def bounded(index: NDArray[np.int64]) -> float:
        return POINTS * (score(baseline[index], labels[index]) - score(candidate[index], labels[index]))

    def unbounded(index: NDArray[np.int64]) -> float:
        reference = score(baseline[index], labels[index])
        return POINTS * (score(candidate[index], labels[index]) - reference) / max(reference, 1e-12)

    return unbounded if metric in UNBOUNDED else bounded


def disagreement_of(baseline: NDArray[np.generic], candidate: NDArray[np.generic]) -> float:
    """Return the share of samples whose predicted class differs; for one output per sample, whose sign does."""
    return float((predicted_classes(baseline) != predicted_classes(candidate)).mean())
