"""Trainings in processes beside the search, one thread each, so that cores and not threads are shared. Chooses nothing.

On shared cores two one-thread trainings are far faster than one of two threads. A worker that dies costs its training,
from whose last checkpoint the next attempt goes on.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
import time
from dataclasses import dataclass, field, is_dataclass, replace
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

from frugal.api.common import Task
from frugal.api.compression_steps import Step
from frugal_artifacts.errors import ArtifactMissing
from frugal_artifacts.storage import Storage
from frugal_jobs.datasets.samples import Samples
from frugal_jobs.models.loading import from_bytes
from frugal_jobs.models.model import Model
from frugal_jobs.stopping import Stopped, stop_on_sigterm

LEAST_SECONDS = 1.0  # of training, when a busy machine was late to start it
STOPPING_SECONDS = 10.0  # to save a checkpoint


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What every worker gets once: the same as a Context, but able to travel."""

    baseline: bytes
    training: Samples | None
    calibration: Samples | None
    task: Task
    folder: Path
    seed: int
    augment: tuple[str, ...]
    volumes: Path | None
    study_uri: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Errand:
    """One training: `step` on the model of `content` until `deadline` (monotonic seconds, one clock for all)."""

    name: str
    step: dict[str, Any]
    content: bytes
    label: str
    steps: tuple[dict[str, Any], ...]
    deadline: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What came of an errand: the model's file, or why there is none."""

    name: str
    content: bytes = b""
    label: str = ""
    steps: tuple[dict[str, Any], ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """The study's checkpoints, those of one errand under names of its own."""

    storage: Storage
    uri: str
    name: str

    def read(self, key: str) -> bytes | None:
        """Return what was last written under `key`, if anything was."""
        with contextlib.suppress(ArtifactMissing):
            return self.storage.read_bytes(self._place(key))
        return None

    def write(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`, whole or not at all."""
        self.storage.write_bytes(self._place(key), content)

    def _place(self, key: str) -> str:
        safe = "".join(letter if letter.isalnum() else "-" for letter in f"{self.name}-{key}")
        return f"{self.uri}/checkpoints/{safe}.safetensors"


@dataclass(slots=True)
class Crew:
    """Up to `size` workers; each starts with its first errand and lives to the end of the search."""

    means: Means
    size: int
    _workers: dict[Connection, BaseProcess] = field(default_factory=dict)
    _busy: dict[Connection, Errand] = field(default_factory=dict)

    def __enter__(self) -> Crew:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @property
    def running(self) -> list[Errand]:
        """The errands that are being run."""
        return list(self._busy.values())

    @property
    def has_room(self) -> bool:
        """Whether one more errand would be begun at once."""
        return len(self._busy) < self.size

    def send(self, errand: Errand) -> None:
        """Begin an errand."""
        idle = [pipe for pipe in self._workers if pipe not in self._busy]
        pipe = idle[0] if idle else self._hire()
        self._busy[pipe] = errand
        pipe.send(errand)

    def wait(self, seconds: float) -> list[Outcome]:
        """Return what has ended, after `seconds` at most."""
        return [
            self._received(pipe) for pipe in wait(list(self._busy), max(0.0, seconds)) if isinstance(pipe, Connection)
        ]

    def _received(self, pipe: Connection) -> Outcome:
        errand = self._busy.pop(pipe)
        try:
            outcome: Outcome = pipe.recv()
        except (EOFError, ConnectionError):
            process = self._workers.pop(pipe)
            process.join(STOPPING_SECONDS)
            why = "out of memory?" if process.exitcode == -signal.SIGKILL else f"exit status {process.exitcode}"
            return Outcome(name=errand.name, error=f"its training process ended ({why})")
        return outcome

    def _hire(self) -> Connection:
        context = multiprocessing.get_context("spawn")  # torch's threads do not survive a fork
        ours, theirs = context.Pipe()
        process = context.Process(target=_work, args=(theirs, self.means), daemon=True)
        process.start()
        theirs.close()
        self._workers[ours] = process
        return ours

    def close(self) -> None:
        """End every worker; one that trains saves its state first."""
        for process in self._workers.values():
            process.terminate()
        for pipe, process in self._workers.items():
            process.join(STOPPING_SECONDS)
            if process.is_alive():
                process.kill()
            pipe.close()
        self._workers.clear()
        self._busy.clear()


def _work(pipe: Connection, means: Means) -> None:
    """Run errands until the other side hangs up."""
    stop_on_sigterm()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the search ends its workers itself
    os.dup2(2, 1)  # what a library prints is no progress line
    sys.stdout = sys.stderr
    baseline = from_bytes(means.baseline, place="baseline")
    teacher = None
    with contextlib.suppress(EOFError, Stopped, ConnectionError):
        while True:
            errand: Errand = pipe.recv()
            if teacher is None:
                from frugal_jobs.techniques.distillation import Teacher  # torch takes seconds to import

                assert means.training is not None
                teacher = Teacher(baseline, means.training)
            pipe.send(_outcome(errand, means, teacher))


def _outcome(errand: Errand, means: Means, teacher: Any) -> Outcome:
    try:
        model = _trained(errand, means, teacher)
    except Exception as error:  # whatever torch, torch-pruning or a converter may raise
        said = str(error).strip().splitlines() or [type(error).__name__]
        return Outcome(name=errand.name, error=said[0][:300])
    return Outcome(name=errand.name, content=model.content, label=model.label, steps=model.steps)


def _trained(errand: Errand, means: Means, teacher: Any) -> Model:
    from frugal_jobs.techniques.context import Context
    from frugal_jobs.techniques.registry import technique_for

    shelf = Shelf(storage=Storage(means.volumes), uri=means.study_uri, name=errand.name)
    context = Context(
        calibration=means.calibration, training=means.training, task=means.task, folder=means.folder, seed=means.seed,
        checkpoints=shelf, augment=means.augment, teacher=teacher,
    )  # fmt: skip
    technique: Any = technique_for(Step.model_validate(errand.step))
    if is_dataclass(technique) and not isinstance(technique, type) and hasattr(technique, "seconds"):
        technique = replace(technique, seconds=max(LEAST_SECONDS, errand.deadline - time.monotonic()))
    start = Model(
        proto=from_bytes(errand.content, place=errand.name).proto, label=errand.label, steps=tuple(errand.steps)
    )
    model: Model = technique(start, context)
    return model
