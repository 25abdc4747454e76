"""Conversion of weights to float16: half the size; on a CPU without float16 kernels no gain in speed.

Inputs and outputs keep their type, so that nothing changes for the caller. A value that float16 cannot
hold (above 65,504) is clipped, and the loss of quality tells.
"""

from __future__ import annotations

import warnings
from typing import Any

from onnx import ModelProto
from onnxruntime.transformers.float16 import convert_float_to_float16

from frugal_jobs.models.model import Model
from frugal_jobs.techniques.context import Context


def to_float16(model: Model, context: Context) -> Model:
    """Return `model` computing in float16 with float32 at its edges; `context` is not needed."""
    del context
    proto = ModelProto()
    proto.CopyFrom(model.proto)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of every weight that becomes a subnormal
        converted: Any = convert_float_to_float16(proto, keep_io_types=True)
    step = {"quantize": {"scheme": "float16", "bits": 16}}
    return model.after(converted, "float16", step)
