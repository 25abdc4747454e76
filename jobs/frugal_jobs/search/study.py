"""What a search has paid for, kept at the output URI so that a killed pod goes on from it. Decides nothing.

`studies/HASH/study.json` is rewritten whole after each trial; models and checkpoints lie beside it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any, Protocol

from pydantic import BaseModel, ConfigDict

from frugal.api.compression_steps import QuantizeStep
from frugal.api.result import Candidate, CompressionResult, ModelFigures, Usage
from frugal_artifacts.errors import ArtifactMissing, InvalidUri, StorageDenied
from frugal_artifacts.storage import Storage
from frugal_jobs.errors import UnusableOutput
from frugal_jobs.models.loading import from_bytes
from frugal_jobs.models.model import Model
from frugal_jobs.targets.built import Built, Form, RuntimeTarget


class Trial(BaseModel):
    """One candidate as the search measured it on validation data."""

    model_config = ConfigDict(frozen=True)

    key: str
    steps: list[dict[str, Any]]
    candidate: Candidate
    expected_bound: float | None = None  # points: what verification will likely find
    objection: str = ""  # why it cannot be published
    seconds: float = 0
    size_bytes: int = 0

    @property
    def is_fit(self) -> bool:
        """Whether it may go to verification."""
        return not self.objection


class TargetRecord(BaseModel):
    """What was paid for in a target other than ONNX Runtime."""

    trials: list[Trial] = []
    sequence: list[str] | None = None  # keys in the order of verification, fixed before the first

    def has(self, key: str) -> bool:
        """Return whether this trial was already paid for."""
        return any(trial.key == key for trial in self.trials)


class Sequenced(Protocol):
    """Trials, and the order in which some of them are verified."""

    trials: list[Trial]
    sequence: list[str] | None


class StudyRecord(BaseModel):
    """The content of study.json."""

    inputs_hash: str
    attempts: int = 0
    usage: Usage = Usage()
    baseline: ModelFigures | None = None
    baseline_seconds: float = 0
    trials: list[Trial] = []
    sequence: list[str] | None = None  # keys in the order of verification, fixed before the first: no pod changes it
    targets: dict[str, TargetRecord] = {}
    result: CompressionResult | None = None


def key_of(steps: list[dict[str, Any]]) -> str:
    """Return the name of a trial: the same steps are the same trial."""
    return json.dumps(steps, sort_keys=True, separators=(",", ":"))


@dataclass(slots=True)
class Study:
    """The record and its files."""

    storage: Storage
    uri: str
    record: StudyRecord
    _models: dict[str, Model] = field(default_factory=dict)

    @classmethod
    def open(cls, storage: Storage, *, output_uri: str, inputs_hash: str) -> Study:
        """Return the study that is there, or a new one; writes it, so that a bad output is found first.

        Raises UnusableOutput when nothing can be written, and StorageUnavailable for an outage.
        """
        uri = f"{output_uri.rstrip('/')}/studies/{inputs_hash}"
        try:
            study = cls(storage, uri, _read(storage, uri) or StudyRecord(inputs_hash=inputs_hash))
            study.record.attempts += 1
            study.save()
        except (StorageDenied, InvalidUri, ArtifactMissing) as error:
            remedy = "name a folder or prefix that the pod may write to"
            raise UnusableOutput(field="spec.output.uri", value=output_uri, fault=str(error), remedy=remedy) from error
        return study

    def save(self) -> None:
        self.storage.write_bytes(f"{self.uri}/study.json", self.record.model_dump_json().encode())

    def has(self, key: str) -> bool:
        """Return whether this trial was already paid for."""
        return any(trial.key == key for trial in self.record.trials)

    def add(self, trial: Trial, model: Model | None) -> None:
        """Keep a trial with its model; the model first, so that no recorded trial lacks one."""
        if model is not None:
            self.storage.write_bytes(self._model_uri(trial.key), model.content)
            self._models[trial.key] = model
        self.record.trials.append(trial)
        self.save()

    def model(self, trial: Trial) -> Model:
        """Return the model of a trial that made one; raises StorageUnavailable, UnsafeModel."""
        if trial.key not in self._models:
            content = self.storage.read_bytes(self._model_uri(trial.key))
            model = from_bytes(content, place=self._model_uri(trial.key))
            self._models[trial.key] = Model(
                proto=model.proto, label=trial.candidate.technique, steps=tuple(trial.steps)
            )
        return self._models[trial.key]

    def add_built(self, record: TargetRecord, trial: Trial, built: Built) -> None:
        """Keep a trial of another target with its artifact; the artifact first. `save` is the caller's."""
        self.storage.write_bytes(self._built_uri(trial.key, built.target, built.extension), built.content)
        record.trials.append(trial)

    def built(self, target: RuntimeTarget, trial: Trial, source: Model) -> Built:
        """Return the artifact of a trial that made one from `source`; raises StorageUnavailable."""
        content = self.storage.read_bytes(self._built_uri(trial.key, target.name, target.extension))
        return Built(
            target=target.name,
            extension=target.extension,
            content=content,
            source=source,
            form=form_of(trial.steps, source),
        )

    def read(self, key: str) -> bytes | None:
        """Return the checkpoint under `key`, if there is one."""
        try:
            return self.storage.read_bytes(self._checkpoint_uri(key))
        except ArtifactMissing:
            return None

    def write(self, key: str, content: bytes) -> None:
        """Keep a checkpoint under `key`."""
        self.storage.write_bytes(self._checkpoint_uri(key), content)

    def _checkpoint_uri(self, key: str) -> str:
        return f"{self.uri}/checkpoints/{file_name(key)}.safetensors"

    def _built_uri(self, key: str, target: str, extension: str) -> str:
        return f"{self.uri}/candidates/{file_name(target + key)}{extension}"

    def _model_uri(self, key: str) -> str:
        return f"{self.uri}/candidates/{file_name(key)}.onnx"


def form_of(steps: list[dict[str, Any]], source: Model) -> Form:
    """Return the quantization by which a trial goes beyond its source; None when by none."""
    more = steps[len(source.steps) :]
    return QuantizeStep.model_validate(more[0]["quantize"]) if more else None


def file_name(key: str) -> str:
    """Return a short name for a file of this key."""
    import hashlib

    return hashlib.sha256(key.encode()).hexdigest()[:16]


def _read(storage: Storage, uri: str) -> StudyRecord | None:
    try:
        return StudyRecord.model_validate_json(storage.read_bytes(f"{uri}/study.json"))
    except ArtifactMissing:
        return None
