"""Upper confidence bounds on the loss of quality, from paired samples: both models judged the very same inputs.

All take and return shares (0.01 is one point); a negative loss is a gain. What a metric is, is not known here.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import beta, norm

Hits = NDArray[np.bool_]
RESAMPLES = 2000  # the 95th percentile of 2,000 is known to about 2 percentiles, 2 standard errors


def discordant(baseline: Hits, candidate: Hits) -> tuple[int, int]:
    """Return (lost, won): samples that only the baseline, and only the candidate, has right."""
    return int((baseline & ~candidate).sum()), int((~baseline & candidate).sum())


def accuracy_loss_bound(*, lost: int, won: int, samples: int, confidence: float) -> float:
    """Return the one-sided upper bound on the loss of accuracy, in [-1, 1].

    The larger of two bounds, so never under the exact one:

    - exact paired-binomial: given d = lost + won discordant pairs, lost ~ Binomial(d, p), as in McNemar's exact test
      (McNemar 1947); with p_u the Clopper-Pearson upper limit, d / n * (2 * p_u - 1). It takes d as given, so with
      few discordant pairs (with none at all it says nothing) it is too bold, which is what the second is for;
    - Tango's score bound (Stat. Med. 17:891, 1998): the largest difference that a score test of the paired design
      does not reject; with no discordant pair it is z^2 / (n + z^2), about the rule of three.
    """
    if samples < 1 or lost < 0 or won < 0 or lost + won > samples:
        raise ValueError(f"lost={lost}, won={won} of {samples} samples")
    return max(
        _exact_bound(lost, won, samples, confidence), _score_bound(lost, won, samples, float(norm.ppf(confidence)))
    )


def _exact_bound(lost: int, won: int, samples: int, confidence: float) -> float:
    pairs = lost + won
    if pairs == 0:
        return 0.0
    upper = 1.0 if won == 0 else float(beta.ppf(confidence, lost + 1, won))
    return pairs / samples * (2 * upper - 1)


def _score_bound(lost: int, won: int, samples: int, z: float) -> float:
    """Return the difference at which Tango's statistic falls to -z, found by bisection; z is at least 0."""
    low, high = (lost - won) / samples, 1.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _score(lost, won, samples, middle) > -z else (low, middle)
    return high


def _score(lost: int, won: int, samples: int, difference: float) -> float:
    """Return Tango's statistic for a loss of `difference`; q is the restricted estimate of the share won."""
    linear = -lost - won + (2 * samples - lost + won) * difference
    constant = -won * difference * (1 - difference)
    q = (math.sqrt(max(0.0, linear**2 - 8 * samples * constant)) - linear) / (4 * samples)
    variance = samples * (2 * q + difference * (1 - difference))
    excess = lost - won - samples * difference
    if variance <= 0:
        return 0.0 if excess == 0 else math.copysign(math.inf, excess)
    return excess / math.sqrt(variance)


def bootstrap_loss_bound(
    loss_of: Callable[[NDArray[np.int64]], float], *, samples: int, confidence: float, seed: int,
    resamples: int = RESAMPLES,
) -> float:  # fmt: skip
    """Return the `confidence` quantile of `loss_of` over paired resamples of the samples' numbers.

    The percentile bootstrap (Efron and Tibshirani 1993, chapter 13), never under the loss on the samples themselves.
    """
    generator = np.random.default_rng(seed)
    losses = [loss_of(generator.integers(0, samples, samples)) for _ in range(resamples)]
    return max(float(np.quantile(np.array(losses), confidence, method="higher")), loss_of(np.arange(samples)))


def expected_bound(*, loss: float, disagreement: float, samples: int, measured_on: int, confidence: float) -> float:
    """Return the bound that `samples` fresh samples will show or undercut about every other time.

    disagreement: share of discordant pairs among the `measured_on` samples that gave `loss`. Normal approximation:
    loss + z(confidence) * sqrt(disagreement / samples). A bolder guess than the bound itself, since a candidate that
    fails verification costs a try, not the job.
    """
    share = max(disagreement, 1 / measured_on)
    return loss + float(norm.ppf(confidence)) * math.sqrt(share / samples)


def samples_needed(*, max_loss: float, confidence: float) -> int:
    """Return how many samples show a loss of nothing to be surely under `max_loss`, a share in (0, 1).

    Without a discordant pair the bound of `accuracy_loss_bound` is z^2 / (n + z^2).
    """
    z = float(norm.ppf(confidence))
    return max(1, math.ceil(z**2 * (1 - max_loss) / max_loss))
