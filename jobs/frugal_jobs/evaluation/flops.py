"""Floating-point operations of an ONNX graph for one sample, counted from shapes: 2 per multiply-accumulate.

Convolutions and matrix products alone, as torch.utils.flop_counter counts; a test holds the two together.
"""

from __future__ import annotations

import math

import onnx
from onnx import ModelProto, NodeProto, shape_inference

from frugal_jobs.models.model import Runnable
from frugal_jobs.models.running import DEFAULT_SIZE

Shapes = dict[str, tuple[int, ...]]


def flops_of(model: Runnable) -> float | None:
    """Return the FLOPs per sample, or None when a shape that matters cannot be inferred."""
    shapes = shapes_at_batch_one(model.proto)
    total = 0.0
    for node in model.proto.graph.node:
        count = COUNTERS.get(node.op_type)
        if count is None:
            continue
        try:
            total += count(node, shapes)
        except (KeyError, IndexError, ZeroDivisionError):
            return None
    return total


def shapes_at_batch_one(proto: ModelProto) -> Shapes:
    """Return the shape of every tensor that can be inferred when the batch is 1 and other open sizes are 16."""
    fixed = ModelProto()
    fixed.CopyFrom(proto)
    weights = {tensor.name: tuple(tensor.dims) for tensor in fixed.graph.initializer}
    del fixed.graph.value_info[:]
    for value in fixed.graph.input:
        for axis, size in enumerate(value.type.tensor_type.shape.dim):
            if not size.dim_value or axis == 0:
                size.dim_value = 1 if axis == 0 else DEFAULT_SIZE
    for value in fixed.graph.output:
        value.type.tensor_type.ClearField("shape")
    try:
        inferred = shape_inference.infer_shapes(fixed, data_prop=True).graph
    except shape_inference.InferenceError:
        return weights
    values = (*inferred.value_info, *inferred.input, *inferred.output)
    return weights | {value.name: _sizes(value) for value in values if _is_known(value)}


def _sizes(value: onnx.ValueInfoProto) -> tuple[int, ...]:
    return tuple(size.dim_value for size in value.type.tensor_type.shape.dim)


def _is_known(value: onnx.ValueInfoProto) -> bool:
    tensor = value.type.tensor_type
    return tensor.HasField("shape") and all(size.HasField("dim_value") for size in tensor.shape.dim)


def _convolution(node: NodeProto, shapes: Shapes) -> float:
    """Each output element takes a product with every weight of its filter."""
    return 2.0 * math.prod(shapes[node.output[0]]) * math.prod(shapes[node.input[1]][1:])


def _transposed(node: NodeProto, shapes: Shapes) -> float:
    """Each input element is multiplied with every weight of its channel."""
    return 2.0 * math.prod(shapes[node.input[0]]) * math.prod(shapes[node.input[1]][1:])


def _product(node: NodeProto, shapes: Shapes) -> float:
    return 2.0 * math.prod(shapes[node.output[0]]) * _inner(node, shapes)


def _inner(node: NodeProto, shapes: Shapes) -> int:
    transposed = node.op_type == "Gemm" and any(entry.name == "transA" and entry.i for entry in node.attribute)
    return shapes[node.input[0]][-2 if transposed else -1]


COUNTERS = {"Conv": _convolution, "ConvTranspose": _transposed, "Gemm": _product, "MatMul": _product}
