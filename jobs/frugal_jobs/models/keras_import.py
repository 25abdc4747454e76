"""From a loaded Keras network to ONNX: walks the network's own graph, and lists which layer is read by what.

Images lose their channels-last order at the first layer that cares. What follows then is what PyTorch would export:
channels first, Conv, BatchNormalization, Gemm; so it can be pruned, trained and converted like any other model here.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from onnx import ModelProto, TensorProto, helper

from frugal_jobs.models import keras_layers as plain
from frugal_jobs.models import keras_weights as weighted
from frugal_jobs.models.keras_graph import Emit, Graph, UnsupportedLayer, Value

OPSET = 18


def graph_of(network: Any) -> ModelProto:
    """Return a loaded Keras network as ONNX; raises UnsupportedLayer."""
    graph = Graph()
    inputs = [Value(name=_input_name(one, at), shape=tuple(one.shape[1:])) for at, one in enumerate(network.inputs)]
    found = [graph.plain(value) for value in _run(graph, network, inputs)]
    outputs = [replace(value, name=graph.named(value.name, f"y{at or ''}")) for at, value in enumerate(found)]
    kinds = [_element_type(str(one.dtype)) for one in network.inputs]
    return helper.make_model(
        helper.make_graph(
            graph.nodes, "keras",
            [helper.make_tensor_value_info(one.name, kind, ["batch", *one.shape])
             for one, kind in zip(inputs, kinds, strict=True)],
            [helper.make_tensor_value_info(one.name, TensorProto.FLOAT, ["batch", *one.shape]) for one in outputs],
            graph.weights,
        ),
        opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10, producer_name="frugal",
    )  # fmt: skip


def _input_name(tensor: Any, position: int) -> str:
    return "x" if position == 0 else str(tensor.name)


def _element_type(dtype: str) -> int:
    kinds = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32, "int64": TensorProto.INT64}
    if dtype not in kinds:
        raise UnsupportedLayer(layer="InputLayer", detail=dtype)
    return kinds[dtype]


def _run(graph: Graph, network: Any, inputs: list[Value]) -> list[Value]:
    """Walk the network's own graph with values in place of tensors."""
    walked = network._functional if type(network).__name__ == "Sequential" else network
    found = walked._run_through_graph(inputs, operation_fn=lambda layer: _Emitter(graph, layer))
    return list(found) if isinstance(found, list | tuple) else [found]


@dataclass(frozen=True, slots=True)
class _Emitter:
    """Stands for a layer while the network is walked."""

    graph: Graph
    layer: Any

    def __call__(self, *arguments: Any, **options: Any) -> Value | list[Value]:
        del options
        name = type(self.layer).__name__
        values = list(arguments[0]) if isinstance(arguments[0], list | tuple) else list(arguments)
        if name in ("Functional", "Sequential", "Model"):
            results = _run(self.graph, self.layer, values)
            return results[0] if len(results) == 1 else results
        emit = LAYERS.get(name)
        if emit is None or not all(isinstance(value, Value) for value in values):
            raise UnsupportedLayer(layer=name)
        return emit(self.graph, self.layer, values)


LAYERS: dict[str, Emit] = {
    "Activation": plain.activation,
    "ActivityRegularization": plain.same,
    "Add": plain.combined("Add"),
    "AlphaDropout": plain.same,
    "Average": plain.average,
    "AveragePooling2D": weighted.pooled("AveragePool"),
    "BatchNormalization": weighted.normalized,
    "Concatenate": plain.concatenated,
    "Conv2D": weighted.convolved,
    "Dense": weighted.dense,
    "DepthwiseConv2D": weighted.convolved_by_depth,
    "Dropout": plain.same,
    "ELU": plain.elu,
    "Embedding": weighted.embedded,
    "Flatten": plain.flattened,
    "GaussianDropout": plain.same,
    "GaussianNoise": plain.same,
    "GlobalAveragePooling2D": weighted.pooled_globally("GlobalAveragePool"),
    "GlobalMaxPooling2D": weighted.pooled_globally("GlobalMaxPool"),
    "GRU": weighted.gru,
    "LayerNormalization": weighted.layer_normalized,
    "LeakyReLU": plain.leaky,
    "LSTM": weighted.lstm,
    "MaxPooling2D": weighted.pooled("MaxPool"),
    "Maximum": plain.combined("Max"),
    "Minimum": plain.combined("Min"),
    "Multiply": plain.combined("Mul"),
    "Permute": plain.permuted,
    "RandomFlip": plain.same,
    "RandomRotation": plain.same,
    "RandomTranslation": plain.same,
    "RandomZoom": plain.same,
    "ReLU": plain.relu,
    "Rescaling": plain.rescaled,
    "Reshape": plain.reshaped,
    "SeparableConv2D": weighted.convolved_separably,
    "Softmax": plain.softmax,
    "SpatialDropout2D": plain.same,
    "Subtract": plain.combined("Sub"),
    "ZeroPadding2D": weighted.padded,
}
