"""What a technique may use beside the model: samples, a scratch folder, a seed. Decides nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from frugal_jobs.datasets.samples import Samples


@dataclass(frozen=True, slots=True, kw_only=True)
class Context:
    """The means of one compression.

    calibration: samples that stand for what the model will see; None rules out static quantization.
    training: labelled samples to learn from; None rules out fine-tuning.
    stopping: true once the pod was asked to end; long work then saves and raises Stopped.
    """

    calibration: Samples | None
    training: Samples | None
    folder: Path
    seed: int
    augment: tuple[str, ...] = ()
    stopping: Callable[[], bool] = field(default=lambda: False)
