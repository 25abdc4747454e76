"""Keras layers with weights or windows as ONNX nodes: one function a layer. Weights are turned to ONNX's order once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from frugal_jobs.models.keras_graph import Emit, Graph, UnsupportedLayer, Value, activated, shape_after, the_axis

Array = NDArray[Any]


def _pair(size: Any) -> tuple[int, int]:
    return (int(size), int(size)) if isinstance(size, int) else (int(size[0]), int(size[1]))


def _pads(
    layer: Any, value: Value, kernel: tuple[int, int], strides: tuple[int, int], dilation: tuple[int, int]
) -> list[int]:
    """Return ONNX's pads for Keras's padding; of "same" the end gets the odd one."""
    if layer.padding == "valid":
        return [0, 0, 0, 0]
    if layer.padding != "same" or None in value.shape[:2]:
        raise UnsupportedLayer(layer=type(layer).__name__, detail=f"padding {layer.padding} of size {value.shape[:2]}")
    begins, ends = [], []
    for size, width, stride, step in zip(value.shape[:2], kernel, strides, dilation, strict=True):
        assert size is not None
        whole = max((-(-size // stride) - 1) * stride + (width - 1) * step + 1 - size, 0)
        begins.append(whole // 2)
        ends.append(whole - whole // 2)
    return [*begins, *ends]


def _check_order(layer: Any) -> None:
    if getattr(layer, "data_format", "channels_last") != "channels_last":
        raise UnsupportedLayer(layer=type(layer).__name__, detail="channels first")


def _convolution(graph: Graph, layer: Any, value: Value, kernel: Array, bias: Array | None, groups: int) -> str:
    """Return the name of the convolution of images `value` with `kernel`, already in ONNX's order (out, in, h, w)."""
    strides, dilation = _pair(layer.strides), _pair(layer.dilation_rate)
    pads = _pads(layer, value, (kernel.shape[2], kernel.shape[3]), strides, dilation)
    weights = [graph.weight(kernel)] + ([] if bias is None else [graph.weight(bias)])
    return graph.add(
        "Conv", value.name, *weights, strides=strides, dilations=dilation, pads=pads, group=groups,
        kernel_shape=kernel.shape[2:],
    )  # fmt: skip


