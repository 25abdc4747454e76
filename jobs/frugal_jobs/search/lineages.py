"""Pruning lineages: which share of the channels to remove next, how long to train. Does none of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

FIRST_RATIO = 0.5  # half of the channels: about a quarter of weights and operations
LOWEST_RATIO, HIGHEST_RATIO = 0.2, 0.85
STEP = 0.05  # finer ratios give the same net, since channels go in eights
BISECTIONS = 3  # afterwards what is known guides a sampler
LINEAGES_AT_MOST = 8
EPOCHS_AT_MOST = 40.0  # a small data set is learnt long before the time is up
SHORTEST_SECONDS = 8.0  # of training: with less, a pruned net is near chance
TIME_SHARE = 0.45  # of what is left, so that later lineages can profit from what the first one showed
SHORT_SECONDS = 120.0  # with less left, one lineage takes all: two half-trained ones are worth less


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a lineage ended: its best member's value to be minimized; fits: it will likely pass verification."""

    ratio: float
    value: float
    fits: bool


def next_ratio(outcomes: Sequence[Outcome], *, seed: int) -> float | None:
    """Return the ratio to try next, or None when another would tell nothing new.

    Loss grows with the ratio, so the first ones bisect between the largest that fits and the smallest that does not;
    later ones are drawn by Optuna's TPE sampler from all that is known.
    """
    if not outcomes:
        return FIRST_RATIO
    if len(outcomes) >= LINEAGES_AT_MOST:
        return None
    tried = {round(outcome.ratio, 3) for outcome in outcomes}
    ratio = _bisected(outcomes) if len(outcomes) <= BISECTIONS else _sampled(outcomes, seed)
    return None if round(ratio, 3) in tried else ratio


def _bisected(outcomes: Sequence[Outcome]) -> float:
    low = max((outcome.ratio for outcome in outcomes if outcome.fits), default=LOWEST_RATIO)
    high = min(
        (outcome.ratio for outcome in outcomes if not outcome.fits and outcome.ratio > low), default=HIGHEST_RATIO
    )
    return round(round((low + high) / 2 / STEP) * STEP, 3)


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
