"""The ONNX operators that compare, select, reduce and unfold: masks, attention and shapes computed from values."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from onnx import NodeProto, numpy_helper
from torch import Tensor, fx

from frugal_jobs.models import tensor_functions as tensors
from frugal_jobs.models.graph_import import Importer, UnsupportedOperator
from frugal_jobs.models.operands import Attributes, integers_at, value_at

Build = Callable[[Importer, int, NodeProto, Attributes], fx.Node]
ZERO_KEEPERS = frozenset({"Cast", "Concat", "Expand", "Identity", "Reshape", "Slice", "Squeeze", "Tile", "Transpose",
                          "Unsqueeze"})  # fmt: skip


def expand(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """A tensor spread over a larger shape."""
    del attributes
    return importer.call(tensors.expanded, value_at(importer, number, node, 0), value_at(importer, number, node, 1))


def constant_of_shape(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """One value in a shape that may be computed."""
    filled = numpy_helper.to_array(attributes["value"]).reshape(()) if "value" in attributes else None
    value = 0.0 if filled is None else filled.item()
    if not value:
        importer.zeros.add(node.output[0])
    kind = torch.float32 if filled is None else torch.from_numpy(filled.copy()).dtype
    return importer.call(tensors.filled, value_at(importer, number, node, 0), value, kind)


def reduce(function: Callable[..., Tensor]) -> Build:
    """Return what builds a reduction over axes, or over all of them."""

    def build(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
        del number
        axes = integers_at(importer, node, attributes, "axes", 1)
        if axes is None and not attributes.get("noop_with_empty_axes", 0):
            rank = importer.rank(node.input[0])
            if rank is None:
                raise UnsupportedOperator(operator=node.op_type, detail="over all axes of an unknown rank")
            axes = list(range(rank))
        keep = bool(attributes.get("keepdims", 1))
        return importer.call(function, importer.values[node.input[0]], axes or [], keep)

    return build


def split(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """A tensor cut along an axis; the further parts are added here."""
    del number
    axis, sizes = int(attributes.get("axis", 0)), integers_at(importer, node, attributes, "split", 1)
    parts = importer.call(tensors.cut, importer.values[node.input[0]], sizes or len(node.output), axis)
    for position, name in enumerate(node.output):
        importer.values[name] = importer.call(operator.getitem, parts, position)
    return importer.values[node.output[0]]


def einsum(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """Products and sums by the names of axes."""
    equation = bytes(attributes["equation"]).decode()
    parts = [value_at(importer, number, node, position) for position in range(len(node.input))]
    return importer.call(torch.einsum, equation, *parts)


def every(function: Callable[..., Any]) -> Build:
    """Return what builds a function of all inputs."""

    def build(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
        del attributes
        parts = [value_at(importer, number, node, position) for position in range(len(node.input))]
        return importer.call(function, *parts)

    return build
