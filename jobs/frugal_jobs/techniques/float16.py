"""Conversion to float16: half the size; on a CPU without float16 kernels no gain in speed.

Inputs and outputs keep their type, so that nothing changes for the caller. Layers whose weights or results float16
cannot hold (above 65,504) stay in float32.
"""

from __future__ import annotations

import warnings
from itertools import islice
from typing import Any

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, numpy_helper
from onnxruntime.transformers.float16 import DEFAULT_OP_BLOCK_LIST, convert_float_to_float16

from frugal_jobs.datasets.samples import Samples
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import Arrays, noise_feed, session_of
from frugal_jobs.models.weights import drop_dead_nodes
from frugal_jobs.techniques.context import Context

LARGEST = 65_504.0
MARGIN = 0.5  # of it: other samples reach higher than those that were looked at
WATCHED_BATCHES = 4


def to_float16(model: Model, context: Context) -> Model:
    """Return `model` in float16, with float32 at its edges and where it would overflow on calibration samples."""
    proto = ModelProto()
    proto.CopyFrom(model.proto)
    for number, node in enumerate(proto.graph.node):
        node.name = f"node{number}"
    kept = _overflowing(proto, _peaks(proto, _feeds(model, context.calibration)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it warns of every weight that becomes a subnormal
        converted: Any = convert_float_to_float16(
            proto, keep_io_types=True, op_block_list=DEFAULT_OP_BLOCK_LIST, node_block_list=kept
        )
    _without_round_trips(converted)
    notes = (f"{len(kept)} layers that float16 cannot hold stay in float32",) if kept else ()
    return model.after(converted, "float16", {"quantize": {"scheme": "float16", "bits": 16}}, notes=notes)


def _feeds(model: Model, samples: Samples | None) -> list[Arrays]:
    """Return what to look for overflow with; without samples, noise."""
    return [noise_feed(model)] if samples is None else list(islice(samples.batches(), WATCHED_BATCHES))


def _peaks(proto: ModelProto, feeds: list[Arrays]) -> dict[str, float]:
    """Return the largest absolute value of each weight and each result."""
    weights = [tensor for tensor in proto.graph.initializer if tensor.data_type == TensorProto.FLOAT]
    peaks = {tensor.name: float(np.abs(numpy_helper.to_array(tensor)).max(initial=0.0)) for tensor in weights}
    watching = ModelProto()
    watching.CopyFrom(proto)
    outputs = {value.name for value in watching.graph.output}
    inner = [name for node in proto.graph.node for name in node.output if name and name not in outputs]
    watching.graph.output.extend(ValueInfoProto(name=name) for name in inner)
    session = session_of(watching.SerializeToString())
    for feed in feeds:
        for output, value in zip(session.get_outputs(), session.run(None, feed), strict=True):
            if isinstance(value, np.ndarray) and value.dtype == np.float32:
                peaks[output.name] = max(peaks.get(output.name, 0.0), float(np.abs(value).max(initial=0.0)))
    return peaks


def _overflowing(proto: ModelProto, peaks: dict[str, float]) -> list[str]:
    """Return the names of the nodes that take or give more than float16 holds."""
    large = {name for name, peak in peaks.items() if not peak <= MARGIN * LARGEST}
    return [node.name for node in proto.graph.node if large & {*node.input, *node.output}]


def _without_round_trips(proto: ModelProto) -> None:
    """Let neighbours in float32 hand over float32: the converter casts to float16 and back between them."""
    halves = {node.output[0]: node.input[0] for node in proto.graph.node if _casts_to(node, TensorProto.FLOAT16)}
    wholes = {node.output[0]: halves[node.input[0]] for node in proto.graph.node
              if _casts_to(node, TensorProto.FLOAT) and node.input[0] in halves}  # fmt: skip
    for node in proto.graph.node:
        for place, name in enumerate(node.input):
            node.input[place] = wholes.get(name, name)
    drop_dead_nodes(proto)


def _casts_to(node: NodeProto, kind: int) -> bool:
    return node.op_type == "Cast" and any(entry.name == "to" and entry.i == kind for entry in node.attribute)
