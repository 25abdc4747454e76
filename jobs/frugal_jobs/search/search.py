"""The search: cheap single tools first, then pruning lineages with the time that is left. Every trial is paid for once.

Verification and the report have their time set aside, so a short budget still ends in a published artifact.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from frugal.api.compression_job import StrategyMode
from frugal.api.compression_steps import PruneStep, Step
from frugal.api.result import Best, Candidate
from frugal_artifacts.errors import ArtifactError
from frugal_jobs.models.model import Model
from frugal_jobs.progress import Progress
from frugal_jobs.search import choice, space
from frugal_jobs.search.lineages import EPOCHS_AT_MOST, Outcome, next_ratio, training_seconds
from frugal_jobs.search.measuring import Scale
from frugal_jobs.search.study import Study, Trial, key_of
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.registry import technique_for

OVERHEAD_TRIALS = 4.0  # weighing the pruned model and its quantized forms, in usual trials
UNFIT = 1000.0  # added to what is minimized, so that any lineage that fits is better than any other


@dataclass(slots=True)
class Budget:
    """Wall time for searching; `end` is on `clock`, seconds."""

    end: float
    clock: Callable[[], float] = time.monotonic

    @property
    def left_seconds(self) -> float:
        return self.end - self.clock()


@dataclass(slots=True)
class Search:
    """One job's search; all that it learns goes into `study`."""

    scale: Scale
    context: Context
    study: Study
    progress: Progress
    budget: Budget
    trials_at_most: int
    _last_seconds: float = field(default=2.0)

    def run(self) -> None:
        """Try candidates until the budget or the ideas end; raises StorageUnavailable for an outage."""
        strategy = self.scale.spec.strategy
        if strategy.mode is StrategyMode.PIPELINE:
            self.attempt([step.to_json() for step in strategy.pipeline])
            return
        singles = space.quantizations(can_calibrate=self.context.calibration is not None)
        self._attempt_each(singles[: space.PROMISING])
        if self.context.training is None or not self._has_likely():
            self._attempt_each(singles[space.PROMISING :])
        if self.context.training is not None:
            self._grow_lineages()

    def _grow_lineages(self) -> None:
        """Prune, train and quantize, one ratio after the other, as long as time and ideas last."""
        outcomes: list[Outcome] = []
        while self._can_go_on() and (ratio := next_ratio(outcomes, seed=self.context.seed)) is not None:
            outcome = self._lineage(ratio)
            if outcome is None:
                return
            outcomes.append(outcome)

    def _lineage(self, ratio: float) -> Outcome | None:
        """Return how pruning by `ratio` ended, from the study if it is there; None when time or means are missing."""
        name = f"lineage {ratio:.3f}"
        members = [f"{name}: {suffix}" for suffix in ("float32", *(key_of(steps) for steps in space.AFTER_PRUNING))]
        pruned = self._pruned(ratio, members[0])
        if pruned is None:
            return None
        for key, steps in zip(members[1:], space.AFTER_PRUNING, strict=True):
            if not self.study.has(key) and self._may_try():
                self._try(key, partial(self.made, steps, pruned))
        return self._outcome(ratio, [trial for trial in self.study.record.trials if trial.key in members])

    def _pruned(self, ratio: float, key: str) -> Model | None:
        """Return the pruned and trained model, from the study where it is there."""
        known = next((trial for trial in self.study.record.trials if trial.key == key), None)
        if known is None:
            seconds = training_seconds(self.budget.left_seconds, overhead_seconds=OVERHEAD_TRIALS * self._last_seconds)
            if seconds is None:
                return None
            usual = self._last_seconds
            known = self._try(key, partial(self._trained, PruneStep(ratio=ratio, epochs=EPOCHS_AT_MOST), seconds))
            self._last_seconds = usual  # training is no usual trial
        return self.study.model(known) if known.size_bytes else None

    def _trained(self, step: PruneStep, seconds: float) -> Model:
        from frugal_jobs.techniques.structured_pruning import StructuredPruning  # brings torch

        return StructuredPruning(step, seconds)(self.scale.baseline, self.context)

    def _outcome(self, ratio: float, trials: list[Trial]) -> Outcome:
        max_loss = self.scale.spec.objective.max_loss
        made = [trial for trial in trials if trial.size_bytes]
        fits = [trial for trial in made if trial.is_fit and (trial.expected_bound or 0.0) <= max_loss]
        if fits:
            return Outcome(ratio=ratio, value=min(trial.candidate.objective or 0.0 for trial in fits), fits=True)
        excess = min(trial.expected_bound or 0.0 for trial in made) - max_loss
        return Outcome(ratio=ratio, value=UNFIT + excess, fits=False)

    def _attempt_each(self, candidates: list[space.Steps]) -> None:
        for steps in candidates:
            if self._can_go_on() or (self._may_try() and not self._has_candidate()):
                self.attempt(steps)

    def _has_likely(self) -> bool:
        """Whether 8 bits will likely pass: then other ways to them gain less than pruning in the same time."""
        max_loss = self.scale.spec.objective.max_loss
        return any(
            trial.is_fit and (trial.expected_bound or 0.0) <= max_loss and space.is_int8(trial.steps)
            for trial in self.study.record.trials
        )

    def _may_try(self) -> bool:
        return len(self.study.record.trials) < self.trials_at_most

    def _has_candidate(self) -> bool:
        """Whether anything could be verified: a busy machine may use up the time before the first trial."""
        return any(trial.is_fit for trial in self.study.record.trials)

    def _can_go_on(self) -> bool:
        """Whether one more trial of the usual length fits."""
        return (
            len(self.study.record.trials) < self.trials_at_most and self.budget.left_seconds > 1.5 * self._last_seconds
        )

    def attempt(self, steps: space.Steps) -> Trial | None:
        """Make and weigh the candidate of `steps`, unless the study has it."""
        key = key_of(steps)
        return None if self.study.has(key) else self._try(key, partial(self.made, steps, self.scale.baseline))

    def _try(self, key: str, make: Callable[[], Model]) -> Trial:
        """Make and weigh one candidate; a technique that fails on this model costs a candidate, not the job."""
        start = self.budget.clock()
        try:
            return self.weighed(make(), key, start)
        except ArtifactError:
            raise
        except Exception as error:  # whatever torch, ONNX Runtime or torch-pruning may raise
            return self._failed(key, error, start)

    def made(self, steps: space.Steps, model: Model) -> Model:
        """Return `model` after `steps`."""
        for step in steps:
            model = technique_for(Step.model_validate(step))(model, self.context)
        return model

    def weighed(self, model: Model, key: str, start: float) -> Trial:
        """Weigh `model` as it would be published, keep it in the study, and tell."""
        from frugal_jobs.techniques.graph_cleanup import clean

        published = clean(model)
        measured = self.scale.weigh(published)
        self._last_seconds = self.budget.clock() - start
        trial = Trial(
            key=key, steps=list(model.steps), candidate=measured.candidate, expected_bound=measured.expected_bound,
            objection=measured.objection, seconds=round(self._last_seconds, 2), size_bytes=published.size_bytes,
        )  # fmt: skip
        self.study.add(trial, published)
        self._tell(trial)
        return trial

    def _failed(self, key: str, error: Exception, start: float) -> Trial:
        said = str(error).strip().splitlines() or [type(error).__name__]
        reason, label = f"failed: {said[0][:200]}", key[:80]
        candidate = Candidate(technique=label, loss=0, size_ratio=1, latency_ratio=1, verdict=reason)
        trial = Trial(
            key=key, steps=[], candidate=candidate, objection=reason,
            seconds=round(self.budget.clock() - start, 2),
        )  # fmt: skip
        self.study.add(trial, None)
        self.progress.warning(f"{label} {reason}")
        return trial

    def _tell(self, trial: Trial) -> None:
        trials = self.study.record.trials
        best = choice.best_so_far(trials, max_loss=self.scale.spec.objective.max_loss)
        self.progress.trial(
            trial.candidate, trials=len(trials), of=self.trials_at_most, eta_seconds=max(0.0, self.budget.left_seconds),
            best=None if best is None else best_of(best.candidate),
        )  # fmt: skip


def best_of(candidate: Candidate) -> Best:
    """Return a candidate's figures as the status shows them, not yet verified."""
    return Best(
        technique=candidate.technique, loss=candidate.loss, size_ratio=candidate.size_ratio,
        latency_ratio=candidate.latency_ratio, flops_ratio=candidate.flops_ratio,
    )  # fmt: skip
