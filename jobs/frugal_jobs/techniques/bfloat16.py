"""Weights in bfloat16 on disk, cast to float32 at load: half the size, the range of float32, and no other speed.

ONNX Runtime has no bfloat16 kernels on a CPU, so the values are rounded and nothing else changes.
"""

from __future__ import annotations

import numpy as np
from ml_dtypes import bfloat16
from onnx import ModelProto, TensorProto, helper, numpy_helper

from frugal_jobs.models.model import Model
from frugal_jobs.models.tensor_error import TensorError
from frugal_jobs.models.weights import with_opset, with_plain_weights
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.linear import error_of

OLDEST_OPSET = 13  # the first that casts from bfloat16
LEAST_ELEMENTS = 64  # a smaller tensor is smaller than the node that casts it
NOTE = "weights in bfloat16 that are cast to float32 at load: smaller but no faster on a CPU"


def to_bfloat16(model: Model, context: Context) -> Model:
    """Return `model` with weights in bfloat16; `context` is not needed."""
    del context
    proto = with_plain_weights(with_opset(model.proto, OLDEST_OPSET))
    errors = tuple(_cast(proto, tensor) for tensor in _large(proto))
    step = {"quantize": {"scheme": "bfloat16", "bits": 16}}
    return model.after(proto, "bfloat16", step, notes=(NOTE,), errors=errors)


def _large(proto: ModelProto) -> list[TensorProto]:
    return [
        tensor for tensor in proto.graph.initializer
        if tensor.data_type == TensorProto.FLOAT and np.prod(tensor.dims) >= LEAST_ELEMENTS
    ]  # fmt: skip


def _cast(proto: ModelProto, tensor: TensorProto) -> TensorError:
    """Store `tensor` in bfloat16 under another name, and a Cast that brings it back under its own."""
    name, array = tensor.name, numpy_helper.to_array(tensor)
    rounded = array.astype(bfloat16)
    tensor.CopyFrom(numpy_helper.from_array(rounded, f"{name}/bfloat16"))
    kept = [value for value in proto.graph.input if value.name != name]
    del proto.graph.input[:]
    proto.graph.input.extend(kept)
    proto.graph.node.insert(0, helper.make_node("Cast", [tensor.name], [name], to=TensorProto.FLOAT))
    return error_of(name, array, rounded.astype(np.float64), bits=16, clipped=np.zeros(1, np.bool_))
