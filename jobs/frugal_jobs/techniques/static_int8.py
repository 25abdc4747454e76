"""Static linear quantization to 8 bits: q = round(x / scale) + zero_point, with ranges seen on calibration samples.

Unsigned activations and signed weights (u8s8), as QDQ nodes: on x86 signed activations or ranges found at run time end
slower than float32 (measured). Jacob et al., arXiv:1712.05877. Which operators stay in float is the runtime's choice.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import onnx
from numpy.typing import NDArray
from onnx import ModelProto
from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static
from onnxruntime.quantization.calibrate import CalibrationDataReader
from onnxruntime.quantization.shape_inference import quant_pre_process

from frugal.api.compression_steps import QuantizeStep
from frugal_jobs.datasets.samples import Samples
from frugal_jobs.models.model import Model
from frugal_jobs.models.weights import with_opset
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.quiet import quiet
from frugal_jobs.techniques.range_calibration import least_squares_ranges
from frugal_jobs.techniques.replaced_weights import weight_errors
from frugal_jobs.techniques.sensitivity import most_sensitive, sensitivities

CALIBRATION_SAMPLES = 256  # more changed nothing on the measured networks
CALIBRATION_BATCH = 32
OLDEST_OPSET = 13  # the first with a scale per channel
METHODS = {
    "minmax": CalibrationMethod.MinMax,
    "entropy": CalibrationMethod.Entropy,
    "percentile": CalibrationMethod.Percentile,
    "mse": CalibrationMethod.MinMax,  # the ranges are then those of range_calibration.py
}
HEAVY = frozenset({"Conv", "ConvTranspose", "Gemm", "MatMul"})


@dataclass(frozen=True, slots=True)
class StaticInt8:
    """Quantizes as `step` says."""

    step: QuantizeStep

    def __call__(self, model: Model, context: Context) -> Model:
        """Return `model` in 8 bits; raises ValueError without calibration samples, and what ONNX Runtime raises."""
        if context.calibration is None:
            raise ValueError("static quantization needs calibration samples")
        with TemporaryDirectory(dir=context.folder) as folder, quiet():
            source = _prepared(model, Path(folder))
            kept = self._kept(source, context.calibration, Path(folder))
            proto = _quantized(source, context.calibration, self.step, Path(folder), kept)
        label = "int8" if self.step.calibrate == "minmax" else f"int8 ({self.step.calibrate})"
        label += "" if self.step.per_channel else " per tensor"
        label += f", {len(kept)} in float" if kept else ""
        notes = (f"most sensitive to rounding, so kept in float: {', '.join(kept)}",) if kept else ()
        step = {"quantize": self.step.model_dump(mode="json", by_alias=True)}
        return model.after(proto, label, step, notes=notes, errors=weight_errors(source.proto, proto))

    def _kept(self, source: Model, samples: Samples, folder: Path) -> list[str]:
        """Return the names of the `step.keep` nodes whose quantization alone changes the outputs most."""
        if not self.step.keep:
            return []
        heavy = [node.name for node in source.proto.graph.node if node.op_type in HEAVY]
        cheap = self.step.model_copy(update={"calibrate": "minmax"})

        def only(name: str) -> Model:
            others = [other for other in heavy if other != name]
            return Model(proto=_quantized(source, samples.take(slice(0, CALIBRATION_BATCH)), cheap, folder, others))

        return most_sensitive(sensitivities(source, heavy, only, samples), self.step.keep)


def _prepared(model: Model, folder: Path) -> Model:
    """Return `model` with its batch norms folded (1.4x without, 2.1x with) and every node named."""
    source, prepared = folder / "source.onnx", folder / "prepared.onnx"
    onnx.save(with_opset(model.proto, OLDEST_OPSET), source)
    quant_pre_process(source, prepared, skip_symbolic_shape=True)
    proto = onnx.load(prepared)
    for number, node in enumerate(proto.graph.node):
        node.name = f"{node.op_type}_{number}"
    return Model(proto=proto)


def _quantized(source: Model, samples: Samples, step: QuantizeStep, folder: Path, kept: list[str]) -> ModelProto:
    prepared, target = folder / "named.onnx", folder / "target.onnx"
    onnx.save(source.proto, prepared)
    fixed_batch = source.inputs[0].shape[0]
    options: dict[str, Any] = {"CalibTensorRangeSymmetric": False}
    if step.calibrate == "mse":
        options["TensorQuantOverrides"] = least_squares_ranges(prepared, _Reader(samples, fixed_batch))
    quantize_static(
        prepared, target, _Reader(samples, fixed_batch), quant_format=QuantFormat.QDQ, per_channel=step.per_channel,
        activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, calibrate_method=METHODS[step.calibrate],
        nodes_to_exclude=kept, extra_options=options,
    )  # fmt: skip
    return onnx.load(target)


class _Reader(CalibrationDataReader):  # type: ignore[misc]
    """Feeds the calibration samples once, in batches that the model takes."""

    def __init__(self, samples: Samples, fixed_batch: int | None) -> None:
        chosen = samples.take(slice(0, CALIBRATION_SAMPLES))
        size = fixed_batch or CALIBRATION_BATCH
        whole = len(chosen) // size * size if fixed_batch else len(chosen)
        self._feeds: Iterator[dict[str, NDArray[Any]]] = chosen.take(slice(0, whole)).batches(size)

    def get_next(self) -> dict[str, NDArray[Any]] | None:
        return next(self._feeds, None)
