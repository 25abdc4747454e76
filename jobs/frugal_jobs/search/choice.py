"""Which candidates go to verification, in which order, and which make up the Pareto front. Pure."""

from __future__ import annotations

from collections.abc import Sequence

from frugal.api.result import Candidate
from frugal_jobs.search.study import Trial

MAX_ATTEMPTS = 5  # each takes a pass over the evaluation data
GAP_SHARE = 0.1  # of a gap at both ends: nearer to its neighbours a candidate tells nothing that they do not
BOLD_ATTEMPTS = 2  # at the end, where failing costs nothing but time


def sequence(trials: Sequence[Trial], *, max_loss: float) -> list[Trial]:
    """Return at most five trials in the fixed order of their verification, the safest first, each one better.

    They are those that no other beats in both expected bound and objective. Testing them in an order that was fixed
    beforehand, each at the full confidence and stopping at the first failure, keeps the confidence for all together
    (Maurer, Hothorn and Lehmacher 1995). So the bold ones, which hardly pass, come last and cost nothing.
    """
    steps: list[Trial] = []
    for trial in sorted((one for one in trials if one.is_fit), key=lambda one: (_bound(one), _objective(one))):
        if not steps or _objective(trial) < _objective(steps[-1]):
            steps.append(trial)
    likely = [trial for trial in steps if _bound(trial) <= max_loss]
    bold = steps[len(likely) :][: BOLD_ATTEMPTS if likely else MAX_ATTEMPTS]
    room = MAX_ATTEMPTS - len(bold)
    if len(likely) > room:
        likely = [likely[0], *likely[len(likely) - room + 1 :]]
    return _filled([*likely, *bold], trials)


def _filled(ordered: list[Trial], trials: Sequence[Trial]) -> list[Trial]:
    """Put the safest of what lies between into the widest gaps: few validation samples hold unlike ones for equal."""
    ordered = list(ordered)
    while 1 < len(ordered) < MAX_ATTEMPTS:
        gaps = sorted(range(len(ordered) - 1), key=lambda at: _objective(ordered[at + 1]) / _objective(ordered[at]))
        between = next((found for at in gaps if (found := _between(ordered, at, trials))), None)
        if between is None:
            return ordered
        at, trial = between
        ordered.insert(at + 1, trial)
    return ordered


def _between(ordered: Sequence[Trial], at: int, trials: Sequence[Trial]) -> tuple[int, Trial] | None:
    """Return (at, the safest trial that is better than the one at `at` and worse than the next), if there is one."""
    high, low = _objective(ordered[at]), _objective(ordered[at + 1])
    room = (high - low) * GAP_SHARE
    riskiest = _bound(ordered[at + 1])
    found = [
        one for one in trials if one.is_fit and low + room < _objective(one) < high - room and _bound(one) <= riskiest
    ]
    return (at, min(found, key=lambda one: (_bound(one), -_objective(one)))) if found else None


def best_so_far(trials: Sequence[Trial], *, max_loss: float) -> Trial | None:
    """Return the best trial that will likely pass, or else the safest."""
    ordered = sequence(trials, max_loss=max_loss)
    likely = [trial for trial in ordered if _bound(trial) <= max_loss]
    return likely[-1] if likely else (ordered[0] if ordered else None)


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
