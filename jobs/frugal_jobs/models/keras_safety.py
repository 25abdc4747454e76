"""What a Keras file may hold: judged from its model_config before Keras or HDF5 loads anything else. Loads nothing.

Keras builds whatever a file names: Lambda layers run code, other layers read files or unpickle. Here only layers
that this package itself can read pass.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py

from frugal.errors import FrugalError

ALLOWED_LAYERS = frozenset({
    "Activation", "ActivityRegularization", "Add", "AlphaDropout", "Average", "AveragePooling2D", "BatchNormalization",
    "Concatenate", "Conv2D", "Dense", "DepthwiseConv2D", "Dropout", "ELU", "Embedding", "Flatten", "Functional",
    "GaussianDropout", "GaussianNoise", "GlobalAveragePooling2D", "GlobalMaxPooling2D", "GRU", "InputLayer",
    "LayerNormalization", "LeakyReLU", "LSTM", "MaxPooling2D", "Maximum", "Minimum", "Model", "Multiply", "Permute",
    "RandomFlip", "RandomRotation", "RandomTranslation", "RandomZoom", "ReLU", "Rescaling", "Reshape",
    "SeparableConv2D", "Sequential", "Softmax", "SpatialDropout2D", "Subtract", "ZeroPadding2D",
})  # fmt: skip
OTHER_CLASSES = ("keras.initializers", "keras.regularizers", "keras.constraints", "keras.optimizers", "keras.losses",
                 "keras.metrics", "keras.src.initializers", "keras.src.regularizers", "keras.src.constraints",
                 "keras.src.optimizers", "keras.src.losses", "keras.src.metrics")  # fmt: skip
BUILT_IN_TYPES = frozenset({"__tensor__", "__keras_tensor__", "__ellipsis__", "__tuple__", "__numpy__", "DTypePolicy"})
MAX_CONFIG_BYTES = 16 << 20
MAX_UNPACKED_BYTES = 2**31 - 1
MAX_OBJECTS = 100_000
CODE = ("__lambda__", "Lambda", "__typespec__")


class UnsafeKeras(FrugalError):
    """A Keras file that is not loaded: the `fault`, and the `remedy`."""

    def __init__(self, *, fault: str, remedy: str) -> None:
        self.fault, self.remedy = fault, remedy
        super().__init__(f"{fault}; {remedy}")


def check(path: Path) -> None:
    """Return when the file at `path` may be loaded; raises UnsafeKeras."""
    if zipfile.is_zipfile(path):
        config = _archive_config(path)
    elif h5py.is_hdf5(path):
        _check_hdf5(path)
        config = _hdf5_config(path)
    else:
        raise UnsafeKeras(fault="is neither a .keras archive nor an HDF5 file", remedy="save it with model.save(...)")
    _check_config(config)


def _archive_config(path: Path) -> Any:
    with zipfile.ZipFile(path) as archive:
        members = {member.filename: member for member in archive.infolist()}
        unknown = sorted(set(members) - {"config.json", "metadata.json", "model.weights.h5"})
        if unknown:
            raise UnsafeKeras(
                fault=f"holds {unknown[0][:80]!r}, which no plain model needs", remedy="save it with model.save(...)"
            )
        if sum(member.file_size for member in members.values()) > MAX_UNPACKED_BYTES:
            raise UnsafeKeras(fault="unpacks to over 2 GiB", remedy="store the weights uncompressed and smaller")
        if "config.json" not in members or members["config.json"].file_size > MAX_CONFIG_BYTES:
            raise UnsafeKeras(fault="has no config.json of a sane size", remedy="save it with model.save(...)")
        if "model.weights.h5" not in members:
            raise UnsafeKeras(fault="has no weights", remedy="save it with model.save(...)")
        return _parsed(archive.read("config.json"))


def _hdf5_config(path: Path) -> Any:
    with h5py.File(path, "r") as file:
        config = file.attrs.get("model_config")
    if config is None:
        raise UnsafeKeras(
            fault="has no model_config: it holds weights alone", remedy="save the whole model with model.save(...)"
        )
    return _parsed(config)


def _parsed(config: str | bytes) -> Any:
    if len(config) > MAX_CONFIG_BYTES:
        raise UnsafeKeras(fault="has a config of over 16 MiB", remedy="save it with model.save(...)")
    try:
        return json.loads(config)
    except (ValueError, RecursionError) as error:
        raise UnsafeKeras(fault="has a config that is no JSON", remedy="save it with model.save(...)") from error


def _check_hdf5(path: Path) -> None:
    """Refuse links and data that lie in other files, and more than fits."""
    try:
        with h5py.File(path, "r") as file:
            total = sum(_bytes_of(group) for group in _groups(file))
    except (OSError, RuntimeError, KeyError) as error:
        raise UnsafeKeras(fault=f"is a damaged HDF5 file ({error})", remedy="save the model again") from error
    if total > MAX_UNPACKED_BYTES:
        raise UnsafeKeras(fault="unpacks to over 2 GiB", remedy="use a smaller model")


def _groups(group: Any, seen: int = 0) -> Iterator[Any]:
    """Yield `group` and all groups in it; hard links alone are followed."""
    if seen > 32:
        raise UnsafeKeras(fault="nests groups more than 32 deep", remedy="save the model again")
    for name in group:
        if not isinstance(group.get(name, getlink=True), h5py.HardLink):
            raise UnsafeKeras(fault=f"links {name[:80]!r} to another place", remedy="save the model into one file")
    yield group
    for name in group:
        if isinstance(group[name], h5py.Group):
            yield from _groups(group[name], seen + 1)


def _bytes_of(group: Any) -> int:
    total = 0
    for name in group:
        dataset = group[name]
        if not isinstance(dataset, h5py.Dataset):
            continue
        if dataset.external or dataset.is_virtual:
            raise UnsafeKeras(fault=f"keeps {name[:80]!r} in another file", remedy="save the model into one file")
        total += int(dataset.size) * int(dataset.dtype.itemsize)
    return total


def _check_config(config: Any) -> None:
    if not isinstance(config, dict) or config.get("class_name") not in ("Functional", "Model", "Sequential"):
        name = str(config.get("class_name"))[:80] if isinstance(config, dict) else type(config).__name__
        raise UnsafeKeras(
            fault=f"is a {name}, whose class only its author's code has",
            remedy="rebuild it as a Functional or Sequential model, or export it to ONNX",
        )
    for count, described in enumerate(_objects({key: config[key] for key in config if key != "compile_config"})):
        if count > MAX_OBJECTS:
            raise UnsafeKeras(fault=f"describes over {MAX_OBJECTS:,} objects", remedy="use a smaller model")
        _check_object(described)


def _objects(config: Any) -> Iterator[dict[str, Any]]:
    """Yield every object that names a class or a module; an explicit stack, since a hostile file may nest deeply."""
    waiting = [config]
    while waiting:
        one = waiting.pop()
        if isinstance(one, dict):
            if "class_name" in one or "registered_name" in one:
                yield one
            waiting.extend(one.values())
        elif isinstance(one, list):
            waiting.extend(one)


def _check_object(described: dict[str, Any]) -> None:
    name, module = described.get("class_name"), described.get("module")
    if name in CODE:
        raise UnsafeKeras(
            fault="has a Lambda layer, which is code and is never run here",
            remedy="replace it by a layer of Keras (Rescaling, Activation, Reshape, ...), or export the model to ONNX",
        )
    # Keras 2 writes no module; Keras 3 names keras or keras.layers, and registered_name for classes of one's own.
    registered = described.get("registered_name")
    own = isinstance(registered, str) and ">" in registered and registered.split(">")[0] not in ("keras", "builtins")
    if module is not None and (not isinstance(module, str) or module.partition(".")[0] not in ("keras", "builtins")):
        own = True
    if isinstance(module, str) and module.startswith(OTHER_CLASSES) and not own:
        return
    if name in BUILT_IN_TYPES and not own:
        return
    if own or name not in ALLOWED_LAYERS | _plain_helpers(module):
        raise UnsafeKeras(
            fault=f"has a {str(registered or name if own else name)[:80]}, which is no layer that is read here",
            remedy=f"use layers among {', '.join(sorted(ALLOWED_LAYERS))}, or export the model to ONNX",
        )


def _plain_helpers(module: object) -> frozenset[str]:
    """Return the names of initializers and the like that Keras 2 writes without a module."""
    if module is not None:
        return frozenset()
    return frozenset({
        "Constant", "GlorotNormal", "GlorotUniform", "HeNormal", "HeUniform", "Identity", "L1", "L1L2", "L2",
        "LecunNormal", "LecunUniform", "MaxNorm", "NonNeg", "Ones", "Orthogonal", "RandomNormal", "RandomUniform",
        "TruncatedNormal", "UnitNorm", "VarianceScaling", "Zeros",
    })  # fmt: skip