def convolved(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """Keras keeps kernels as (height, width, in, out)."""
    _check_order(layer)
    kernel, *bias = (np.asarray(one) for one in layer.get_weights())
    value = graph.images(values[0])
    turned = kernel.transpose(3, 2, 0, 1)
    name = _convolution(graph, layer, value, turned, bias[0] if bias else None, int(layer.groups))
    result = Value(name=name, shape=shape_after(layer, values), channels_first=True)
    return activated(graph, layer, result, layer.activation)


def convolved_by_depth(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """Kernels are (height, width, in, multiplier): each channel its own group."""
    _check_order(layer)
    kernel, *bias = (np.asarray(one) for one in layer.get_weights())
    value = graph.images(values[0])
    name = _convolution(graph, layer, value, _by_depth(kernel), bias[0] if bias else None, kernel.shape[2])
    result = Value(name=name, shape=shape_after(layer, values), channels_first=True)
    return activated(graph, layer, result, layer.activation)


def _by_depth(kernel: Array) -> Array:
    height, width, channels, multiplier = kernel.shape
    return kernel.transpose(2, 3, 0, 1).reshape(channels * multiplier, 1, height, width)


def convolved_separably(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """By depth, then across channels."""
    _check_order(layer)
    depth, point, *bias = (np.asarray(one) for one in layer.get_weights())
    value = graph.images(values[0])
    name = _convolution(graph, layer, value, _by_depth(depth), None, depth.shape[2])
    weights = [graph.weight(point.transpose(3, 2, 0, 1)), *(graph.weight(one) for one in bias)]
    result = Value(name=graph.add("Conv", name, *weights), shape=shape_after(layer, values), channels_first=True)
    return activated(graph, layer, result, layer.activation)


def dense(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """On rows a Gemm, whose weights take the order in which flattened images lie; on sequences a MatMul."""
    kernel, *bias = (np.asarray(one) for one in layer.get_weights())
    value = values[0]
    if value.flattened:
        height, width, channels = value.flattened
        kernel = kernel.reshape(height, width, channels, -1).transpose(2, 0, 1, 3).reshape(kernel.shape)
    else:
        value = graph.plain(value)
    if len(value.shape) == 1:
        weights = [graph.weight(kernel.T), *(graph.weight(one) for one in bias)]
        name = graph.add("Gemm", value.name, *weights, transB=1)
    else:
        name = graph.add("MatMul", value.name, graph.weight(kernel))
        name = graph.add("Add", name, graph.weight(bias[0])) if bias else name
    return activated(graph, layer, Value(name=name, shape=shape_after(layer, values)), layer.activation)


def normalized(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """By batch statistics, over the last axis."""
    value = values[0]
    rank = len(value.shape) + 1
    if the_axis(layer, layer.axis) % rank != rank - 1 or rank not in (2, 4):
        raise UnsupportedLayer(layer="BatchNormalization", detail=f"over axis {layer.axis} of {rank}")
    weights = [np.asarray(one) for one in layer.get_weights()]
    mean, variance = weights[-2:]
    scale = weights[0] if layer.scale else np.ones_like(mean)
    offset = weights[int(layer.scale)] if layer.center else np.zeros_like(mean)
    value = graph.images(value) if rank == 4 else graph.plain(value)
    names = [graph.weight(one) for one in (scale, offset, mean, variance)]
    return replace(value, name=graph.add("BatchNormalization", value.name, *names, epsilon=float(layer.epsilon)))


def layer_normalized(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """By each sample's own statistics, over the last axis."""
    value = graph.plain(values[0])
    if the_axis(layer, layer.axis) not in (-1, len(value.shape)):
        raise UnsupportedLayer(layer="LayerNormalization", detail="not over the last axis")
    weights = [np.asarray(one) for one in layer.get_weights()]
    width = int(value.shape[-1] or 0)
    scale = weights[0] if layer.scale else np.ones(width, np.float32)
    offset = weights[-1] if layer.center else np.zeros(width, np.float32)
    names = [graph.weight(one) for one in (scale, offset)]
    return replace(
        value, name=graph.add("LayerNormalization", value.name, *names, axis=-1, epsilon=float(layer.epsilon))
    )


def pooled(operator: str) -> Emit:
    """Return what pools images by windows."""

    def emit(graph: Graph, layer: Any, values: list[Value]) -> Value:
        _check_order(layer)
        value = graph.images(values[0])
        kernel, strides = _pair(layer.pool_size), _pair(layer.strides)
        pads = _pads(layer, value, kernel, strides, (1, 1))
        name = graph.add(operator, value.name, kernel_shape=kernel, strides=strides, pads=pads)
        return Value(name=name, shape=shape_after(layer, values), channels_first=True)

    return emit


def pooled_globally(operator: str) -> Emit:
    """Return what pools whole images to one row."""

    def emit(graph: Graph, layer: Any, values: list[Value]) -> Value:
        _check_order(layer)
        value = graph.images(values[0])
        pool = graph.add(operator, value.name)
        if layer.keepdims:
            return Value(name=pool, shape=shape_after(layer, values), channels_first=True)
        return Value(name=graph.add("Flatten", pool, axis=1), shape=shape_after(layer, values))

    return emit


def padded(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """Zeros around images."""
    _check_order(layer)
    value = graph.images(values[0])
    (top, bottom), (left, right) = layer.padding
    pads = graph.weight(np.array([0, 0, top, left, 0, 0, bottom, right], np.int64))
    return replace(value, name=graph.add("Pad", value.name, pads), shape=shape_after(layer, values))


def embedded(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """Rows of a table."""
    if layer.mask_zero:
        raise UnsupportedLayer(layer="Embedding", detail="with a mask")
    table = graph.weight(np.asarray(layer.get_weights()[0]))
    return Value(name=graph.add("Gather", table, values[0].name, axis=0), shape=shape_after(layer, values))


def gru(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """Gates z, r, h in both; `reset_after` is ONNX's linear_before_reset."""
    return _recurrent(
        graph, layer, values, "GRU", gates=("z", "r", "h"), order=(0, 1, 2),
        linear_before_reset=int(bool(layer.reset_after)),
    )  # fmt: skip


def lstm(graph: Graph, layer: Any, values: list[Value]) -> Value:
    """Keras keeps its gates as i, f, c, o and ONNX as i, o, f, c."""
    return _recurrent(graph, layer, values, "LSTM", gates=("i", "f", "c", "o"), order=(0, 3, 1, 2))


def _recurrent(  # what differs between the two kinds
    graph: Graph, layer: Any, values: list[Value], operator: str, *, gates: tuple[str, ...], order: tuple[int, ...],
    **attributes: Any,
) -> Value:  # fmt: skip
    _check_recurrent(layer, operator)
    units = int(layer.units)
    kernel, recurrent, *bias = (np.asarray(one) for one in layer.get_weights())

    def ordered(array: Array) -> Array:
        return np.concatenate([array[..., gate * units : (gate + 1) * units] for gate in order], axis=-1)

    both = _biases(bias[0] if bias else np.zeros(len(gates) * units, np.float32), ordered)
    weights = [graph.weight(ordered(one).T[None]) for one in (kernel, recurrent)]
    steps = graph.add("Transpose", graph.plain(values[0]).name, perm=[1, 0, 2])
    name = graph.add(operator, steps, *weights, graph.weight(both[None]), hidden_size=units, **attributes)
    every = graph.add("Squeeze", name, graph.weight(np.array([1], np.int64)))  # (steps, batch, units)
    if layer.return_sequences:
        return Value(name=graph.add("Transpose", every, perm=[1, 0, 2]), shape=shape_after(layer, values))
    last = graph.add("Gather", every, graph.weight(np.array(-1, np.int64)), axis=0)
    return Value(name=last, shape=shape_after(layer, values))


def _biases(bias: Array, ordered: Callable[[Array], Array]) -> Array:
    """Return both of ONNX's biases in one row; Keras has one, or two for a GRU that resets after."""
    if bias.ndim == 2:
        return np.concatenate([ordered(bias[0]), ordered(bias[1])])
    return np.concatenate([ordered(bias), np.zeros_like(bias)])


def _check_recurrent(layer: Any, operator: str) -> None:
    usual = (layer.activation.__name__, layer.recurrent_activation.__name__) == ("tanh", "sigmoid")
    if not usual or layer.go_backwards or layer.stateful or layer.return_state:
        raise UnsupportedLayer(layer=operator, detail="other activations, backwards, stateful or returning its state")
