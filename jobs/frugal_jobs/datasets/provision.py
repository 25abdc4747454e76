"""The samples that a search may use, from where the spec says or from defaults. Never those that verification uses."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from frugal.api.compression_job import CompressionJobSpec, DataSource
from frugal_artifacts.storage import Storage
from frugal_jobs.datasets.loading import load
from frugal_jobs.datasets.samples import Samples, held_out, split
from frugal_jobs.models.model import Model

VALIDATION_SHARE = 0.1
VALIDATION_AT_MOST = 5000  # ranks to about 0.3 points; more costs time in every trial
CALIBRATION_AT_MOST = 512
SHARED_SHARE = 0.3  # of evaluation data that is all there is; the rest carries the verdict


@dataclass(frozen=True, slots=True, kw_only=True)
class Provision:
    """What there is; None: nothing was given that could serve."""

    training: Samples | None
    validation: Samples | None
    calibration: Samples | None
    augment: tuple[str, ...] = ()
    was_seen: bool = False  # the validation rows come out of the training data, so the original learnt from them


def is_shared(spec: CompressionJobSpec) -> bool:
    """Return whether evaluation data is all there is: then the search gets a part of it, and verification the rest."""
    data = spec.data
    return data.training is None and data.validation is None and data.calibration is None


def parts_of_evaluation(samples: Samples, spec: CompressionJobSpec) -> tuple[Samples, Samples]:
    """Return (what the search may see, what verification alone sees), without a sample in common."""
    return split(samples, share=SHARED_SHARE, seed=spec.strategy.search.seed)


def provide(spec: CompressionJobSpec, *, model: Model, storage: Storage, folder: Path) -> Provision:
    """Return the sets of `spec.data`; raises UnusableData, StorageUnavailable."""
    data, seed = spec.data, spec.strategy.search.seed

    def loaded(source: DataSource | None, name: str, *, needs_labels: bool = True) -> Samples | None:
        if source is None:
            return None
        return load(
            source, field=f"spec.data.{name}", model=model, described=spec.model, storage=storage, folder=folder,
            needs_labels=needs_labels,
        )  # fmt: skip

    if is_shared(spec):
        evaluation = loaded(data.evaluation, "evaluation", needs_labels=True)
        assert evaluation is not None
        shared, _ = parts_of_evaluation(evaluation, spec)
        return Provision(training=None, validation=shared, calibration=_some(shared, seed))
    training = loaded(data.training, "training")
    validation = loaded(data.validation, "validation")
    calibration = loaded(data.calibration, "calibration", needs_labels=False)
    was_seen = validation is None and training is not None
    if validation is None and training is not None:
        training, validation = held_out(training, share=VALIDATION_SHARE, most=VALIDATION_AT_MOST, seed=seed)
    elif validation is None and calibration is not None and len(calibration) > 1:
        calibration, validation = held_out(calibration, share=0.5, most=VALIDATION_AT_MOST, seed=seed)
    if calibration is None:
        source = training or validation
        calibration = None if source is None else _some(source, seed)
    augment = tuple(change.value for change in data.training.augment) if data.training else ()
    return Provision(
        training=training, validation=validation, calibration=calibration, augment=augment, was_seen=was_seen
    )


def _some(samples: Samples, seed: int) -> Samples:
    if len(samples) <= CALIBRATION_AT_MOST:
        return replace(samples, labels=None)
    chosen, _ = held_out(samples, share=1 - CALIBRATION_AT_MOST / len(samples), most=len(samples), seed=seed)
    return replace(chosen, labels=None)
