"""A growing ONNX graph, and the values of Keras in it: which lie channels first. Knows no layer but activations."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import helper, numpy_helper

from frugal.errors import FrugalError


class UnsupportedLayer(FrugalError):
    """A layer, or a form of it, that cannot be brought to ONNX here."""

    def __init__(self, *, layer: str, detail: str = "") -> None:
        self.layer, self.detail = layer, detail
        super().__init__(f"has a layer {layer}{f' ({detail})' if detail else ''} that is not read here")


@dataclass(frozen=True, slots=True, kw_only=True)
class Value:
    """A tensor: `shape` of one sample as Keras sees it; channels_first: how it lies in the graph instead.

    flattened: it was flattened from channels-first images of this Keras shape, and its columns still have that order.
    """

    name: str
    shape: tuple[int | None, ...]
    channels_first: bool = False
    flattened: tuple[int, ...] = ()


@dataclass(slots=True)
class Graph:
    """A growing ONNX graph."""

    nodes: list[Any] = field(default_factory=list)
    weights: list[Any] = field(default_factory=list)

    def weight(self, array: NDArray[Any]) -> str:
        name = f"w{len(self.weights)}"
        kept = array.astype(np.float32) if array.dtype.kind == "f" else array
        self.weights.append(numpy_helper.from_array(np.array(kept, order="C"), name))
        return name

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the output's name."""
        name = f"t{len(self.nodes)}"
        self.nodes.append(helper.make_node(operator, list(inputs), [name], **attributes))
        return name

    def named(self, name: str, wanted: str) -> str:
        """Return `wanted`, the new name of an output of the model."""
        for node in self.nodes:
            for listed in (node.input, node.output):
                listed[:] = [wanted if one == name else one for one in listed]
        return wanted

    def images(self, value: Value) -> Value:
        """Return images of samples (height, width, channels) with their channels first."""
        if value.channels_first or len(value.shape) != 3:
            return value
        return replace(value, name=self.add("Transpose", value.name, perm=[0, 3, 1, 2]), channels_first=True)

    def plain(self, value: Value) -> Value:
        """Return the value in Keras's own order."""
        if value.flattened:
            height, width, channels = value.flattened
            shaped = self.add("Reshape", value.name, self.weight(np.array([-1, channels, height, width], np.int64)))
            turned = self.add("Transpose", shaped, perm=[0, 2, 3, 1])
            return Value(name=self.add("Flatten", turned, axis=1), shape=value.shape)
        if not value.channels_first:
            return value
        return replace(value, name=self.add("Transpose", value.name, perm=[0, 2, 3, 1]), channels_first=False)

    def alike(self, values: list[Value]) -> list[Value]:
        """Return values that can be combined element by element: all channels first, or all plain."""
        if any(value.channels_first for value in values) and len({len(value.shape) for value in values}) == 1:
            return [self.images(value) for value in values]
        if len({(value.channels_first, value.flattened) for value in values}) == 1:
            return values
        return [self.plain(value) for value in values]


Emit = Callable[[Graph, Any, list[Value]], Value]


def shape_after(layer: Any, values: list[Value]) -> tuple[int | None, ...]:
    """Return the shape of one sample that comes out of the layer."""
    shapes = [(None, *value.shape) for value in values]
    found = layer.compute_output_shape(shapes[0] if len(shapes) == 1 else shapes)
    return tuple(found[1:])


def the_axis(layer: Any, axes: Any) -> int:
    """Return the one axis that is meant; raises UnsupportedLayer for more."""
    chosen = list(axes) if isinstance(axes, list | tuple) else [axes]
    if len(chosen) != 1:
        raise UnsupportedLayer(layer=type(layer).__name__, detail="over several axes")
    return int(chosen[0])


ACTIVATIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "relu": ("Relu", {}), "sigmoid": ("Sigmoid", {}), "tanh": ("Tanh", {}), "softmax": ("Softmax", {"axis": -1}),
    "log_softmax": ("LogSoftmax", {"axis": -1}), "elu": ("Elu", {}), "softplus": ("Softplus", {}),
    "exponential": ("Exp", {}),
}  # fmt: skip


def activated(graph: Graph, layer: Any, value: Value, activation: Any) -> Value:
    """Return the value after an activation function of Keras."""
    name = getattr(activation, "__name__", type(activation).__name__)
    if name == "linear":
        return value
    if name in ("softmax", "log_softmax"):
        value = graph.plain(value)
    if name in ("silu", "swish"):
        gate = graph.add("Sigmoid", value.name)
        return replace(value, name=graph.add("Mul", value.name, gate))
    if name == "relu6":
        limits = (graph.weight(np.array(0, np.float32)), graph.weight(np.array(6, np.float32)))
        return replace(value, name=graph.add("Clip", value.name, *limits))
    if name == "gelu":
        half = graph.add("Mul", value.name, graph.weight(np.array(0.5, np.float32)))
        scaled = graph.add("Mul", value.name, graph.weight(np.array(1 / math.sqrt(2), np.float32)))
        one = graph.add("Add", graph.add("Erf", scaled), graph.weight(np.array(1, np.float32)))
        return replace(value, name=graph.add("Mul", half, one))
    if name not in ACTIVATIONS:
        raise UnsupportedLayer(layer=type(layer).__name__, detail=f"activation {name}")
    operator, attributes = ACTIVATIONS[name]
    return replace(value, name=graph.add(operator, value.name, **attributes))
