"""Metrics against scikit-learn's, and losses in points."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn import metrics

from frugal.api.compression_job import Metric
from frugal_jobs.errors import Unsupported
from frugal_jobs.evaluation.quality import class_scores, loss_between, predicted_classes, score_for


def answers(*, classes: int = 5, samples: int = 400) -> tuple[np.ndarray, np.ndarray]:
    """Return outputs that are right more often than not, and labels."""
    generator = np.random.default_rng(classes)
    labels = generator.integers(0, classes, samples)
    outputs = generator.standard_normal((samples, classes)) + 1.5 * np.eye(classes)[labels]
    return outputs, labels


def test_the_four_figures_are_those_of_scikit_learn() -> None:
    outputs, labels = answers()
    predicted = outputs.argmax(axis=1)

    scores = class_scores(outputs, labels)

    assert scores.accuracy == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert scores.precision == pytest.approx(metrics.precision_score(labels, predicted, average="macro"))
    assert scores.recall == pytest.approx(metrics.recall_score(labels, predicted, average="macro"))
    assert scores.f1 == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))


def test_a_class_that_is_never_predicted_counts_as_zero_as_in_scikit_learn() -> None:
    outputs, labels = np.eye(3)[[0, 0, 1, 1]], np.array([0, 2, 1, 2])

    scores = class_scores(outputs, labels)

    predicted = outputs.argmax(axis=1)
    assert scores.precision == pytest.approx(
        metrics.precision_score(labels, predicted, average="macro", zero_division=0)
    )


@pytest.mark.parametrize("classes", [2, 5])
def test_the_area_under_the_curve_is_that_of_scikit_learn(classes: int) -> None:
    outputs, labels = answers(classes=classes)

    area = score_for(Metric.AUC)(outputs, labels)

    if classes == 2:
        expected = metrics.roc_auc_score(labels, outputs[:, 1])
    else:
        expected = np.mean([metrics.roc_auc_score(labels == one, outputs[:, one]) for one in range(classes)])
    assert area == pytest.approx(expected)


def test_errors_of_a_regression_are_those_of_scikit_learn() -> None:
    outputs, labels = np.array([[1.0], [2.0], [4.0]]), np.array([1.5, 2.0, 3.0])

    mae, rmse = (score_for(metric)(outputs, labels) for metric in (Metric.MAE, Metric.RMSE))

    assert mae == pytest.approx(metrics.mean_absolute_error(labels, outputs[:, 0]))  # (0.5 + 0 + 1) / 3
    assert rmse == pytest.approx(metrics.root_mean_squared_error(labels, outputs[:, 0]))


def test_one_output_is_a_probability_or_a_logit() -> None:
    probabilities, logits = np.array([[0.4], [0.6]]), np.array([[-0.4], [0.6]])

    found = predicted_classes(probabilities), predicted_classes(logits)

    assert [list(classes) for classes in found] == [[0, 1], [0, 1]]


def test_a_loss_of_accuracy_is_in_points_with_its_bound() -> None:
    labels = np.zeros(1000, int)
    baseline, candidate = np.tile([1.0, 0.0], (1000, 1)), np.tile([1.0, 0.0], (1000, 1))
    candidate[:20] = [0.0, 1.0]

    loss = loss_between(Metric.ACCURACY, baseline=baseline, candidate=candidate, labels=labels, confidence=0.95, seed=1)

    assert loss.points == pytest.approx(2.0)  # 20 of 1,000
    assert 2.0 < loss.upper_bound < 3.2
    assert loss.disagreement == pytest.approx(0.02)


def test_a_loss_of_an_error_is_in_percent_of_the_baseline() -> None:
    labels = np.zeros(100)
    baseline, candidate = np.full((100, 1), 2.0), np.full((100, 1), 2.1)

    loss = loss_between(
        Metric.MAE, baseline=baseline, candidate=candidate, labels=labels, confidence=0.95, seed=1, resamples=50
    )

    assert loss.points == pytest.approx(5.0)  # 2.1 / 2.0


def test_an_embedding_that_turns_loses_cosine() -> None:
    baseline = np.tile([1.0, 0.0], (50, 1))
    candidate = np.tile([1.0, 1.0], (50, 1))

    loss = loss_between(
        Metric.COSINE, baseline=baseline, candidate=candidate, labels=baseline, confidence=0.95, seed=1, resamples=50
    )

    assert loss.points == pytest.approx(100 * (1 - np.sqrt(0.5)))


def test_an_entry_point_computes_a_metric_of_the_users_own() -> None:
    score = score_for("numpy:dot")

    assert score(np.array([1.0, 2.0]), np.array([3.0, 4.0])) == 11.0


@pytest.mark.parametrize("metric", [Metric.BLEU, "no.such.module:score", "numpy:no_such_function"])
def test_a_metric_that_cannot_be_computed_names_its_field(metric: Metric | str) -> None:
    with pytest.raises(Unsupported) as caught:
        score_for(metric)

    assert caught.value.field == "spec.objective.metric"


def test_the_bound_on_a_cosine_is_that_of_normal_theory() -> None:
    generator = np.random.default_rng(5)
    original = generator.standard_normal((800, 16))
    candidate = original + 0.3 * generator.standard_normal((800, 16))

    loss = loss_between(Metric.COSINE, baseline=original, candidate=candidate, labels=original, confidence=0.95, seed=7)

    likeness = (original * candidate).sum(1) / np.linalg.norm(original, axis=1) / np.linalg.norm(candidate, axis=1)
    assert loss.points == pytest.approx(100 * (1 - likeness.mean()))
    spread = 100 * likeness.std() / np.sqrt(800)
    assert loss.upper_bound == pytest.approx(loss.points + 1.645 * spread, abs=0.3 * spread)


def test_rank_correlation_is_one_for_what_keeps_every_order_and_near_zero_for_noise() -> None:
    generator = np.random.default_rng(6)
    rows = generator.standard_normal((400, 16))

    kept, noise = (
        score_for(Metric.SPEARMAN)(other, rows) for other in (2.5 * rows, generator.standard_normal((400, 16)))
    )

    assert kept == pytest.approx(1.0)
    assert abs(noise) < 0.15  # 1,600 pairs that share rows
