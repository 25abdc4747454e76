"""Brings one target other than ONNX Runtime from the study's models to a shelf of candidates that can be verified."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from frugal.api.common import ModelFormat
from frugal.api.compression_job import CompressionJobSpec
from frugal.api.result import ModelFigures
from frugal.errors import FrugalError
from frugal_jobs.datasets.samples import Samples
from frugal_jobs.environment import PodEnvironment
from frugal_jobs.progress import Progress
from frugal_jobs.search.measuring import Scale
from frugal_jobs.search.per_target import TargetSearch
from frugal_jobs.search.search import TRAINED
from frugal_jobs.search.study import Study, Trial
from frugal_jobs.shelf import Shelf, foreign
from frugal_jobs.targets.built import Built, RuntimeTarget
from frugal_jobs.targets.conversion import ConversionFailed, Means, build
from frugal_jobs.targets.litert import LiteRt
from frugal_jobs.targets.planned import plan_of
from frugal_jobs.targets.registry import RUNTIME_TARGETS, absence
from frugal_jobs.verification import Verifier


class TargetUnavailable(FrugalError):
    """A target for which nothing can be made and run here; the others go on."""

    def __init__(self, *, target: str, reason: str) -> None:
        self.target, self.reason = target, reason
        super().__init__(f"{target}: {reason}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Assembly:
    """The means of one job for its targets."""

    spec: CompressionJobSpec
    pod: PodEnvironment
    study: Study
    progress: Progress
    scale: Scale
    calibration: Samples | None
    seconds_left: Callable[[], float]

    def shelf(self, name: str, verifier: Verifier) -> Shelf:
        """Return the candidates of target `name`, made and measured; raises TargetUnavailable."""
        target = RUNTIME_TARGETS.get(name)
        reason = plan_of(name) if target is None else absence(target)
        if target is None or reason:
            raise TargetUnavailable(target=name, reason=reason)
        self.progress.phase("Searching", f"{name}: converting what was found, and measuring it there")
        rival = self._rival(target)
        scale = self.scale if rival is None else replace(self.scale, rival=rival, baseline_bytes=rival.size_bytes)
        TargetSearch(
            target=target, scale=scale, means=self._means, study=self.study, progress=self.progress, trained=is_trained,
            seconds_left=self.seconds_left,
        ).run()  # fmt: skip
        judge = verifier if rival is None else self._against(rival, verifier)
        return foreign(target, self.scale.baseline, self.study, judge, self._figures(rival), self.pod.work)

    @property
    def _means(self) -> Means:
        return Means(folder=self.pod.work, calibration=self.calibration)

    def _rival(self, target: RuntimeTarget) -> Built | None:
        """Return the float32 `.tflite` of a Keras model, which is what its user would have had; else None."""
        if self.spec.model.format is not ModelFormat.KERAS or target.name != LiteRt.name:
            return None
        (made,) = build(target, self.scale.baseline, [None], self._means)
        if isinstance(made, ConversionFailed):
            raise TargetUnavailable(target=target.name, reason=made.reason)
        return made

    def _against(self, rival: Built, verifier: Verifier) -> Verifier:
        path = self.pod.work / f"baseline{rival.extension}"
        path.write_bytes(rival.content)
        return replace(verifier, baseline=path, baseline_target=rival.target, baseline_source=verifier.baseline)

    def _figures(self, rival: Built | None) -> ModelFigures:
        figures = self.study.record.baseline
        assert figures is not None
        return figures if rival is None else figures.model_copy(update={"size_bytes": rival.size_bytes})


def is_trained(trial: Trial) -> bool:
    """Return whether a trial of the study is a float model that something trained, which a target may convert."""
    return trial.key.endswith(TRAINED) and trial.size_bytes > 0
