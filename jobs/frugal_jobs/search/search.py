"""The search: cheap single tools while lineages train beside them, each then quantized in every form that pays.

Verification and the report have their time set aside, so a short budget still ends in a published artifact.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

from frugal.api.compression_job import StrategyMode
from frugal.api.compression_steps import Step
from frugal.api.result import Best, Candidate
from frugal_artifacts.errors import ArtifactError
from frugal_jobs.models.loading import from_bytes
from frugal_jobs.models.model import Model
from frugal_jobs.progress import Progress
from frugal_jobs.search import choice, space
from frugal_jobs.search.advice import Family
from frugal_jobs.search.lineages import (
    EPOCHS_AT_MOST,
    Outcome,
    first_ratios,
    next_ratio,
    parent_of,
    relative,
    training_seconds,
)
from frugal_jobs.search.measuring import Scale
from frugal_jobs.search.study import Study, Trial, key_of
from frugal_jobs.search.workers import Crew, Errand
from frugal_jobs.search.workers import Outcome as TrainingOutcome
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.registry import technique_for

OVERHEAD_TRIALS = 4.0  # weighing the pruned model and its quantized forms, in usual trials
LATE_SECONDS = 10.0  # a training that ends so late is still taken; the time for verification bears it
WAIT_SECONDS = 5.0
SOON_SECONDS = 20.0  # a training that ends so soon is waited for before the next one is chosen
ROOM_TRIALS = 12  # left for lineages, or the less promising single tools are not tried
TRAINED = ": float32"  # ends the key of what a lineage trained
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
    """One job's search; all that it learns goes into `study`. `crew` trains; without it nothing is trained."""

    scale: Scale
    context: Context
    study: Study
    progress: Progress
    budget: Budget
    trials_at_most: int
    crew: Crew | None = None
    kind: Family = Family.CONVOLUTIONAL
    _last_seconds: float = field(default=2.0)
    _tired: bool = False  # no further training is begun

    def run(self) -> None:
        """Try candidates until the budget or the ideas end; raises StorageUnavailable for an outage."""
        strategy = self.scale.spec.strategy
        if strategy.mode is StrategyMode.PIPELINE:
            self.attempt([step.to_json() for step in strategy.pipeline])
            return
        for ratio in self._known_ratios():
            self._complete(ratio)
        self._begin_lineages()
        self._single_tools()
        while self.crew is not None and self.crew.running and self.budget.left_seconds > -LATE_SECONDS:
            for outcome in self.crew.wait(min(WAIT_SECONDS, self.budget.left_seconds + LATE_SECONDS)):
                self._finished(outcome)
                self._begin_lineages()

    def _single_tools(self) -> None:
        """Measure what needs no training, the promising ones first, and the traps too where there is room."""
        singles = space.quantizations(self.kind, can_calibrate=self.context.calibration is not None)
        self._attempt_each(singles[: space.PROMISING])
        has_room = self.trials_at_most - len(self.study.record.trials) > len(singles) + ROOM_TRIALS
        if self.crew is None or has_room or not self._has_likely():
            self._attempt_each(singles[space.PROMISING :])

    def _begin_lineages(self) -> None:
        """Keep the crew busy as long as time, trials and ideas last."""
        while self.crew is not None and self.crew.has_room and not self._tired:
            errand = self._next_errand()
            if errand is None:
                self._tired = not self.crew.running  # what still runs may teach something
                return
            self.crew.send(errand)

    def _next_errand(self) -> Errand | None:
        assert self.crew is not None
        left = training_seconds(self.budget.left_seconds, overhead_seconds=OVERHEAD_TRIALS * self._last_seconds)
        pending = len(self.crew.running) + 1
        if any(errand.deadline - self.budget.clock() < SOON_SECONDS for errand in self.crew.running):
            return None  # its end will tell where to cut next
        if left is None or len(self.study.record.trials) + pending > self.trials_at_most - self._singles_left():
            return None
        outcomes = [self._outcome(ratio) for ratio in self._known_ratios()]
        running = [_ratio_of(errand.name) for errand in self.crew.running]
        first = first_ratios(self.scale.spec.objective.max_loss, workers=self.crew.size)
        ratio = next_ratio(outcomes, seed=self.context.seed, running=running, first=first)
        if ratio is None:
            return None
        return self._errand(ratio, parent_of(ratio, outcomes) if space.is_progressive(self.kind) else None, left)

    def _singles_left(self) -> int:
        """Return how many of the promising single tools are still to be measured."""
        singles = space.quantizations(self.kind, can_calibrate=self.context.calibration is not None)
        return sum(not self.study.has(key_of(steps)) for steps in singles[: space.PROMISING])

    def _errand(self, ratio: float, parent: float | None, seconds: float) -> Errand:
        known = None if parent is None else self._member(_trained_key(parent))
        start = self.scale.baseline if known is None else self.study.model(known)
        step = space.cut(self.kind, relative(ratio, None if known is None else parent), epochs=EPOCHS_AT_MOST)
        return Errand(
            name=_lineage(ratio), step=step, content=start.content, label=start.label, steps=start.steps,
            deadline=self.budget.clock() + seconds,
        )  # fmt: skip

    def _finished(self, outcome: TrainingOutcome) -> None:
        """Weigh what a worker trained, and then what quantization makes of it."""
        ratio, start = _ratio_of(outcome.name), self.budget.clock()
        key = _trained_key(ratio)
        if outcome.error:
            self._failed(key, RuntimeError(outcome.error), start)
            self._tired = self._tired or not self._can_train()
            return
        usual = self._last_seconds

        def trained() -> Model:
            proto = from_bytes(outcome.content, place=outcome.name).proto
            return Model(proto=proto, label=outcome.label, steps=outcome.steps)

        self._try(key, trained)
        self._last_seconds = max(usual, self._last_seconds)
        self._complete(ratio)

    def _complete(self, ratio: float) -> None:
        """Quantize what was trained, in every form of which the study does not know that it does not pay here."""
        known = self._member(_trained_key(ratio))
        if known is None or not known.size_bytes:
            return
        for steps in self._forms():
            key = f"{_lineage(ratio)}: {key_of(steps)}"
            if not self.study.has(key) and self._may_try():
                self._try(key, partial(self.made, steps, self.study.model(known)))

    def _forms(self) -> list[space.Steps]:
        forms = space.forms_after_training(self.kind, can_calibrate=self.context.calibration is not None)
        return [steps for steps in forms if not self._is_trap(key_of(steps))]

    def _is_trap(self, key: str) -> bool:
        """Whether this form failed on the original, or made it slower or larger: it will not pay on a smaller one."""
        known = self._member(key)
        return known is not None and known.objection.startswith(("failed", "slower", "larger"))

    def _known_ratios(self) -> list[float]:
        """Return the ratios that were trained, in order."""
        keys = [trial.key for trial in self.study.record.trials if trial.key.endswith(TRAINED)]
        return [_ratio_of(key) for key in keys]

    def _can_train(self) -> bool:
        """Whether any lineage was ever trained: what fails on the first will fail on the others."""
        return any(trial.size_bytes for trial in self.study.record.trials if trial.key.endswith(TRAINED))

    def _member(self, key: str) -> Trial | None:
        return next((trial for trial in self.study.record.trials if trial.key == key), None)

    def _outcome(self, ratio: float) -> Outcome:
        """Return how a lineage ended: by its best member that will likely pass, else by how far it is from passing."""
        trials = [trial for trial in self.study.record.trials if trial.key.startswith(_lineage(ratio) + ":")]
        max_loss = self.scale.spec.objective.max_loss
        made = [trial for trial in trials if trial.size_bytes]
        fits = [trial for trial in made if trial.is_fit and (trial.expected_bound or 0.0) <= max_loss]
        if fits:
            return Outcome(ratio=ratio, value=min(trial.candidate.objective or 0.0 for trial in fits), fits=True)
        excess = min((trial.expected_bound or 0.0 for trial in made), default=max_loss) - max_loss
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


def _lineage(ratio: float) -> str:
    return f"lineage {ratio:.3f}"


def _trained_key(ratio: float) -> str:
    return _lineage(ratio) + TRAINED


def _ratio_of(name: str) -> float:
    """Return the ratio in a lineage's name or in the key of one of its members."""
    return float(name.removeprefix("lineage ").partition(":")[0])


def best_of(candidate: Candidate) -> Best:
    """Return a candidate's figures as the status shows them, not yet verified."""
    return Best(
        technique=candidate.technique, loss=candidate.loss, size_ratio=candidate.size_ratio,
        latency_ratio=candidate.latency_ratio, flops_ratio=candidate.flops_ratio,
    )  # fmt: skip
