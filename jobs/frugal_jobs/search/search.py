"""The search: cheap single tools first, then pruning lineages with the time that is left. Every trial is paid for once.

Verification and the report have their time set aside, so a short budget still ends in a published artifact.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from frugal.api.compression_job import Step, StrategyMode
from frugal.api.result import Best, Candidate
from frugal_artifacts.errors import StorageUnavailable
from frugal_jobs.models.model import Model
from frugal_jobs.progress import Progress
from frugal_jobs.search import choice, space
from frugal_jobs.search.measuring import Scale
from frugal_jobs.search.study import Study, Trial, key_of
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.registry import technique_for


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
        for steps in space.quantizations(can_calibrate=self.context.calibration is not None):
            if self._can_go_on():
                self.attempt(steps)

    def _can_go_on(self) -> bool:
        """Whether one more trial of the usual length fits."""
        return (
            len(self.study.record.trials) < self.trials_at_most and self.budget.left_seconds > 1.5 * self._last_seconds
        )

    def attempt(self, steps: space.Steps) -> Trial | None:
        """Make and weigh the candidate of `steps`, unless the study has it."""
        if self.study.has(key_of(steps)):
            return None
        start = self.budget.clock()
        try:
            model = self.made(steps)
        except StorageUnavailable:
            raise
        except Exception as error:  # a technique that fails on this model costs one candidate, not the job
            return self._failed(steps, error, start)
        return self.weighed(model, key_of(steps), start)

    def made(self, steps: space.Steps) -> Model:
        """Return the baseline after `steps`."""
        model = self.scale.baseline
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

    def _failed(self, steps: space.Steps, error: Exception, start: float) -> Trial:
        reason = f"failed: {type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error) else ''}"
        label = " + ".join(name for step in steps for name in step)
        candidate = Candidate(technique=label, loss=0, size_ratio=1, latency_ratio=1, verdict=reason)
        trial = Trial(
            key=key_of(steps), steps=steps, candidate=candidate, objection=reason,
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
