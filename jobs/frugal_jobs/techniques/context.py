"""What a technique may use beside the model: samples, checkpoints, a scratch folder, a seed. Decides nothing."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from frugal.api.common import Task
from frugal_jobs.datasets.samples import Samples

if TYPE_CHECKING:
    from frugal_jobs.techniques.distillation import Teacher


class Checkpoints(Protocol):
    """Where unfinished work is kept, so that another pod can go on with it."""

    def read(self, key: str) -> bytes | None:
        """Return what was last written under `key`, if anything was."""
        ...

    def write(self, key: str, content: bytes) -> None:
        """Keep `content` under `key`, whole or not at all."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The means of one compression.

    calibration: samples that stand for what the model will see; None rules out static quantization.
    training: labelled samples to learn from; None rules out fine-tuning.
    teacher: the original's outputs on the training samples, shared by all trainings.
    """

    calibration: Samples | None
    training: Samples | None
    task: Task
    folder: Path
    seed: int
    checkpoints: Checkpoints
    augment: tuple[str, ...] = ()
    teacher: Teacher | None = None
