"""Pruning lineages: which share of the channels to remove next, how long to train. Does none of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

FIRST_RATIO = 0.5  # half of the channels: about a quarter of weights and operations
LOWEST_RATIO, HIGHEST_RATIO = 0.2, 0.85
STEP = 0.05  # finer ratios give the same net, since channels go in eights
BISECTIONS = 3  # afterwards what is known guides a sampler
LINEAGES_AT_MOST = 8
EPOCHS_AT_MOST = 40.0  # a small data set is learnt long before the time is up
SHORTEST_SECONDS = 8.0  # of training: with less, a pruned net is near chance
TIME_SHARE = 0.5  # of what is left, so that later lineages can profit from what the first ones showed
SHORT_SECONDS = 280.0  # with less left, one lineage takes all: two half-trained ones are worth less
GENEROUS_POINTS = 0.75  # from here on, more than half of the channels may go


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a lineage ended: its best member's value to be minimized; fits: it will likely pass verification."""

    ratio: float
    value: float
    fits: bool


def first_ratios(max_loss: float, *, workers: int) -> tuple[float, ...]:
    """Return the ratios with which the workers begin: around half, and the more beside it the more may be lost."""
    ordered = (FIRST_RATIO, 0.35, 0.65, 0.25) if max_loss < GENEROUS_POINTS else (FIRST_RATIO, 0.65, 0.35, 0.75)
    return ordered[: max(1, workers)]


def next_ratio(
    outcomes: Sequence[Outcome], *, seed: int, running: Sequence[float] = (), first: Sequence[float] = (FIRST_RATIO,)
) -> float | None:
    """Return the ratio to try next, or None when another would tell nothing new.

    running: ratios that are being tried. Loss grows with the ratio, so after the `first` ones the widest gap between
    the largest that fits and the smallest that does not is halved; later ones are drawn by Optuna's TPE sampler from
    all that is known.
    """
    tried = {round(ratio, 3) for ratio in (*running, *(outcome.ratio for outcome in outcomes))}
    for ratio in first:
        if round(ratio, 3) not in tried:
            return ratio
    if len(outcomes) + len(running) >= LINEAGES_AT_MOST:
        return None
    is_early = len(outcomes) < BISECTIONS + len(first)
    ratio = _halved(outcomes, running) if is_early else _sampled(outcomes, seed)
    return None if round(ratio, 3) in tried else ratio


def _halved(outcomes: Sequence[Outcome], running: Sequence[float]) -> float:
    low = max((outcome.ratio for outcome in outcomes if outcome.fits), default=LOWEST_RATIO)
    high = min(
        (outcome.ratio for outcome in outcomes if not outcome.fits and outcome.ratio > low), default=HIGHEST_RATIO
    )
    edges = sorted({low, high, *(ratio for ratio in running if low < ratio < high)})
    start, end = max(pairwise(edges), key=lambda gap: round(gap[1] - gap[0], 6), default=(low, high))
    return round(round((start + end) / 2 / STEP) * STEP, 3)


def parent_of(ratio: float, outcomes: Sequence[Outcome]) -> float | None:
    """Return the largest smaller ratio that fits: its trained network is the better start."""
    return max((outcome.ratio for outcome in outcomes if outcome.fits and outcome.ratio < ratio), default=None)


def relative(ratio: float, parent: float | None) -> float:
    """Return the share to remove of what `parent` left, so that `ratio` of the whole is gone."""
    return ratio if parent is None else 1 - (1 - ratio) / (1 - parent)


def _sampled(outcomes: Sequence[Outcome], seed: int) -> float:
    import optuna  # takes a second to import

    optuna.logging.set_verbosity(optuna.logging.ERROR)
    space: dict[str, optuna.distributions.BaseDistribution] = {}
    space["ratio"] = optuna.distributions.FloatDistribution(LOWEST_RATIO, HIGHEST_RATIO, step=STEP)
    study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed, n_startup_trials=1))
    for outcome in outcomes:
        study.add_trial(
            optuna.trial.create_trial(params={"ratio": outcome.ratio}, distributions=space, value=outcome.value)
        )
    return round(float(study.ask(space).params["ratio"]), 3)


def training_seconds(left_seconds: float, *, overhead_seconds: float) -> float | None:
    """Return how long the next lineage may train; None when too little is left.

    overhead_seconds: what quantizing and weighing its members will take afterwards.
    """
    usable = left_seconds - overhead_seconds
    if usable < SHORTEST_SECONDS:
        return None
    return usable if usable <= SHORT_SECONDS else max(SHORT_SECONDS, usable * TIME_SHARE)
