"""LiteRT (once TensorFlow Lite) on a CPU: `.tflite` files by litert-torch and ai-edge-quantizer, run by ai-edge-litert.

Inputs and outputs stay float32 in every form, so that nothing changes for the caller; the graph quantizes inside.
Batch size is fixed: LiteRT plans its memory for one shape.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugal.api.compression_steps import QuantizeStep
from frugal_jobs.models.model import Model, Port
from frugal_jobs.targets.built import Form
from frugal_jobs.targets.conversion import attempt

SIGNATURE = "serving_default"
STATIC = QuantizeStep(scheme="linear", mode="static", bits=8)
DYNAMIC = QuantizeStep(scheme="linear", mode="dynamic", bits=8)
WEIGHTS4 = QuantizeStep(scheme="linear", mode="weights", bits=4)
FLOAT16 = QuantizeStep(scheme="float16", bits=16)


class LiteRt:
    """The target litert/cpu."""

    name = "litert/cpu"
    extension = ".tflite"
    modules = ("ai_edge_litert", "ai_edge_quantizer", "litert_torch")
    runtime_modules = ("ai_edge_litert.interpreter",)

    def forms(self, *, can_calibrate: bool) -> tuple[Form, ...]:
        """Return int8 (2.8x on a small CNN), dynamic int8 (1.7x), float16 (half the size, 1x), float32."""
        return (*((STATIC,) if can_calibrate else ()), DYNAMIC, FLOAT16, None)

    def convert(
        self, model: Model, forms: Sequence[Form], calibration: list[dict[str, NDArray[Any]]], folder: Path
    ) -> None:
        """Write each form; the float32 file once, since the others are made from it."""
        plain = folder / f"plain{self.extension}"
        with redirect_stdout(sys.stderr):
            try:
                _export(model, calibration[0], plain)
            except Exception as error:  # torch.export and the MLIR passes have no common error
                reason = (str(error).strip().splitlines() or [type(error).__name__])[0][:300]
                for number in range(len(forms)):
                    (folder / f"{number}.error").write_text(reason)
                return
            feeds = [_numbered(model, feed) for feed in calibration]
            for number, form in enumerate(forms):
                attempt(folder, number, self.extension, lambda form=form: _formed(plain, form, feeds))

    def runner(self, path: Path, ports: Sequence[Port]) -> LiteRtRunner:
        """Return the file in LiteRT on one thread."""
        return LiteRtRunner(path, ports)


def _export(model: Model, feed: dict[str, NDArray[Any]], path: Path) -> None:
    import litert_torch
    import torch

    from frugal_jobs.models.graph_import import imported

    examples = tuple(torch.from_numpy(feed[port.name]) for port in model.inputs)
    _keep_pads_in_place()
    module = imported(model).module.eval().requires_grad_(False)
    litert_torch.convert(module, examples).export(str(path))


def _keep_pads_in_place() -> None:
    """Teach litert-torch that zeros can be put around images whose channels are last.

    Without this each padded convolution lies between two transpositions, which cost as much as itself in int8.
    """
    import torch
    from litert_torch._convert.fx_passes.optimize_layout_transposes_pass import layout_rewrite

    for operator in (torch.ops.aten.constant_pad_nd.default, torch.ops.aten.pad.default):
        layout_rewrite.rewriters.register(operator)(_pad_channels_last)


def _pad_channels_last(node: Any) -> None:
    """Rewrite pads of (width, height), the last axis first, to (channels, width, height)."""
    node.args = (node.args[0], [0, 0, *node.args[1]], *node.args[2:])


def _numbered(model: Model, feed: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Return a feed by the names that the converter gives: args_0, args_1, ..."""
    return {f"args_{number}": feed[port.name] for number, port in enumerate(model.inputs)}


def _formed(plain: Path, form: Form, feeds: list[dict[str, NDArray[Any]]]) -> bytes:
    """Return the content of the file in one form."""
    if form is None:
        return plain.read_bytes()
    from ai_edge_quantizer import quantizer

    making = quantizer.Quantizer(str(plain))
    _ask_for(making, form)
    calibrated = making.calibrate({SIGNATURE: feeds}) if making.need_calibration else None
    content = making.quantize(calibrated).quantized_model
    assert content is not None
    return bytes(content)


def _ask_for(making: Any, form: QuantizeStep) -> None:
    """Load the recipe of a form; raises ValueError for one that LiteRT does not have."""
    from ai_edge_quantizer import qtyping, recipe

    operations, algorithms = recipe.TFLOperationName, recipe.AlgorithmName
    recipes = {
        ("linear", "static", 8): recipe.static_wi8_ai8, ("linear", "dynamic", 8): recipe.dynamic_wi8_afp32,
        ("linear", "weights", 8): recipe.weight_only_wi8_afp32, ("linear", "weights", 4): recipe.weight_only_wi4_afp32,
    }  # fmt: skip
    if form.scheme == "float16":
        weights = qtyping.TensorQuantizationConfig(num_bits=16, dtype=qtyping.TensorDataType.FLOAT)
        config = qtyping.OpQuantizationConfig(
            weight_tensor_config=weights, compute_precision=qtyping.ComputePrecision.FLOAT
        )
        making.update_quantization_recipe(
            regex=".*", operation_name=operations.ALL_SUPPORTED, algorithm_key=algorithms.FLOAT_CASTING,
            op_config=config,
        )  # fmt: skip
        return
    chosen = recipes.get((form.scheme, form.mode, form.bits))
    if chosen is None:
        raise ValueError(f"LiteRT has no form {form.scheme} {form.mode} in {form.bits} bits")
    making.load_quantization_recipe(chosen())
    for edge in (operations.INPUT, operations.OUTPUT):
        making.update_quantization_recipe(regex=".*", operation_name=edge, algorithm_key=algorithms.NO_QUANTIZE)


class LiteRtRunner:
    """A `.tflite` file in LiteRT with its XNNPACK delegate, on one thread."""

    def __init__(self, path: Path, ports: Sequence[Port]) -> None:
        from ai_edge_litert.interpreter import Interpreter

        self._interpreter = Interpreter(model_path=str(path), num_threads=1)
        self._interpreter.allocate_tensors()
        signature = self._interpreter.get_signature_runner(SIGNATURE)
        takes, gives = signature.get_input_details(), signature.get_output_details()
        names = sorted(takes, key=_position)
        self._inputs = [
            (port.name, takes[name]["index"], takes[name]["dtype"]) for port, name in zip(ports, names, strict=True)
        ]
        self._output = gives[min(gives, key=_position)]["index"]

    def run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the first output of one batch."""
        for name, index, dtype in self._inputs:
            self._interpreter.set_tensor(index, feed[name].astype(dtype, copy=False))
        self._interpreter.invoke()
        return np.asarray(self._interpreter.get_tensor(self._output))


def _position(name: str) -> int:
    """Return 2 for `args_2`."""
    return int(name.rpartition("_")[2])
