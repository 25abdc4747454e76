"""Conversion in a process of its own: an abort in a compiler costs a candidate, and its memory is given back.

    python -m frugal_jobs.targets.conversion FOLDER

FOLDER holds order.json, model.onnx and calibration.npz; the artifacts are written beside them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel

from frugal.api.compression_steps import QuantizeStep
from frugal.errors import FrugalError
from frugal_jobs.datasets.samples import Samples
from frugal_jobs.models.loading import from_bytes
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import blank_feed
from frugal_jobs.targets.built import Built, Form, RuntimeTarget

TIMEOUT_SECONDS = 1800.0
CALIBRATION_SAMPLES = 256  # more changed nothing on the measured networks
QUIET = {
    "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "",
}  # fmt: skip
ORDER, MODEL, CALIBRATION = "order.json", "model.onnx", "calibration.npz"


class ConversionFailed(FrugalError):
    """A target could not be made from this model; `reason` is what its tools said."""

    def __init__(self, *, target: str, reason: str) -> None:
        self.target, self.reason = target, reason
        super().__init__(f"{target} cannot be made from this model: {reason}")


class Order(BaseModel):
    """What to convert to."""

    target: str
    forms: list[QuantizeStep | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """What a conversion may use: where to work, and samples that stand for what the model will see."""

    folder: Path
    calibration: Samples | None
    timeout_seconds: float = TIMEOUT_SECONDS


def build(target: RuntimeTarget, model: Model, forms: list[Form], means: Means) -> list[Built | ConversionFailed]:
    """Return one artifact for each form, or why there is none; `model` is a float graph.

    One process makes all forms, since importing a converter takes longer than most conversions.
    """
    with TemporaryDirectory(dir=means.folder) as name:
        folder = Path(name)
        _write_order(folder, target, model, forms, means.calibration)
        said = _run(folder, means.timeout_seconds)
        return [_collected(folder, number, target, model, form, said) for number, form in enumerate(forms)]


def _write_order(
    folder: Path, target: RuntimeTarget, model: Model, forms: list[Form], calibration: Samples | None
) -> None:
    (folder / ORDER).write_text(Order(target=target.name, forms=forms).model_dump_json(by_alias=True))
    (folder / MODEL).write_bytes(model.content)
    feed: dict[str, NDArray[Any]] = blank_feed(model)
    if calibration is not None:
        feed = calibration.at(slice(0, CALIBRATION_SAMPLES))
    np.savez(folder / CALIBRATION, **feed)  # type: ignore[arg-type]


def _run(folder: Path, timeout_seconds: float) -> str:
    """Return why the process gave no answer; empty when it ended well."""
    command = [sys.executable, "-m", "frugal_jobs.targets.conversion", str(folder)]
    try:
        ended = subprocess.run(
            command, check=False, capture_output=True, text=True, env=os.environ | QUIET, timeout=timeout_seconds
        )
    except subprocess.TimeoutExpired:
        return f"the converter took over {timeout_seconds:.0f} s"
    if ended.returncode == 0:
        return ""
    lines = ended.stderr.strip().splitlines()
    return f"the converter ended with status {ended.returncode}: {lines[-1][-300:] if lines else 'it said nothing'}"


def _collected(
    folder: Path, number: int, target: RuntimeTarget, model: Model, form: Form, said: str
) -> Built | ConversionFailed:
    path, error = folder / f"{number}{target.extension}", folder / f"{number}.error"
    if path.exists():
        content = path.read_bytes()
        return Built(target=target.name, extension=target.extension, content=content, source=model, form=form)
    reason = error.read_text() if error.exists() else said or "the converter wrote nothing"
    return ConversionFailed(target=target.name, reason=reason)


def attempt(folder: Path, number: int, extension: str, make: Any) -> None:
    """Write what `make` returns as artifact `number`, or why it failed."""
    try:
        content = bytes(make())
    except Exception as error:  # compilers raise what they like
        lines = str(error).strip().splitlines() or [type(error).__name__]
        (folder / f"{number}.error").write_text(lines[0][:300])
        return
    (folder / f"{number}{extension}").write_bytes(content)


def sample_feeds(model: Model, arrays: dict[str, NDArray[Any]]) -> list[dict[str, NDArray[Any]]]:
    """Return the samples as feeds of the size that the artifact takes: one, or the model's fixed batch."""
    rows = model.inputs[0].shape[0] or 1
    count = len(next(iter(arrays.values()))) // rows
    return [
        {name: array[number * rows : (number + 1) * rows] for name, array in arrays.items()} for number in range(count)
    ]


def main(folder: Path) -> int:
    """Carry out the order in `folder`."""
    from frugal_jobs.targets.registry import RUNTIME_TARGETS

    order = Order.model_validate_json((folder / ORDER).read_bytes())
    model = from_bytes((folder / MODEL).read_bytes(), place=str(folder / MODEL))
    with np.load(folder / CALIBRATION) as archive:
        arrays = {name: archive[name] for name in archive.files}
    RUNTIME_TARGETS[order.target].convert(model, order.forms, sample_feeds(model, arrays), folder)
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
