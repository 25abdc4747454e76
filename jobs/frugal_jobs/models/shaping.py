"""The ONNX operators that move values and compute nothing: reshape, transpose, slice, gather and the like."""

from __future__ import annotations

import numpy as np
import torch
from onnx import NodeProto
from torch import fx, nn
from torch.nn import functional

from frugal_jobs.models import tensor_functions as tensors
from frugal_jobs.models.graph_import import Importer, UnsupportedOperator
from frugal_jobs.models.operands import Attributes, constant_at, fill, integers_at, value_at
from frugal_jobs.models.trainable import Slot, array_of


def flatten(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """All axes after the batch become one."""
    del number
    if int(attributes.get("axis", 1)) != 1:
        raise UnsupportedOperator(operator=node.op_type, detail="not after the batch")
    return importer.call(torch.flatten, importer.values[node.input[0]], 1)


def reshape(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """A reshape to (batch, rest) is a flatten, whatever width it names: pruning changes that width."""
    source = importer.values[node.input[0]]
    target = importer.constants.get(node.input[1])
    if target is None:
        return importer.call(tensors.reshaped, source, importer.values[node.input[1]])
    sizes = [int(size) for size in target]
    if _is_flatten(importer, node, sizes):
        importer.flattens.append(number)
        return importer.call(torch.flatten, source, 1)
    if attributes.get("allowzero", 0):
        raise UnsupportedOperator(operator=node.op_type, detail="with allowzero")
    return importer.call(tensors.reshaped, source, sizes)


def _is_flatten(importer: Importer, node: NodeProto, sizes: list[int]) -> bool:
    shape = importer.shapes.get(node.input[0])
    if shape is None or len(sizes) != 2 or len(shape) < 2:
        return False
    rest = int(np.prod(shape[1:]))
    return (sizes[0], sizes[1]) in {(0, -1), (-1, rest), (0, rest), (1, rest), (1, -1)}


def transpose(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """The axes in another order; backwards where none is given."""
    del number
    order = attributes.get("perm") or list(reversed(range(importer.rank(node.input[0]) or 2)))
    return importer.call(torch.permute, importer.values[node.input[0]], [int(axis) for axis in order])


def squeeze(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """Axes of size 1 go; which ones must be said."""
    del number
    axes = integers_at(importer, node, attributes, "axes", 1)
    if axes is None:
        raise UnsupportedOperator(operator=node.op_type, detail="without axes")
    return importer.call(torch.squeeze, importer.values[node.input[0]], axes)


def unsqueeze(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """Axes of size 1 come."""
    del number
    axes = integers_at(importer, node, attributes, "axes", 1) or []
    return importer.call(tensors.unsqueezed, importer.values[node.input[0]], axes)


def concat(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """Tensors one after the other along an axis."""
    parts = [value_at(importer, number, node, position) for position in range(len(node.input))]
    return importer.call(torch.cat, parts, int(attributes["axis"]))


def slices(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """A part along some axes, forwards."""
    del number
    starts, ends = (integers_at(importer, node, attributes, name, at) for name, at in (("starts", 1), ("ends", 2)))
    axes = integers_at(importer, node, attributes, "axes", 3)
    steps = integers_at(importer, node, {}, "steps", 4)
    if starts is None or ends is None or any(step < 1 for step in steps or []):
        raise UnsupportedOperator(operator=node.op_type, detail="backwards")
    return importer.call(tensors.sliced, importer.values[node.input[0]], starts, ends, axes, steps)


def gather(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """Chosen slices; from a constant table they are embeddings, which can be trained."""
    axis = int(attributes.get("axis", 0))
    if node.input[0] in importer.constants and axis == 0:  # a table of embeddings
        table = importer.constants[node.input[0]]
        layer = nn.Embedding(*table.shape) if table.ndim == 2 else None
        if layer is not None:
            fill(layer, weight=table)
            importer.slots.append(Slot(number, 0, lambda: array_of(layer.weight)))
            return importer.layer(layer, number, importer.values[node.input[1]])
    return importer.call(
        tensors.gathered, value_at(importer, number, node, 0), value_at(importer, number, node, 1), axis
    )


def cast(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """Another type, of those that torch and ONNX share."""
    del number
    kinds = {1: torch.float32, 6: torch.int32, 7: torch.int64, 9: torch.bool, 11: torch.float64}
    kind = kinds.get(int(attributes["to"]))
    if kind is None:
        raise UnsupportedOperator(operator=node.op_type, detail=f"to type {attributes['to']}")
    return importer.call(tensors.cast, importer.values[node.input[0]], kind)


def pad(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """More around the edges: a constant, a reflection or the edge itself."""
    del number
    pads, value = integers_at(importer, node, attributes, "pads", 1), constant_at(importer, node, 2)
    mode = bytes(attributes.get("mode", b"constant")).decode()
    if pads is None or (len(node.input) > 3 and node.input[3]) or mode not in ("constant", "reflect", "edge"):
        raise UnsupportedOperator(operator=node.op_type, detail=mode)
    rank = len(pads) // 2
    flat = [size for axis in reversed(range(rank)) for size in (pads[axis], pads[axis + rank])]
    while mode != "constant" and flat[-2:] == [0, 0]:
        flat = flat[:-2]
    fill = float(attributes.get("value", 0.0) if value is None else value)
    torch_mode = {"edge": "replicate"}.get(mode, mode)
    return importer.call(
        functional.pad, importer.values[node.input[0]], flat, torch_mode, fill if mode == "constant" else None
    )
