"""Which candidates go to verification, in which order, and which make up the Pareto front. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from frugal.api.result import Candidate
from frugal_jobs.evaluation.bounds import ATTEMPT_SHARES
from frugal_jobs.search.study import Trial

MAX_ATTEMPTS = len(ATTEMPT_SHARES)


def to_verify(trials: Sequence[Trial], *, max_loss: float, verified: Sequence[str]) -> list[Trial]:
    """Return the trials to verify, best first, at most three together with those `verified` before.

    First those that will likely pass, by objective; then those that may, the safest first. The last try goes to the
    safest of all, since nothing comes after it.
    """
    fit = [trial for trial in trials if trial.is_fit and trial.key not in verified]
    likely = sorted((trial for trial in fit if _bound(trial) <= max_loss), key=_objective)
    perhaps = sorted((trial for trial in fit if _bound(trial) > max_loss), key=_bound)
    ordered, left = [*likely, *perhaps], MAX_ATTEMPTS - len(verified)
    if left <= 0 or not ordered:
        return []
    if len(ordered) > left:
        safest = min(fit, key=_bound)
        ordered = [trial for trial in ordered if trial is not safest or ordered.index(trial) < left - 1]
        ordered = [*ordered[: left - 1], safest] if safest not in ordered[: left - 1] else ordered
    return ordered[:left]


def best_so_far(trials: Sequence[Trial], *, max_loss: float) -> Trial | None:
    """Return the trial that would be verified first."""
    ordered = to_verify(trials, max_loss=max_loss, verified=())
    return ordered[0] if ordered else None


def _bound(trial: Trial) -> float:
    return 0.0 if trial.expected_bound is None else trial.expected_bound


def _objective(trial: Trial) -> float:
    assert trial.candidate.objective is not None
    return trial.candidate.objective


def pareto_front(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Return those that no other beats in loss, size and latency at once, the least loss first."""
    front = [one for one in candidates if not any(_dominates(other, one) for other in candidates)]
    return sorted(front, key=lambda candidate: (candidate.loss, -candidate.size_ratio))


def _dominates(one: Candidate, other: Candidate) -> bool:
    """Whether `one` is nowhere worse and somewhere better."""
    mine = (-one.loss, one.size_ratio, one.latency_ratio)
    theirs = (-other.loss, other.size_ratio, other.latency_ratio)
    return mine != theirs and all(a >= b for a, b in zip(mine, theirs, strict=True))
