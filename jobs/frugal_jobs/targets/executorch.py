"""ExecuTorch (once PyTorch Mobile) on a CPU: `.pte` files whose layers run in XNNPACK, by its own Python runtime.

Its thread pool heeds no setting that Python has: figures are right only in a process that is pinned to one core.
"""

from __future__ import annotations

import sys
import warnings
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

CALIBRATION_FEEDS = 128  # in eager torch each takes milliseconds
STATIC = QuantizeStep(scheme="linear", mode="static", bits=8)
DYNAMIC = QuantizeStep(scheme="linear", mode="dynamic", bits=8)


class ExecuTorch:
    """The target executorch/cpu."""

    name = "executorch/cpu"
    extension = ".pte"
    modules = ("executorch", "torchao")
    runtime_modules = ("torch", "executorch.runtime")

    def forms(self, *, can_calibrate: bool) -> tuple[Form, ...]:
        """Return int8 (2.4x on a small CNN on one core), dynamic int8 (linear layers alone), float32."""
        return (*((STATIC,) if can_calibrate else ()), DYNAMIC, None)

    def convert(
        self, model: Model, forms: Sequence[Form], calibration: list[dict[str, NDArray[Any]]], folder: Path
    ) -> None:
        """Write each form."""
        with redirect_stdout(sys.stderr), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for number, form in enumerate(forms):
                attempt(folder, number, self.extension, lambda form=form: _program(model, form, calibration))

    def runner(self, path: Path, ports: Sequence[Port]) -> ExecuTorchRunner:
        """Return the program in ExecuTorch."""
        return ExecuTorchRunner(path, ports)


def _program(model: Model, form: Form, calibration: list[dict[str, NDArray[Any]]]) -> bytes:
    """Return the content of the file in one form."""
    import torch
    from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
    from executorch.exir import to_edge_transform_and_lower

    from frugal_jobs.models.graph_import import imported

    module: Any = imported(model).module.eval().requires_grad_(False)
    feeds = [tuple(torch.from_numpy(feed[port.name]) for port in model.inputs) for feed in calibration]
    if form is not None:
        module = _quantized(module, form, feeds)
    lowered = to_edge_transform_and_lower(
        torch.export.export(module, feeds[0], strict=True), partitioner=[XnnpackPartitioner()]
    )
    return bytes(lowered.to_executorch().buffer)


def _quantized(module: Any, form: QuantizeStep, feeds: list[tuple[Any, ...]]) -> Any:
    """Return the module in 8 bits, by PT2E; raises ValueError for a form that XNNPACK does not have."""
    import torch
    from executorch.backends.xnnpack.quantizer.xnnpack_quantizer import (
        XNNPACKQuantizer,
        get_symmetric_quantization_config,
    )
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

    if (form.scheme, form.bits) != ("linear", 8) or form.mode not in ("static", "dynamic"):
        raise ValueError(f"ExecuTorch with XNNPACK has no form {form.scheme} {form.mode} in {form.bits} bits")
    dynamic = form.mode == "dynamic"
    config = get_symmetric_quantization_config(is_per_channel=form.per_channel, is_dynamic=dynamic)
    exported = torch.export.export(module, feeds[0], strict=True).module()
    prepared = prepare_pt2e(exported, XNNPACKQuantizer().set_global(config))
    with torch.inference_mode():
        for feed in feeds[: 1 if dynamic else CALIBRATION_FEEDS]:
            prepared(*feed)
    return convert_pt2e(prepared)


class ExecuTorchRunner:
    """A `.pte` file in ExecuTorch."""

    def __init__(self, path: Path, ports: Sequence[Port]) -> None:
        from executorch.runtime import Runtime

        self._program = Runtime.get().load_program(path)  # the method needs it alive
        self._method = self._program.load_method("forward")
        self._names = [port.name for port in ports]

    def run(self, feed: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
        """Return the first output of one batch."""
        import torch

        outputs = self._method.execute([torch.from_numpy(feed[name]) for name in self._names])
        return np.array(outputs[0].numpy())
