"""What the weights lost that ONNX Runtime's quantizers replaced, read from the graph that they wrote."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto, TensorProto, numpy_helper

from frugal_jobs.models.tensor_error import TensorError
from frugal_jobs.techniques.linear import error_of


def weight_errors(source: ModelProto, proto: ModelProto) -> tuple[TensorError, ...]:
    """Return what each weight lost that ONNX Runtime's quantizer replaced by NAME_quantized and NAME_scale."""
    after = {tensor.name: tensor for tensor in proto.graph.initializer}
    axes = {node.input[0]: entry.i for node in proto.graph.node if node.op_type == "DequantizeLinear"
            for entry in node.attribute if entry.name == "axis"}  # fmt: skip
    found = []
    for tensor in source.graph.initializer:
        parts = [after.get(f"{tensor.name}_{part}") for part in ("quantized", "scale", "zero_point")]
        if parts[0] is None or parts[1] is None or parts[0].data_type == TensorProto.INT32:  # which is a bias
            continue
        values = numpy_helper.to_array(tensor).astype(np.float64)
        if parts[0].dims[:] != tensor.dims[:]:  # it keeps an LSTM's weights transposed
            values = values.swapaxes(-1, -2)
        codes, scale, zero = (numpy_helper.to_array(part).astype(np.float64) if part is not None else np.zeros(())
                              for part in parts)  # fmt: skip
        spread = _spread(scale.size, values.shape, axes.get(parts[0].name))
        restored = (codes - zero.reshape(spread)) * scale.reshape(spread)
        beyond = np.abs(values - restored) > (0.5 + 1e-6) * scale.reshape(spread)
        found.append(error_of(tensor.name, values, restored, bits=8, clipped=beyond))
    return tuple(found)


def _spread(scales: int, shape: tuple[int, ...], axis: int | None) -> list[int]:
    """Return the shape in which scales, one or along `axis` (unsaid: the last that fits), spread over a weight."""
    if scales == 1:
        return [1] * len(shape)
    if axis is None:
        axis = max(place for place, size in enumerate(shape) if size == scales)
    return [size if place == axis % len(shape) else 1 for place, size in enumerate(shape)]
