"""PyTorch models: exported programs (`.pt2`), and state dicts or safetensors with a factory. Read as data, never unpickled.

All become ONNX, the one form in which models travel here. A pickle that would run code is refused by name.
"""

from __future__ import annotations

import importlib
import io
import pickletools
import warnings
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import torch
from torch import Tensor, nn

from frugal.api.common import ModelFormat, ModelSource
from frugal_jobs.errors import InvalidInput, UnusableModel
from frugal_jobs.models.model import Model

FIELD = "spec.model.uri"
MAX_UNPACKED_BYTES = 8 * 2**30
OPSET = 18
HARMLESS_MODULES = frozenset({"torch", "torch._utils", "collections", "torch.serialization"})
DTYPES = {"float32": torch.float32, "float16": torch.float16, "float64": torch.float64, "int32": torch.int32,
          "int64": torch.int64, "bool": torch.bool, "uint8": torch.uint8, "int8": torch.int8}  # fmt: skip


def load(source: ModelSource, path: Path) -> Model:
    """Return the PyTorch model in `path` as ONNX; raises UnusableModel."""
    _check_archive(source, path)
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


def _as_onnx(source: ModelSource, export: Callable[[io.BytesIO], object]) -> Model:
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


def _check_archive(source: ModelSource, path: Path) -> None:
    """Object to archives that unpack to too much, and to pickles that name anything but tensors."""
    if not zipfile.is_zipfile(path):
        if path.read_bytes()[:1] == b"\x80":
            _check_pickle(source, path.read_bytes())
        return
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked_bytes = sum(member.file_size for member in archive.infolist())
            if unpacked_bytes > MAX_UNPACKED_BYTES:
                fault = f"unpacks to {unpacked_bytes} bytes, and at most {MAX_UNPACKED_BYTES} are allowed"
                raise _fault(source, fault, "store the weights alone")
            for member in archive.infolist():
                if member.filename.endswith(".pkl"):
                    _check_pickle(source, archive.read(member))
    except zipfile.BadZipFile as error:
        raise _fault(source, f"is a damaged archive ({error})", "save it again") from error


def _check_pickle(source: ModelSource, content: bytes) -> None:
    named = sorted(_names(content))
    foreign = [name for name in named if name.rpartition(".")[0] not in HARMLESS_MODULES]
    if foreign:
        fault = f"is a pickle that would run code when loaded: it names {', '.join(foreign[:5])}"
        raise _fault(source, fault, "store a state dict (torch.save(model.state_dict())), safetensors or a .pt2")


def _names(content: bytes) -> set[str]:
    """Return every global that a pickle names, read without running it; a damaged one names what comes before."""
    names: set[str] = set()
    strings: list[str] = []
    try:
        for operation, argument, _ in pickletools.genops(content):
            if operation.name in ("GLOBAL", "INST"):
                names.add(str(argument).replace(" ", "."))
            elif operation.name == "STACK_GLOBAL":
                names.add(".".join(strings[-2:]))
            elif isinstance(argument, str):
                strings.append(argument)
    except ValueError:
        names.add("damaged.pickle")
    return names


def _is_exported_program(path: Path) -> bool:
    if not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return any(
            name.endswith(("models/model.json", "serialized_exported_program.json")) for name in archive.namelist()
        )


def _exported_program(source: ModelSource, path: Path) -> torch.export.ExportedProgram:
    try:
        return torch.export.load(path)
    except Exception as error:  # its errors have no common root
        raise _fault(
            source, f"is no exported program that this PyTorch can read ({_first_line(error)})",
            f"export it with torch.export.save of PyTorch {torch.__version__.split('+')[0]} or a little older",
        ) from error  # fmt: skip


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
        raise _fault(source, "is missing, and weights alone say nothing of the network",
                     "name an entry point package.module:function that returns the empty module", field=field, value="''")  # fmt: skip
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
