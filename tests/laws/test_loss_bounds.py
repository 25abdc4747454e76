"""Laws of the bound on the loss of accuracy."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import beta

from frugal_jobs.evaluation.bounds import accuracy_loss_bound


@st.composite
def outcomes(draw: st.DrawFn) -> tuple[int, int, int]:
    """Draw (lost, won, samples)."""
    samples = draw(st.integers(1, 20_000))
    lost = draw(st.integers(0, min(samples, 500)))
    won = draw(st.integers(0, min(samples - lost, 500)))
    return lost, won, samples


confidences = st.floats(0.5, 0.999)


@given(outcomes(), confidences)
def test_the_bound_is_never_under_the_measured_loss_nor_over_one(outcome: tuple[int, int, int], level: float) -> None:
    lost, won, samples = outcome

    bound = accuracy_loss_bound(lost=lost, won=won, samples=samples, confidence=level)

    assert (lost - won) / samples - 1e-9 <= bound <= 1 + 1e-9


@given(outcomes(), confidences)
def test_the_bound_is_never_under_the_exact_paired_binomial_one(outcome: tuple[int, int, int], level: float) -> None:
    lost, won, samples = outcome

    bound = accuracy_loss_bound(lost=lost, won=won, samples=samples, confidence=level)

    pairs = lost + won
    if pairs:
        upper = 1.0 if won == 0 else beta.ppf(level, lost + 1, won)
        assert bound >= pairs / samples * (2 * upper - 1) - 1e-12


@given(outcomes(), confidences, confidences)
def test_more_confidence_never_means_a_lower_bound(outcome: tuple[int, int, int], one: float, other: float) -> None:
    lost, won, samples = outcome
    low, high = sorted((one, other))

    bounds = [accuracy_loss_bound(lost=lost, won=won, samples=samples, confidence=level) for level in (low, high)]

    assert bounds[0] <= bounds[1] + 1e-9


@given(outcomes(), confidences)
def test_one_more_sample_lost_instead_of_won_never_lowers_the_bound(
    outcome: tuple[int, int, int], level: float
) -> None:
    lost, won, samples = outcome
    if won == 0:
        return

    before = accuracy_loss_bound(lost=lost, won=won, samples=samples, confidence=level)
    after = accuracy_loss_bound(lost=lost + 1, won=won - 1, samples=samples, confidence=level)

    assert after >= before - 1e-9
