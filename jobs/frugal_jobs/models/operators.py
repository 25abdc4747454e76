"""The ONNX operators that can be trained: each builds its part of the torch module.

Semantics: https://onnx.ai/onnx/operators/. A form that torch cannot express raises UnsupportedOperator, never guesses.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
from onnx import NodeProto
from torch import Tensor, fx, nn
from torch.nn import functional

from frugal_jobs.models import recurrent, selecting, shaping
from frugal_jobs.models import tensor_functions as tensors
from frugal_jobs.models.graph_import import Array, Importer, UnsupportedOperator
from frugal_jobs.models.operands import Attributes, constant_at, fill, value_at
from frugal_jobs.models.trainable import Slot, array_of

Build = Callable[[Importer, int, NodeProto, Attributes], fx.Node]


def _pads(
    importer: Importer, node: NodeProto, attributes: Attributes, spatial: int, value: float
) -> tuple[fx.Node, list[int]]:
    """Return (input, padding): symmetric padding is the layer's, any other is done before it."""
    source = importer.values[node.input[0]]
    pads = [int(size) for size in attributes.get("pads", [0] * 2 * spatial)]
    mode = attributes.get("auto_pad", b"NOTSET")
    if mode not in (b"NOTSET", b"VALID", b""):
        raise UnsupportedOperator(operator=node.op_type, detail=f"auto_pad {mode.decode()}")
    begins, ends = pads[:spatial], pads[spatial:]
    if begins == ends:
        return source, begins
    flat = [size for pair in zip(reversed(begins), reversed(ends), strict=True) for size in pair]
    return importer.call(functional.pad, source, flat, "constant", value), [0] * spatial


CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
TRANSPOSED = {1: nn.ConvTranspose1d, 2: nn.ConvTranspose2d, 3: nn.ConvTranspose3d}


