"""The protocol's datatypes, and the one-to-one names that numpy and ONNX Runtime have for them. No shapes, no HTTP.

Source: Open Inference Protocol v2, "Tensor Data Types"; binary form: its binary tensor data extension.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.generic]


@dataclass(frozen=True, slots=True, kw_only=True)
class Datatype:
    """One datatype: `json_kinds` are the numpy kinds that its JSON values may have."""

    name: str
    dtype: np.dtype[np.generic]
    runtime: str
    json_kinds: str

    @property
    def is_float(self) -> bool:
        """Whether NaN, in JSON null, is a value."""
        return self.dtype.kind == "f"


DATATYPES = tuple(
    Datatype(name=name, dtype=np.dtype(dtype), runtime=f"tensor({runtime})", json_kinds=kinds)
    for name, dtype, runtime, kinds in (
        ("BOOL", "?", "bool", "b"),
        ("UINT8", "<u1", "uint8", "iu"),
        ("UINT16", "<u2", "uint16", "iu"),
        ("UINT32", "<u4", "uint32", "iu"),
        ("UINT64", "<u8", "uint64", "iu"),
        ("INT8", "<i1", "int8", "iu"),
        ("INT16", "<i2", "int16", "iu"),
        ("INT32", "<i4", "int32", "iu"),
        ("INT64", "<i8", "int64", "iu"),
        ("FP16", "<f2", "float16", "iuf"),
        ("FP32", "<f4", "float", "iuf"),
        ("FP64", "<f8", "double", "iuf"),
        ("BYTES", "O", "string", "O"),
    )
)
BY_RUNTIME = {datatype.runtime: datatype for datatype in DATATYPES}


def encode_strings(texts: Iterable[str]) -> bytes:
    """Return each text as UTF-8 behind its length, 4 bytes little-endian."""
    encoded = [text.encode() for text in texts]
    return b"".join(struct.pack("<I", len(text)) + text for text in encoded)


def decode_strings(payload: memoryview) -> list[str]:
    """Return the texts that `encode_strings` made; raises ValueError for a wrong length or what is no UTF-8."""
    texts: list[str] = []
    position = 0
    while position < len(payload):
        if position + 4 > len(payload):
            raise ValueError("the payload ends within a length")
        (length,) = struct.unpack_from("<I", payload, position)
        position += 4 + length
        if position > len(payload):
            raise ValueError(f"element {len(texts)} is said to have {length} bytes, more than there are")
        texts.append(str(payload[position - length : position], "utf-8"))
    return texts


def encode_binary(array: Array) -> bytes:
    """Return `array` in the protocol's binary form: row-major, little-endian."""
    if array.dtype.kind == "O":
        return encode_strings(array.ravel().tolist())
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()


def decode_binary(payload: memoryview, datatype: Datatype) -> Array:
    """Return the elements in `payload`, flat; raises ValueError. The array may share the payload's memory."""
    if datatype.dtype.kind == "O":
        return np.array(decode_strings(payload), dtype=object)
    if len(payload) % datatype.dtype.itemsize:
        raise ValueError(f"{len(payload)} bytes are no whole number of {datatype.name} elements")
    flat: Array = np.frombuffer(payload, dtype=datatype.dtype)
    if datatype.dtype.kind == "b" and flat.view(np.uint8).max(initial=0) > 1:
        raise ValueError("a BOOL is the byte 0 or 1")
    return flat if flat.flags.aligned else flat.copy()  # the runtime reads whole words


def decode_json(values: object, datatype: Datatype) -> Array:
    """Return JSON values, flat or nested, as an array of the nesting's shape.

    null stands for NaN where the datatype has it, as the answer's JSON has it too. Raises ValueError.
    """
    if not isinstance(values, list):
        raise ValueError("expected a list of values")
    if not values:
        return np.empty(0, dtype=datatype.dtype)
    if datatype.dtype.kind == "O":
        return _strings(values)
    found: Array = np.array(values)  # ragged nesting raises ValueError
    if found.dtype.kind == "O" and datatype.is_float:
        found = _with_nan(found)
    elif found.dtype.kind in "fO" and datatype.dtype.kind == "u":
        found = _above_int64(values, found)
    if found.dtype.kind not in datatype.json_kinds:
        raise ValueError(f"holds values that are no {datatype.name}")
    return _narrowed(found, datatype)


def _strings(values: list[object]) -> Array:
    found: Array = np.array(values, dtype=object)
    if not all(type(value) is str for value in found.ravel().tolist()):
        raise ValueError("holds values that are no BYTES (in JSON: strings), or uneven lists")
    return found


def _with_nan(found: Array) -> Array:
    if not all(value is None or type(value) in {int, float} for value in found.ravel().tolist()):
        return found
    return found.astype(np.float64)  # None becomes NaN


def _above_int64(values: list[object], found: Array) -> Array:
    """Return whole numbers that numpy took for floats, because some of them are above the largest int64."""
    whole: Array = np.array(values, dtype=object)
    numbers = whole.ravel().tolist()
    if not all(type(number) is int and 0 <= number < 2**64 for number in numbers):
        return found
    return whole.astype(np.uint64)


def _narrowed(found: Array, datatype: Datatype) -> Array:
    """Return `found` as the datatype's own numbers; raises ValueError for an integer out of its range."""
    if datatype.dtype.kind in "iu":
        limits = np.iinfo(datatype.dtype)  # type: ignore[type-var]
        if int(found.min()) < limits.min or int(found.max()) > limits.max:
            raise ValueError(f"holds values outside {limits.min} to {limits.max}")
    with np.errstate(over="ignore"):  # a float too large becomes infinity, as in the runtime
        return found.astype(datatype.dtype, copy=False)
