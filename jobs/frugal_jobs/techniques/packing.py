"""Weights stored in few bits and unpacked by standard ONNX operators, which every runtime folds when it loads.

Real savings on disk and in transfer, none in speed or memory: the runtime computes with the float32 tensor that comes
out. Indices of 2 to 8 bits lie in planes of 1, 2 or 4 bits, several to a byte.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

Array = NDArray[Any]
PLANES = {2: (2,), 3: (2, 1), 4: (4,), 5: (4, 1), 6: (4, 2)}


@dataclass(frozen=True, slots=True, kw_only=True)
class Packed:
    """A tensor as codes: `codebook[codes]` (or the codes themselves) minus `zero`, times `step`, in `shape`.

    codes: unsigned integers below 2**bits, in `shape` or, where blocks share a step, (blocks, values) with filling.
    zero, step: float32, of a shape that spreads over that of the codes.
    """

    codes: Array
    bits: int
    step: Array | None
    shape: tuple[int, ...]
    zero: Array | None = None
    codebook: Array | None = None

    def restored(self) -> Array:
        """Return the float32 tensor, as the operators will."""
        values = self.codes.astype(np.float32) if self.codebook is None else self.codebook[self.codes]
        values = values if self.zero is None else values - self.zero
        values = values if self.step is None else values * self.step
        size = int(np.prod(self.shape))
        return np.asarray(values.reshape(-1)[:size].reshape(self.shape), np.float32)


@dataclass(slots=True)
class Unpacking:
    """Builds the nodes that unpack one tensor, `name`."""

    name: str
    nodes: list[NodeProto] = field(default_factory=list)
    tensors: list[TensorProto] = field(default_factory=list)

    def constant(self, array: Array) -> str:
        name = f"{self.name}/packed{len(self.tensors)}"
        self.tensors.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def node(self, operator: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        output = output or f"{self.name}/unpacked{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, inputs, [output], **attributes))
        return output


def store(proto: ModelProto, name: str, packed: Packed) -> None:
    """Replace the initializer `name` of `proto`, in place, by `packed` and the nodes that unpack it."""
    unpacking = Unpacking(name)
    kind = TensorProto.FLOAT if packed.codebook is None else TensorProto.INT32
    value = unpacking.node("Cast", _codes(unpacking, packed), to=kind)
    if packed.codebook is not None:
        value = unpacking.node("Gather", unpacking.constant(packed.codebook.astype(np.float32)), value, axis=0)
    for operator, operand in (("Sub", packed.zero), ("Mul", packed.step)):
        if operand is not None:
            value = unpacking.node(operator, value, unpacking.constant(operand.astype(np.float32)))
    _shaped(unpacking, value, packed)
    for listed in (proto.graph.initializer, proto.graph.input):
        kept = [entry for entry in listed if entry.name != name]
        del listed[:]
        listed.extend(kept)  # type: ignore[arg-type]
    nodes = [*unpacking.nodes, *proto.graph.node]
    del proto.graph.node[:]
    proto.graph.node.extend(nodes)
    proto.graph.initializer.extend(unpacking.tensors)


def _codes(unpacking: Unpacking, packed: Packed) -> str:
    """Add what yields the codes as integers in the shape that they have."""
    if packed.bits not in PLANES:
        return unpacking.constant(packed.codes.astype(np.uint8))
    per_byte = max(8 // width for width in PLANES[packed.bits])
    flat = np.pad(packed.codes.reshape(-1).astype(np.uint8), (0, -packed.codes.size % per_byte))
    below, parts = 0, []
    for width in PLANES[packed.bits]:
        plane = unpacking.node(
            "Cast",
            _plane(unpacking, (flat >> np.uint8(below)) & np.uint8((1 << width) - 1), width),
            to=TensorProto.INT32,
        )
        weight = unpacking.constant(np.array(1 << below, np.int32))
        parts.append(unpacking.node("Mul", plane, weight))
        below += width
    total = parts[0] if len(parts) == 1 else unpacking.node("Add", *parts)
    total = _first(unpacking, total, packed.codes.size) if flat.size != packed.codes.size else total
    return unpacking.node("Reshape", total, unpacking.constant(np.array(packed.codes.shape, np.int64)))


def _first(unpacking: Unpacking, value: str, count: int) -> str:
    """Add what takes the first `count` of a flat tensor."""
    bounds = [unpacking.constant(np.array([bound], np.int64)) for bound in (0, count)]
    return unpacking.node("Slice", value, *bounds)


def _plane(unpacking: Unpacking, values: NDArray[np.uint8], width: int) -> str:
    """Add what unpacks `values` of `width` bits: the n-th part of the flat array lies in the n-th bits of the bytes."""
    per_byte = 8 // width
    parts = values.reshape(per_byte, -1)
    stored = np.zeros(parts.shape[1], np.uint8)
    for number, part in enumerate(parts):
        stored |= part << np.uint8(number * width)
    source = unpacking.constant(stored)
    modulus = unpacking.constant(np.array(1 << width, np.uint8))
    unpacked = []
    for number in range(per_byte):
        shifted = source
        if number:
            shift = unpacking.constant(np.array(number * width, np.uint8))
            shifted = unpacking.node("BitShift", source, shift, direction="RIGHT")
        unpacked.append(unpacking.node("Mod", shifted, modulus))
    return unpacking.node("Concat", *unpacked, axis=0)


def _shaped(unpacking: Unpacking, value: str, packed: Packed) -> None:
    """Add what drops the filling and gives the tensor its shape and its name."""
    if packed.codes.shape == packed.shape:
        unpacking.node("Identity", value, output=unpacking.name)
        return
    size = int(np.prod(packed.shape))
    if packed.codes.size != size:
        value = unpacking.node("Reshape", value, unpacking.constant(np.array([-1], np.int64)))
        value = _first(unpacking, value, size)
    shape = unpacking.constant(np.array(packed.shape, np.int64))
    unpacking.node("Reshape", value, shape, output=unpacking.name)