def _convolution(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    weight = constant_at(importer, node, 1)
    bias = constant_at(importer, node, 2)
    spatial, groups = weight.ndim - 2, int(attributes.get("group", 1))
    source, padding = _pads(importer, node, attributes, spatial, 0.0)
    kind: Any = CONVOLUTIONS[spatial]
    layer = kind(
        weight.shape[1] * groups, weight.shape[0], weight.shape[2:], attributes.get("strides", [1] * spatial), padding,
        attributes.get("dilations", [1] * spatial), groups, bias is not None,
    )  # fmt: skip
    return _weighted(importer, number, layer, source, weight, bias)


def _transposed(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    weight = constant_at(importer, node, 1)
    bias = constant_at(importer, node, 2)
    spatial, groups = weight.ndim - 2, int(attributes.get("group", 1))
    pads = list(attributes.get("pads", [0] * 2 * spatial))
    if pads[:spatial] != pads[spatial:] or "output_shape" in attributes:
        raise UnsupportedOperator(operator=node.op_type, detail="with uneven pads or an output shape")
    kind: Any = TRANSPOSED[spatial]
    layer = kind(
        weight.shape[0], weight.shape[1] * groups, weight.shape[2:], attributes.get("strides", [1] * spatial),
        pads[:spatial], attributes.get("output_padding", [0] * spatial), groups, bias is not None,
        attributes.get("dilations", [1] * spatial),
    )  # fmt: skip
    return _weighted(importer, number, layer, importer.values[node.input[0]], weight, bias)


def _weighted(
    importer: Importer, number: int, layer: nn.Module, source: fx.Node, weight: Array, bias: Array | None
) -> fx.Node:
    """Add a layer whose weight and bias stand in the node as they stand in torch."""
    fill(layer, weight=weight, bias=bias)
    importer.slots.append(Slot(number, 1, lambda: array_of(layer.weight)))  # type: ignore[arg-type]
    importer.slots.append(Slot(number, 2, lambda: None if layer.bias is None else array_of(layer.bias)))  # type: ignore[arg-type]
    return importer.layer(layer, number, source)


NORMS = {2: nn.BatchNorm1d, 3: nn.BatchNorm1d, 4: nn.BatchNorm2d, 5: nn.BatchNorm3d}


def _batch_norm(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    scale, shift, mean, variance = (constant_at(importer, node, position) for position in range(1, 5))
    kind = NORMS[importer.rank(node.input[0]) or 4]
    layer = kind(len(scale), eps=float(attributes.get("epsilon", 1e-5)))
    fill(layer, weight=scale, bias=shift, running_mean=mean, running_var=variance)
    for position, name in enumerate(("weight", "bias", "running_mean", "running_var"), start=1):
        importer.slots.append(Slot(number, position, lambda name=name: array_of(getattr(layer, name))))  # type: ignore[misc]
    return importer.layer(layer, number, importer.values[node.input[0]])


def _layer_norm(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    scale = constant_at(importer, node, 1)
    shift = constant_at(importer, node, 2)
    if int(attributes.get("axis", -1)) not in (-1, (importer.rank(node.input[0]) or 0) - 1):
        raise UnsupportedOperator(operator=node.op_type, detail="over more than the last axis")
    layer = nn.LayerNorm(scale.shape[-1], eps=float(attributes.get("epsilon", 1e-5)), bias=shift is not None)
    return _weighted(importer, number, layer, importer.values[node.input[0]], scale, shift)


def _gemm(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    weight, bias = constant_at(importer, node, 1), constant_at(importer, node, 2)
    scaled = attributes.get("alpha", 1.0) != 1.0 or attributes.get("beta", 1.0) != 1.0
    if attributes.get("transA", 0) or scaled or (bias is not None and bias.ndim != 1):
        raise UnsupportedOperator(operator=node.op_type, detail="scaled, or with its input transposed")
    is_transposed = bool(attributes.get("transB", 0))
    rows = weight if is_transposed else weight.T
    layer = nn.Linear(rows.shape[1], rows.shape[0], bias is not None)
    fill(layer, weight=rows, bias=bias)
    importer.slots.append(Slot(number, 1, lambda: array_of(layer.weight if is_transposed else layer.weight.T)))
    if bias is not None:
        importer.slots.append(Slot(number, 2, lambda: array_of(layer.bias)))
    return importer.layer(layer, number, importer.values[node.input[0]])


def _matmul(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    """A product with a constant matrix is a Linear, with the bias that an Add right after it brings."""
    del attributes
    weight = importer.constants.get(node.input[1])
    if weight is None or weight.ndim != 2 or node.input[0] in importer.constants:
        return importer.call(torch.matmul, value_at(importer, number, node, 0), value_at(importer, number, node, 1))
    added = _bias_after(importer, node.output[0], weight.shape[1])
    layer = nn.Linear(weight.shape[0], weight.shape[1], added is not None)
    fill(layer, weight=weight.T)
    importer.slots.append(Slot(number, 1, lambda: array_of(layer.weight.T)))
    result = importer.layer(layer, number, importer.values[node.input[0]])
    if added is not None:
        addition, position = added
        fill(layer, bias=importer.constants[importer.nodes[addition].input[position]])
        importer.slots.append(Slot(addition, position, lambda: array_of(layer.bias)))
        importer.skipped.add(addition)
        importer.values[importer.nodes[addition].output[0]] = result
    return result


def _bias_after(importer: Importer, name: str, width: int) -> tuple[int, int] | None:
    """Return (node, position of the constant) of an Add that alone takes `name` and adds a vector of `width`."""
    if importer.consumers.get(name) != 1:
        return None
    for number, node in enumerate(importer.nodes):
        if node.op_type == "Add" and name in node.input:
            position = 1 - list(node.input).index(name)
            constant = importer.constants.get(node.input[position])
            return (number, position) if constant is not None and constant.shape == (width,) else None
    return None


def _unary(function: Callable[[Tensor], Tensor]) -> Build:
    return lambda importer, number, node, attributes: importer.call(function, importer.values[node.input[0]])


def _binary(function: Callable[..., Any]) -> Build:
    def build(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
        del attributes
        result = value_at(importer, number, node, 0)
        for position in range(1, len(node.input)):
            result = importer.call(function, result, value_at(importer, number, node, position))
        return result

    return build


def _with(function: Callable[..., Any], **defaults: float | int) -> Build:
    """Return what builds a function of one tensor whose numbers are attributes."""

    def build(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
        del number
        numbers = {name: attributes.get(name, default) for name, default in defaults.items()}
        return importer.call(function, importer.values[node.input[0]], *numbers.values())

    return build


def _clip(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    del number
    low, high = (
        attributes.get(name, constant_at(importer, node, position)) for position, name in ((1, "min"), (2, "max"))
    )
    limits = [None if limit is None else float(limit) for limit in (low, high)]
    return importer.call(torch.clamp, importer.values[node.input[0]], *limits)


def _gelu(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    del number
    approximate = bytes(attributes.get("approximate", b"none")).decode()
    return importer.call(functional.gelu, importer.values[node.input[0]], approximate=approximate)


def _softmax(function: Callable[..., Tensor]) -> Build:
    def build(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
        del number
        axis, rank = int(attributes.get("axis", -1 if importer.opset >= 13 else 1)), importer.rank(node.input[0])
        if importer.opset < 13 and (rank is None or axis % rank != rank - 1):  # it flattened the axes after `axis`
            raise UnsupportedOperator(operator=node.op_type, detail="of an old opset over several axes")
        return importer.call(function, importer.values[node.input[0]], axis)

    return build


def _pool(kind: str) -> Build:
    def build(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
        del number
        kernel = [int(size) for size in attributes["kernel_shape"]]
        spatial = len(kernel)
        is_max, includes_pads = kind == "max", bool(attributes.get("count_include_pad", 0))
        source, padding = _pads(importer, node, attributes, spatial, float("-inf") if is_max else 0.0)
        if not is_max and source is not importer.values[node.input[0]] and not includes_pads:
            raise UnsupportedOperator(operator=node.op_type, detail="with uneven pads")
        strides = [int(size) for size in attributes.get("strides", [1] * spatial)]
        ceil = bool(attributes.get("ceil_mode", 0))
        function = getattr(functional, f"{kind}_pool{spatial}d")
        if is_max:
            dilations = [int(size) for size in attributes.get("dilations", [1] * spatial)]
            return importer.call(function, source, kernel, strides, padding, dilations, ceil)
        return importer.call(function, source, kernel, strides, padding, ceil, includes_pads)

    return build


def _global_average(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    del number, attributes
    rank = importer.rank(node.input[0]) or 4
    return importer.call(torch.mean, importer.values[node.input[0]], list(range(2, rank)), keepdim=True)


def _global_maximum(importer: Importer, number: int, node: NodeProto, attributes: Attributes) -> fx.Node:
    del number, attributes
    rank = importer.rank(node.input[0]) or 4
    return importer.call(tensors.maximum, importer.values[node.input[0]], list(range(2, rank)), True)


OPERATORS: dict[str, Build] = {
    "Conv": _convolution,
    "ConvTranspose": _transposed,
    "BatchNormalization": _batch_norm,
    "LayerNormalization": _layer_norm,
    "Gemm": _gemm,
    "MatMul": _matmul,
    "Relu": _unary(functional.relu),
    "Sigmoid": _unary(torch.sigmoid),
    "Tanh": _unary(torch.tanh),
    "HardSwish": _unary(functional.hardswish),
    "HardSigmoid": _with(tensors.hard_sigmoid, alpha=0.2, beta=0.5),
    "LeakyRelu": _with(functional.leaky_relu, alpha=0.01),
    "Elu": _with(functional.elu, alpha=1.0),
    "Softplus": _unary(functional.softplus),
    "Erf": _unary(torch.erf),
    "Exp": _unary(torch.exp),
    "Log": _unary(torch.log),
    "Abs": _unary(torch.abs),
    "Neg": _unary(torch.neg),
    "Sqrt": _unary(torch.sqrt),
    "Reciprocal": _unary(torch.reciprocal),
    "Sign": _unary(torch.sign),
    "Sin": _unary(torch.sin),
    "Cos": _unary(torch.cos),
    "Floor": _unary(torch.floor),
    "Ceil": _unary(torch.ceil),
    "Softsign": _unary(functional.softsign),
    "Mish": _unary(functional.mish),
    "Selu": _unary(functional.selu),
    "PRelu": _binary(tensors.leaky),
    "Gelu": _gelu,
    "Clip": _clip,
    "Softmax": _softmax(torch.softmax),
    "LogSoftmax": _softmax(torch.log_softmax),
    "MaxPool": _pool("max"),
    "AveragePool": _pool("avg"),
    "GlobalAveragePool": _global_average,
    "GlobalMaxPool": _global_maximum,
    "ReduceMean": selecting.reduce(tensors.average),
    "ReduceSum": selecting.reduce(tensors.total),
    "ReduceMax": selecting.reduce(tensors.maximum),
    "ReduceMin": selecting.reduce(tensors.minimum),
    "ReduceL2": selecting.reduce(tensors.length),
    "Add": _binary(operator.add),
    "Sub": _binary(operator.sub),
    "Mul": _binary(operator.mul),
    "Div": _binary(operator.truediv),
    "Pow": _binary(torch.pow),
    "Equal": _binary(operator.eq),
    "Greater": _binary(operator.gt),
    "GreaterOrEqual": _binary(operator.ge),
    "Less": _binary(operator.lt),
    "LessOrEqual": _binary(operator.le),
    "And": _binary(torch.logical_and),
    "Or": _binary(torch.logical_or),
    "Not": _unary(torch.logical_not),
    "Where": selecting.every(torch.where),
    "Min": selecting.every(tensors.least),
    "Max": selecting.every(tensors.largest),
    "Einsum": selecting.einsum,
    "Split": selecting.split,
    "Expand": selecting.expand,
    "ConstantOfShape": selecting.constant_of_shape,
    "Tile": selecting.every(tensors.repeated),
    "Range": selecting.every(tensors.numbers),
    "GRU": recurrent.recurrent,
    "LSTM": recurrent.recurrent,
    "RNN": recurrent.recurrent,
    "Flatten": shaping.flatten,
    "Reshape": shaping.reshape,
    "Transpose": shaping.transpose,
    "Squeeze": shaping.squeeze,
    "Unsqueeze": shaping.unsqueeze,
    "Concat": shaping.concat,
    "Slice": shaping.slices,
    "Gather": shaping.gather,
    "Shape": _unary(tensors.shape_of),
    "Cast": shaping.cast,
    "Pad": shaping.pad,
    "Identity": _unary(tensors.same),
    "Dropout": _unary(tensors.same),  # an exported model is one for inference
}
