"""Upper bounds on the loss: known values, and what they must never do."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest

from frugal_jobs.evaluation.bounds import (
    accuracy_loss_bound,
    bootstrap_loss_bound,
    discordant,
    expected_bound,
    samples_needed,
)


def test_discordant_pairs_are_counted_by_who_lost() -> None:
    baseline = np.array([True, True, True, False, False])
    candidate = np.array([True, False, False, True, False])

    lost, won = discordant(baseline, candidate)

    assert (lost, won) == (2, 1)


def test_the_exact_and_the_score_bound_agree_when_many_pairs_differ() -> None:
    upper = binomtest(60, 100, alternative="less").proportion_ci(confidence_level=0.95, method="exact").high

    bound = accuracy_loss_bound(lost=60, won=40, samples=10_000, confidence=0.95)

    exact = 0.01 * (2 * upper - 1)  # 100 of 10,000 differ; p_u = 0.683, so 0.365 points
    assert exact <= bound < 1.02 * exact  # Tango's, 0.369, is the larger of the two


def test_identical_answers_still_leave_about_three_in_n_unknown() -> None:
    bound = accuracy_loss_bound(lost=0, won=0, samples=10_000, confidence=0.95)

    assert bound == pytest.approx(1.645**2 / (10_000 + 1.645**2), rel=1e-3)  # z^2 / (n + z^2) = 0.027 points


def test_a_smaller_set_gives_a_wider_bound() -> None:
    wide = accuracy_loss_bound(lost=6, won=4, samples=1_000, confidence=0.95)

    narrow = accuracy_loss_bound(lost=60, won=40, samples=10_000, confidence=0.95)

    assert wide > narrow


@pytest.mark.parametrize(("lost", "won", "samples"), [(-1, 0, 10), (6, 6, 10), (0, 0, 0)])
def test_impossible_counts_are_refused(lost: int, won: int, samples: int) -> None:
    with pytest.raises(ValueError, match="samples"):
        accuracy_loss_bound(lost=lost, won=won, samples=samples, confidence=0.95)


def test_a_bound_that_should_hold_nineteen_times_of_twenty_does() -> None:
    generator = np.random.default_rng(3)
    samples, lost_share, won_share = 2_000, 0.012, 0.008
    draws = generator.multinomial(samples, [lost_share, won_share, 1 - lost_share - won_share], size=2_000)

    held = [
        accuracy_loss_bound(lost=int(lost), won=int(won), samples=samples, confidence=0.95) >= lost_share - won_share
        for lost, won, _ in draws
    ]

    assert np.mean(held) >= 0.95 - 3 * np.sqrt(0.05 * 0.95 / 2_000)  # three standard errors of 2,000 draws


def test_the_bootstrap_bound_lies_above_the_loss_and_repeats_with_its_seed() -> None:
    errors = np.random.default_rng(1).normal(0.1, 1.0, 400)

    def loss_of(index: np.ndarray) -> float:
        return float(errors[index].mean())

    first, second = (
        bootstrap_loss_bound(loss_of, samples=400, confidence=0.95, seed=5, resamples=500) for _ in range(2)
    )

    assert first == second
    assert first == pytest.approx(
        errors.mean() + 1.645 * errors.std() / 20, abs=0.02
    )  # normal theory: 1.645 s / sqrt(n)


def test_the_expected_bound_grows_with_disagreement() -> None:
    calm, restless = (
        expected_bound(loss=0.0, disagreement=share, samples=10_000, measured_on=5_000, confidence=0.95)
        for share in (0.01, 0.04)
    )

    assert restless == pytest.approx(2 * calm)  # the square root of four times the disagreement


@pytest.mark.parametrize("max_loss", [0.005, 0.01, 0.05])
def test_so_many_samples_are_just_enough_to_show_that_nothing_is_lost(max_loss: float) -> None:
    needed = samples_needed(max_loss=max_loss, confidence=0.95)

    bounds = [accuracy_loss_bound(lost=0, won=0, samples=needed - less, confidence=0.95) for less in (0, 1)]

    assert bounds[0] <= max_loss < bounds[1]
