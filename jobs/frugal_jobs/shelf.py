"""A shelf holds one target's candidates for verification: which in which order, how each is opened and judged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from frugal.api.result import ModelFigures
from frugal_jobs.models.model import Model, Runnable
from frugal_jobs.search import choice
from frugal_jobs.search.per_target import ORIGINAL_KEY, source_of
from frugal_jobs.search.study import Sequenced, Study, Trial
from frugal_jobs.targets.built import Built, RuntimeTarget
from frugal_jobs.verification import Verifier
from frugal_jobs.verify import Answer


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The candidates of the target `name`; `figures` are the baseline's in that target's comparison."""

    name: str
    record: Sequenced
    figures: ModelFigures
    opened: Callable[[Trial], Runnable]
    judged: Callable[[Runnable, float], Answer]

    def sequence(self, max_loss: float, *, save: Callable[[], None]) -> list[Trial]:
        """Return the trials to verify, in the order that the first attempt fixed."""
        if self.record.sequence is None:
            self.record.sequence = [trial.key for trial in choice.sequence(self.record.trials, max_loss=max_loss)]
            save()  # before any answer is known
        by_key = {trial.key: trial for trial in self.record.trials}
        return [by_key[key] for key in self.record.sequence]


def native(name: str, study: Study, verifier: Verifier, figures: ModelFigures, folder: Path) -> Shelf:
    """Return the shelf of ONNX Runtime, whose candidates are the study's own models."""

    def judged(model: Runnable, confidence: float) -> Answer:
        path = folder / "candidate.onnx"
        path.write_bytes(model.content)
        return verifier.candidate_answer(path, confidence=confidence)

    return Shelf(name=name, record=study.record, figures=figures, opened=study.model, judged=judged)


def foreign(
    target: RuntimeTarget, original: Model, study: Study, verifier: Verifier, figures: ModelFigures, folder: Path
) -> Shelf:
    """Return the shelf of another runtime, whose candidates were made from the original or the study's models."""

    def opened(trial: Trial) -> Runnable:
        return study.built(target, trial, _source(source_of(trial.key), original, study))

    def judged(candidate: Runnable, confidence: float) -> Answer:
        assert isinstance(candidate, Built)
        path, source = folder / f"candidate{candidate.extension}", folder / "source.onnx"
        path.write_bytes(candidate.content)
        source.write_bytes(candidate.source.content)
        return verifier.candidate_answer(path, confidence=confidence, target=target.name, source=source)

    record = study.record.targets[target.name]
    return Shelf(name=target.name, record=record, figures=figures, opened=opened, judged=judged)


def _source(key: str, original: Model, study: Study) -> Model:
    if key == ORIGINAL_KEY:
        return original
    return study.model(next(trial for trial in study.record.trials if trial.key == key))
