"""Which array of a file feeds which input of the model, and how its shape and scale are made to fit. Reads no file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugal.api.common import ModelSource, TensorShape
from frugal_jobs.datasets.faults import UnreadableFile
from frugal_jobs.datasets.samples import Column
from frugal_jobs.models.model import Port, Runnable

PIXEL_SCALE = 1 / 255  # bytes are pixels, and networks are trained on [0, 1] unless model.inputs says otherwise


def columns_for(model: Runnable, arrays: Mapping[str, NDArray[Any]], described: ModelSource) -> tuple[Column, ...]:
    """Return one column per input of `model`; raises UnreadableFile."""
    names = [port.name for port in model.inputs]
    unknown = sorted(set(described.inputs) - set(names))
    if unknown:
        fault = f"model.inputs names {', '.join(unknown)}, and the model has {', '.join(names)}"
        raise UnreadableFile(fault=fault, remedy="name the model's own inputs in spec.model.inputs")
    return tuple(_column(port, _array_for(port, arrays, names), described) for port in model.inputs)


def _array_for(port: Port, arrays: Mapping[str, NDArray[Any]], names: list[str]) -> NDArray[Any]:
    if port.name in arrays:
        return arrays[port.name]
    if len(names) == 1 and "x" in arrays:
        return arrays["x"]
    found = ", ".join(sorted(arrays)) or "nothing"
    remedy = f"name the arrays like the inputs: {', '.join(names)}" + (", or x" if len(names) == 1 else "")
    raise UnreadableFile(fault=f"holds no array for input {port.name!r} (found {found})", remedy=remedy)


def _column(port: Port, array: NDArray[Any], described: ModelSource) -> Column:
    kind = array.dtype.kind
    if kind not in "fiub":
        raise UnreadableFile(fault=f"{port.name!r} holds {array.dtype}", remedy="store numbers")
    is_float_input = np.dtype(port.dtype).kind == "f"
    if kind == "f" and not is_float_input:
        fault = f"{port.name!r} holds {array.dtype} and the model takes {port.dtype}"
        raise UnreadableFile(fault=fault, remedy=f"store {port.dtype}")
    asked = described.inputs.get(port.name)
    shape = _wanted_shape(port, asked)
    return Column(
        name=port.name,
        raw=fitted(array, shape, port.name),
        dtype=port.dtype,
        scale=_scale(array, asked, is_float_input),
    )


def _wanted_shape(port: Port, asked: TensorShape | None) -> tuple[int | None, ...]:
    if asked is None:
        return port.sample_shape
    sizes = tuple(None if size < 0 else size for size in asked.shape[1:])
    if len(sizes) != len(port.sample_shape):
        fault = f"model.inputs gives {port.name!r} rank {len(asked.shape)}, and the model has {len(port.shape)}"
        raise UnreadableFile(fault=fault, remedy="mend spec.model.inputs")
    return tuple(own if own is not None else size for own, size in zip(port.sample_shape, sizes, strict=True))


def _scale(array: NDArray[Any], asked: TensorShape | None, is_float_input: bool) -> float:
    if asked is not None and "scale" in asked.model_fields_set:
        return asked.scale
    return PIXEL_SCALE if array.dtype == np.uint8 and is_float_input else 1.0


def fitted(array: NDArray[Any], shape: tuple[int | None, ...], name: str) -> NDArray[Any]:
    """Return `array` (samples, ...) with samples of `shape`: as it is, with an axis of 1 added, or unflattened.

    Raises UnreadableFile when it cannot be.
    """
    if array.ndim and _agrees(array.shape[1:], shape):
        return array
    if array.ndim == len(shape):
        for axis, size in enumerate(shape):
            widened = (*array.shape[1 : axis + 1], 1, *array.shape[axis + 1 :])
            if size in (1, None) and _agrees(widened, shape):
                return array.reshape(len(array), *widened)
    if None not in shape and array.ndim == 2 and array.shape[1] == math.prod(size or 0 for size in shape):
        return array.reshape(len(array), *(size or 0 for size in shape))
    wanted = " x ".join("any" if size is None else str(size) for size in shape) or "a number"
    found = " x ".join(map(str, array.shape[1:])) or "a number"
    raise UnreadableFile(
        fault=f"samples of {name!r} are {found} and the model takes {wanted}", remedy="reshape the data"
    )


def _agrees(found: tuple[int, ...], wanted: tuple[int | None, ...]) -> bool:
    return len(found) == len(wanted) and all(
        size is None or size == own for own, size in zip(found, wanted, strict=True)
    )
