"""The search of one target other than ONNX Runtime: what was trained is converted to its forms and measured there.

The lineages are the search's own, so a target costs conversions and measurements, never another training. What it pays
for is kept in the study like everything else. Verification is another module's.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from frugal.api.compression_job import StrategyMode
from frugal.api.compression_steps import Step
from frugal.api.result import Candidate
from frugal_jobs.models.model import Model
from frugal_jobs.progress import Progress
from frugal_jobs.search.measuring import Scale
from frugal_jobs.search.study import Study, TargetRecord, Trial, key_of
from frugal_jobs.targets.built import Built, Form, RuntimeTarget, label_of
from frugal_jobs.targets.conversion import ConversionFailed, Means, build

ORIGINAL_KEY = "original"
SOURCES_AT_MOST = 4  # models that are converted; each takes a process of 10 to 20 s for all forms


@dataclass(frozen=True, slots=True, kw_only=True)
class TargetSearch:
    """One target of one job. `trained` tells which trials of the study are float models that something trained."""

    target: RuntimeTarget
    scale: Scale
    means: Means
    study: Study
    progress: Progress
    trained: Callable[[Trial], bool]
    seconds_left: Callable[[], float]

    def run(self) -> None:
        """Convert and weigh until the time is up; the original comes first, so that there is always something."""
        for number, (key, model, forms) in enumerate(self._sources()):
            if number and self.seconds_left() <= 0:
                self.progress.warning(f"{self.target.name}: no time was left to convert {model.label}")
                return
            missing = [form for form in forms if not self._record.has(trial_key(key, form))]
            for form, made in zip(missing, build(self.target, model, missing, self.means), strict=True):
                self._weighed(key, model, form, made)

    @property
    def _record(self) -> TargetRecord:
        return self.study.record.targets.setdefault(self.target.name, TargetRecord())

    def _sources(self) -> list[tuple[str, Model, list[Form]]]:
        """Return what to convert, and to which forms: all that the runtime runs well, or what the pipeline ends in."""
        strategy, baseline = self.scale.spec.strategy, self.scale.baseline
        if strategy.mode is StrategyMode.PIPELINE:
            return [self._pipeline_source(baseline)]
        forms = list(self.target.forms(can_calibrate=self.means.calibration is not None))
        trained = sorted((one for one in self.study.record.trials if self.trained(one)), key=_promise)
        chosen = [(trial.key, self.study.model(trial), forms) for trial in trained[: SOURCES_AT_MOST - 1]]
        return [(ORIGINAL_KEY, baseline, forms), *chosen]

    def _pipeline_source(self, baseline: Model) -> tuple[str, Model, list[Form]]:
        steps = list(self.scale.spec.strategy.pipeline)
        form = steps[-1].quantize
        before = steps if form is None else steps[:-1]
        if not before:
            return ORIGINAL_KEY, baseline, [form]
        key = key_of([step.to_json() for step in before])
        known = next((trial for trial in self.study.record.trials if trial.key == key and trial.size_bytes), None)
        return (key, self.study.model(known), [form]) if known else (ORIGINAL_KEY, baseline, [])

    def _weighed(self, source: str, model: Model, form: Form, made: Built | ConversionFailed) -> None:
        """Weigh one artifact and keep it; what cannot be made or run costs a candidate, not the target."""
        start, key = time.monotonic(), trial_key(source, form)
        if isinstance(made, ConversionFailed):
            self._record.trials.append(self._failed(key, model, form, made.reason))
        else:
            try:
                measured = self.scale.weigh(made)
            except Exception as error:  # runtimes raise what they like
                said = str(error).strip().splitlines() or [type(error).__name__]
                self._record.trials.append(self._failed(key, model, form, said[0][:200]))
            else:
                candidate = self._named(measured.candidate)
                trial = Trial(
                    key=key, steps=list(made.steps), candidate=candidate, expected_bound=measured.expected_bound,
                    objection=measured.objection, seconds=round(time.monotonic() - start, 2),
                    size_bytes=made.size_bytes,
                )  # fmt: skip
                self.study.add_built(self._record, trial, made)
                self._tell(trial)
        self.study.save()

    def _named(self, candidate: Candidate) -> Candidate:
        return candidate.model_copy(update={"technique": f"{candidate.technique} in {self.target.name}"})

    def _failed(self, key: str, model: Model, form: Form, reason: str) -> Trial:
        name = f"{model.label} + {label_of(form)} in {self.target.name}"
        self.progress.warning(f"{name} failed: {reason}")
        candidate = Candidate(technique=name, loss=0, size_ratio=1, latency_ratio=1, verdict=f"failed: {reason}")
        return Trial(key=key, steps=[], candidate=candidate, objection=f"failed: {reason}")

    def _tell(self, trial: Trial) -> None:
        trials = len(self.study.record.trials) + len(self._record.trials)
        self.progress.trial(
            trial.candidate, trials=trials, of=max(trials, self.scale.spec.strategy.search.trials),
            eta_seconds=max(0.0, self.seconds_left()), best=None,
        )  # fmt: skip


def trial_key(source: str, form: Form) -> str:
    """Return the name of a trial: what it was made from, and its form."""
    return json.dumps([source, None if form is None else form.model_dump(mode="json")], sort_keys=True)


def source_of(key: str) -> str:
    """Return the key of the trial that an artifact was made from."""
    return str(json.loads(key)[0])


def _promise(trial: Trial) -> tuple[bool, float]:
    """Return what sorts the trained models: those that will likely pass first, the cheapest first."""
    return not trial.is_fit, trial.candidate.objective or 0.0


def float_steps(steps: Sequence[Step]) -> list[Step]:
    """Return a pipeline without the quantization at its end, which each target does in its own way."""
    return list(steps[:-1]) if steps and steps[-1].quantize is not None else list(steps)
