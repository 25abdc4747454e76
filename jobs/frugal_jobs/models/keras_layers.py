"""Keras layers without weights as ONNX nodes: one function a layer. Those with weights stand in keras_weights.py."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from frugal_jobs.models.keras_graph import Emit, Graph, UnsupportedLayer, Value, activated, shape_after, the_axis


def same(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """Nothing at inference: dropout, noise, augmentation."""
    del graph, layer
    return values[0]


def activation(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """The activation that the layer names."""
    return activated(graph, layer, values[0], layer.activation)


def relu(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """ReLU with its slope and its ceiling."""
    if layer.threshold:
        raise UnsupportedLayer(layer="ReLU", detail="with a threshold")
    value, most = values[0], layer.max_value
    if most is not None and not layer.negative_slope:
        limits = (graph.weight(np.array(0, np.float32)), graph.weight(np.array(most, np.float32)))
        return replace(value, name=graph.add("Clip", value.name, *limits))
    if not layer.negative_slope:
        return replace(value, name=graph.add("Relu", value.name))
    name = graph.add("LeakyRelu", value.name, alpha=float(layer.negative_slope))
    if most is not None:
        name = graph.add("Min", name, graph.weight(np.array(most, np.float32)))
    return replace(value, name=name)


def leaky(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """A slope below zero."""
    return replace(values[0], name=graph.add("LeakyRelu", values[0].name, alpha=float(layer.negative_slope)))


def elu(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """An exponential below zero."""
    return replace(values[0], name=graph.add("Elu", values[0].name, alpha=float(layer.alpha)))


def softmax(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """Shares that sum to 1."""
    value = graph.plain(values[0])
    axis = the_axis(layer, layer.axis)
    return replace(value, name=graph.add("Softmax", value.name, axis=axis))


def combined(operator: str) -> Emit:
    """Return what combines values element by element, two at a time."""

    def emit(graph: Graph, layer: Any, values: list[Value]) -> Value:
        first, *rest = graph.alike(values)
        name = first.name
        for other in rest:
            name = graph.add(operator, name, other.name)
        return replace(first, name=name, shape=shape_after(layer, values))

    return emit


def average(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """The mean of all inputs."""
    total = combined("Add")(graph, layer, values)
    return replace(total, name=graph.add("Mul", total.name, graph.weight(np.array(1 / len(values), np.float32))))


def concatenated(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """Tensors one after the other along an axis."""
    rank = len(values[0].shape) + 1
    axis = int(layer.axis) % rank
    if rank == 4 and any(value.channels_first for value in values):
        images = [graph.images(value) for value in values]
        name = graph.add("Concat", *(value.name for value in images), axis={1: 2, 2: 3, 3: 1}[axis])
        return Value(name=name, shape=shape_after(layer, values), channels_first=True)
    plain = [graph.plain(value) for value in values]
    return Value(
        name=graph.add("Concat", *(value.name for value in plain), axis=axis), shape=shape_after(layer, values)
    )


def flattened(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """One row a sample; images keep their own order until somebody needs Keras's."""
    value = values[0]
    sizes = value.shape
    name = graph.add("Flatten", value.name, axis=1)
    if not value.channels_first:
        return Value(name=name, shape=shape_after(layer, values), flattened=value.flattened)
    if any(size is None for size in sizes):
        raise UnsupportedLayer(layer="Flatten", detail="of images of open size")
    return Value(name=name, shape=shape_after(layer, values), flattened=tuple(int(size or 0) for size in sizes))


def reshaped(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """Another shape, in Keras's order."""
    value, shape = graph.plain(values[0]), shape_after(layer, values)
    if any(size is None for size in shape):
        raise UnsupportedLayer(layer="Reshape", detail="to an open size")
    target = graph.weight(np.array([-1, *(size or 0 for size in shape)], np.int64))
    return Value(name=graph.add("Reshape", value.name, target), shape=shape)


def permuted(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """The axes in another order."""
    value = graph.plain(values[0])
    return Value(name=graph.add("Transpose", value.name, perm=[0, *layer.dims]), shape=shape_after(layer, values))


def rescaled(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """Times a scale, plus an offset."""
    if np.ndim(layer.scale) or np.ndim(layer.offset):
        raise UnsupportedLayer(layer="Rescaling", detail="by channel")
    value = values[0]
    name = graph.add("Mul", value.name, graph.weight(np.array(layer.scale, np.float32)))
    if layer.offset:
        name = graph.add("Add", name, graph.weight(np.array(layer.offset, np.float32)))
    return replace(value, name=name)
