"""PyTorch models: exported programs (`.pt2`), state dicts, safetensors. Loaded only after torch_safety said yes.

All become ONNX, the one form in which models travel here.
"""

from __future__ import annotations

import importlib
import io
import os
import warnings
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from frugal.api.common import ModelFormat, ModelSource
from frugal_jobs.errors import InvalidInput, UnusableModel
from frugal_jobs.models import torch_safety
from frugal_jobs.models.model import Model

FIELD = "spec.model.uri"
OPSET = 18
FORCE_VARIABLE = "TORCH_FORCE_WEIGHTS_ONLY_LOAD"
DTYPES = {"float32": torch.float32, "float16": torch.float16, "float64": torch.float64, "int32": torch.int32,
          "int64": torch.int64, "bool": torch.bool, "uint8": torch.uint8, "int8": torch.int8}  # fmt: skip


def load(source: ModelSource, path: Path) -> Model:
    """Return the PyTorch model in `path` as ONNX; raises UnusableModel."""
    _check(source, path)
    if _is_exported_program(path):
        program = _exported_program(source, path)
        return _as_onnx(source, lambda target: torch.onnx.export(program, (), target, **_options()))
    module = _module(source, path)
    examples, dynamic = _examples(source)
    export = lambda target: torch.onnx.export(  # noqa: E731
        module, examples, target, input_names=list(source.inputs), dynamic_shapes=dynamic, **_options()
    )
    return _as_onnx(source, export)


def _options() -> dict[str, Any]:
    return {"external_data": False, "verbose": False, "opset_version": OPSET, "optimize": True}


def _as_onnx(source: ModelSource, export: Callable[[Any], object]) -> Model:
    target = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            export(target)
        except Exception as error:  # the exporter's errors have no common root
            raise _fault(
                source, f"cannot be exported to ONNX ({_first_line(error)})", "export it to ONNX yourself, or mend it"
            ) from error
    return Model(proto=onnx.load_from_string(target.getvalue()))


def _fault(source: ModelSource, fault: str, remedy: str, *, field: str = FIELD, value: object = None) -> InvalidInput:
    return UnusableModel(field=field, value=value or source.uri, fault=fault, remedy=remedy)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _check(source: ModelSource, path: Path) -> None:
    try:
        torch_safety.check(path.read_bytes())
    except torch_safety.UnsafeFile as error:
        raise _fault(source, error.fault, error.remedy) from error


def _is_exported_program(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(
            name.endswith(("models/model.json", "serialized_exported_program.json")) for name in archive.namelist()
        )


def _exported_program(source: ModelSource, path: Path) -> torch.export.ExportedProgram:
    try:
        with _weights_only():
            return torch.export.load(path)
    except Exception as error:  # its errors have no common root
        raise _fault(
            source, f"is no exported program that this PyTorch can read ({_first_line(error)})",
            f"export it with torch.export.save of PyTorch {torch.__version__.split('+')[0]} or a little older",
        ) from error  # fmt: skip


@contextmanager
def _weights_only() -> Iterator[None]:
    """Keep torch from falling back to unpickling; a variable of the environment is the only way to tell it."""
    before = os.environ.get(FORCE_VARIABLE)
    os.environ[FORCE_VARIABLE] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ[FORCE_VARIABLE]
        else:
            os.environ[FORCE_VARIABLE] = before


def _module(source: ModelSource, path: Path) -> nn.Module:
    """Return the factory's module with the weights of the file."""
    weights = _weights(source, path)
    module = _made(source)
    try:
        module.load_state_dict(weights)
    except (RuntimeError, TypeError) as error:
        fault = f"does not fit what {source.factory} makes ({' '.join(str(error).split())[:300]})"
        raise _fault(source, fault, "name the factory that the weights were trained with") from error
    return module.eval()


def _weights(source: ModelSource, path: Path) -> dict[str, Tensor]:
    try:
        if source.format is ModelFormat.SAFETENSORS or path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        found = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # unpickling and safetensors raise what they like
        raise _fault(source, f"holds no weights that can be read safely ({_first_line(error)})",
                     "store torch.save(model.state_dict(), ...) or safetensors") from error  # fmt: skip
    if not isinstance(found, dict) or not all(isinstance(tensor, Tensor) for tensor in found.values()):
        raise _fault(source, "holds something else than a state dict", "store torch.save(model.state_dict(), ...)")
    return found


def _made(source: ModelSource) -> nn.Module:
    """Return the empty module of the factory, which comes from the image, not from the file."""
    field = "spec.model.factory"
    if not source.factory:
        remedy = "name an entry point package.module:function that makes the module"
        raise _fault(source, "is missing, and weights say nothing of the network", remedy, field=field, value="''")
    name, _, function = source.factory.partition(":")
    try:
        module = getattr(importlib.import_module(name), function)()
    except (ImportError, AttributeError, TypeError) as error:
        raise _fault(source, f"cannot be used ({_first_line(error)})", "install it in the pod's image",
                     field=field, value=source.factory) from error  # fmt: skip
    if not isinstance(module, nn.Module):
        raise _fault(
            source, f"returns {type(module).__name__}", "return a torch.nn.Module", field=field, value=source.factory
        )
    return module


def _examples(source: ModelSource) -> tuple[tuple[Tensor, ...], tuple[dict[int, Any], ...]]:
    """Return one example per input, and which of their sizes vary."""
    if not source.inputs:
        raise _fault(source, "is empty, and weights do not say what the network takes",
                     "give each input's name and shape, such as {images: {shape: [-1, 1, 28, 28]}}",
                     field="spec.model.inputs", value="{}")  # fmt: skip
    examples, dynamic = [], []
    for described in source.inputs.values():
        sizes = [2 if size < 0 else size for size in described.shape]
        examples.append(torch.zeros(sizes, dtype=DTYPES[described.dtype]))
        dynamic.append({axis: torch.export.Dim.AUTO for axis, size in enumerate(described.shape) if size < 0})
    return tuple(examples), tuple(dynamic)
