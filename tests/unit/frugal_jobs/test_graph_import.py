"""ONNX graphs as torch modules: every operator against ONNX Runtime, and what is refused."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from torch import nn

from frugal_jobs.models.graph_import import UnsupportedOperator, imported
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import outputs_of
from tests.unit.frugal_jobs.small_models import linear, model_of, random, small_cnn

IMAGE = ("batch", 4, 6, 6)
ROWS = ("batch", 8)
ONES = np.ones
Weights = dict[str, NDArray[Any]]


def ints(*numbers: int) -> NDArray[np.int64]:
    return np.array(numbers, np.int64)


# name: (operator, input shape, further inputs, attributes)
ONE_OPERATOR: dict[str, tuple[str, tuple[int | str, ...], Weights, dict[str, Any]]] = {
    "conv": ("Conv", IMAGE, {"w": random(5, 4, 3, 3), "b": random(5)}, {"pads": [1, 1, 1, 1], "strides": [2, 2]}),
    "conv, uneven pads": ("Conv", IMAGE, {"w": random(5, 4, 3, 3)}, {"pads": [0, 0, 1, 1]}),
    "conv, depthwise": ("Conv", IMAGE, {"w": random(4, 1, 3, 3)}, {"group": 4}),
    "conv, dilated": ("Conv", IMAGE, {"w": random(5, 4, 2, 2)}, {"dilations": [2, 2]}),
    "conv over time": ("Conv", ("batch", 4, 9), {"w": random(5, 4, 3)}, {}),
    "transposed conv": (
        "ConvTranspose", IMAGE, {"w": random(4, 3, 2, 2), "b": random(3)}, {"strides": [2, 2]},
    ),
    "batch norm": (
        "BatchNormalization", IMAGE,
        {"s": random(4), "b": random(4, seed=1), "m": random(4, seed=2), "v": 1 + random(4, seed=3) ** 2}, {},
    ),
    "batch norm of rows": (
        "BatchNormalization", ROWS, {"s": random(8), "b": random(8), "m": random(8), "v": ONES(8, np.float32)}, {},
    ),
    "layer norm": ("LayerNormalization", ("batch", 3, 8), {"s": random(8), "b": random(8)}, {"axis": -1}),
    "gemm": ("Gemm", ROWS, {"w": random(8, 3), "b": random(3)}, {}),
    "gemm, transposed": ("Gemm", ROWS, {"w": random(3, 8)}, {"transB": 1}),
    "product": ("MatMul", ("batch", 5, 8), {"w": random(8, 3)}, {}),
    "relu": ("Relu", ROWS, {}, {}),
    "sigmoid": ("Sigmoid", ROWS, {}, {}),
    "tanh": ("Tanh", ROWS, {}, {}),
    "hard swish": ("HardSwish", ROWS, {}, {}),
    "hard sigmoid": ("HardSigmoid", ROWS, {}, {"alpha": 0.3, "beta": 0.4}),
    "leaky relu": ("LeakyRelu", ROWS, {}, {"alpha": 0.2}),
    "elu": ("Elu", ROWS, {}, {}),
    "softplus": ("Softplus", ROWS, {}, {}),
    "erf": ("Erf", ROWS, {}, {}),
    "exp": ("Exp", ROWS, {}, {}),
    "clip": ("Clip", ROWS, {"low": np.array(-0.5, np.float32), "high": np.array(0.5, np.float32)}, {}),
    "softmax": ("Softmax", ROWS, {}, {}),
    "log softmax": ("LogSoftmax", ROWS, {}, {"axis": 1}),
    "max pool": ("MaxPool", IMAGE, {}, {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "max pool, ceil": ("MaxPool", ("batch", 4, 7, 7), {}, {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "average pool": ("AveragePool", IMAGE, {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1]}),
    "average pool with pads": (
        "AveragePool", IMAGE, {}, {"kernel_shape": [3, 3], "pads": [1, 1, 1, 1], "count_include_pad": 1},
    ),
    "global average": ("GlobalAveragePool", IMAGE, {}, {}),
    "mean": ("ReduceMean", IMAGE, {"axes": ints(2, 3)}, {"keepdims": 0}),
    "add": ("Add", IMAGE, {"c": random(4, 1, 1)}, {}),
    "subtract": ("Sub", ROWS, {"c": random(8)}, {}),
    "multiply": ("Mul", ROWS, {"c": np.array(2.0, np.float32)}, {}),
    "divide": ("Div", ROWS, {"c": 1 + random(8) ** 2}, {}),
    "power": ("Pow", ROWS, {"c": np.array(2.0, np.float32)}, {}),
    "flatten": ("Flatten", IMAGE, {}, {}),
    "reshape to rows": ("Reshape", IMAGE, {"s": ints(-1, 144)}, {}),
    "reshape": ("Reshape", IMAGE, {"s": ints(0, 2, 2, 36)}, {}),
    "transpose": ("Transpose", IMAGE, {}, {"perm": [0, 2, 3, 1]}),
    "squeeze": ("Squeeze", ("batch", 1, 8), {"a": ints(1)}, {}),
    "unsqueeze": ("Unsqueeze", ROWS, {"a": ints(1, -1)}, {}),
    "slice": ("Slice", IMAGE, {"s": ints(1), "e": ints(6), "a": ints(2), "t": ints(2)}, {}),
    "gather": ("Gather", ROWS, {"i": ints(1, -1)}, {"axis": 1}),
    "cast": ("Cast", ROWS, {}, {"to": TensorProto.FLOAT}),
    "pad": ("Pad", IMAGE, {"p": ints(0, 0, 1, 0, 0, 0, 0, 2)}, {}),
    "pad by reflection": ("Pad", IMAGE, {"p": ints(0, 0, 1, 1, 0, 0, 1, 1)}, {"mode": "reflect"}),
    "global maximum": ("GlobalMaxPool", IMAGE, {}, {}),
    "sum": ("ReduceSum", IMAGE, {"axes": ints(1)}, {}),
    "sum of all": ("ReduceSum", ROWS, {}, {}),
    "largest": ("ReduceMax", IMAGE, {"axes": ints(2, 3)}, {}),
    "smallest": ("ReduceMin", IMAGE, {"axes": ints(3)}, {"keepdims": 0}),
    "length": ("ReduceL2", ROWS, {"axes": ints(1)}, {}),
    "sign": ("Sign", ROWS, {}, {}),
    "sine": ("Sin", ROWS, {}, {}),
    "cosine": ("Cos", ROWS, {}, {}),
    "softsign": ("Softsign", ROWS, {}, {}),
    "mish": ("Mish", ROWS, {}, {}),
    "selu": ("Selu", ROWS, {}, {}),
    "leaky relu, learnt": ("PRelu", IMAGE, {"slope": random(4, 1, 1)}, {}),
    "minimum": ("Min", ROWS, {"c": random(8)}, {}),
    "maximum": ("Max", ROWS, {"c": random(8), "d": random(8, seed=1)}, {}),
    "expand": ("Expand", ("batch", 1, 8), {"s": ints(1, 3, 8)}, {}),
    "tile": ("Tile", ROWS, {"r": ints(1, 2)}, {}),
    "identity": ("Identity", ROWS, {}, {}),
    "dropout": ("Dropout", ROWS, {}, {}),
}  # fmt: skip


@pytest.mark.parametrize("name", ONE_OPERATOR)
def test_each_operator_computes_what_onnx_runtime_computes(name: str) -> None:
    operator, shape, weights, attributes = ONE_OPERATOR[name]
    node = helper.make_node(operator, ["x", *weights], ["y"], **attributes)
    model = model_of([node], weights, takes=shape, gives=None)

    trainable = imported(model)  # compares with ONNX Runtime, and raises where they differ

    again = Model(proto=trainable.written_back())
    feed = {"x": random(2, *(size for size in shape[1:] if isinstance(size, int)), seed=9)}
    np.testing.assert_allclose(outputs_of(again, iter([feed])), outputs_of(model, iter([feed])), rtol=1e-5, atol=1e-6)


def test_gelu_needs_a_newer_opset_and_is_known() -> None:
    model = model_of([helper.make_node("Gelu", ["x"], ["y"])], {}, takes=ROWS, gives=None, opset=20)

    trainable = imported(model)

    assert trainable.slots == ()


def test_a_product_with_a_bias_after_it_is_one_layer() -> None:
    nodes = [helper.make_node("MatMul", ["x", "w"], ["m"]), helper.make_node("Add", ["b", "m"], ["y"])]
    model = model_of(nodes, {"w": random(8, 3), "b": random(3)}, takes=ROWS, gives=("batch", 3))

    trainable = imported(model)

    layers = [layer for layer in trainable.module.modules() if isinstance(layer, nn.Linear)]
    assert len(layers) == 1
    assert layers[0].bias is not None


def test_a_shape_that_is_computed_from_the_batch_is_followed() -> None:
    nodes = [
        helper.make_node("Shape", ["x"], ["s"]),
        helper.make_node("Gather", ["s", "zero"], ["n"]),
        helper.make_node("Concat", ["n", "rest"], ["target"], axis=0),
        helper.make_node("Reshape", ["x", "target"], ["y"]),
    ]
    model = model_of(nodes, {"zero": ints(0), "rest": ints(-1)}, takes=IMAGE, gives=None)

    trainable = imported(model)

    assert trainable.slots == ()


def test_attention_with_a_mask_is_followed() -> None:
    """Softmax(Q K^T / sqrt(d) + mask) V from one projection that is split, as exporters write it."""
    nodes = [
        helper.make_node("MatMul", ["x", "w"], ["qkv"]),
        helper.make_node("Split", ["qkv"], ["q", "k", "v"], axis=2, num_outputs=3),
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 2, 1]),
        helper.make_node("MatMul", ["q", "kt"], ["qk"]),
        helper.make_node("Div", ["qk", "root"], ["scaled"]),
        helper.make_node("Greater", ["scaled", "edge"], ["is_large"]),
        helper.make_node("Where", ["is_large", "low", "scaled"], ["masked"]),
        helper.make_node("Softmax", ["masked"], ["p"], axis=-1),
        helper.make_node("Einsum", ["p", "v"], ["y"], equation="btk,bkd->btd"),
    ]
    weights = {"w": random(8, 24), "root": np.array(8**0.5, np.float32), "edge": np.array(0.1, np.float32),
               "low": np.array(-1e4, np.float32)}  # fmt: skip
    model = model_of(nodes, weights, takes=("batch", 5, 8), gives=None)

    trainable = imported(model)

    assert len(trainable.slots) == 1


def test_weights_that_are_transposed_first_are_written_back_where_they_are_used() -> None:
    nodes = [helper.make_node("Transpose", ["w"], ["t"], perm=[1, 0]), helper.make_node("MatMul", ["x", "t"], ["y"])]
    model = model_of(nodes, {"w": random(3, 8)}, takes=ROWS, gives=("batch", 3))
    trainable = imported(model)
    with_double = next(layer for layer in trainable.module.modules() if isinstance(layer, nn.Linear))
    with_double.weight.data *= 2

    again = Model(proto=trainable.written_back())

    feed = {"x": random(2, 8)}
    np.testing.assert_allclose(outputs_of(again, iter([feed])), 2 * outputs_of(model, iter([feed])), rtol=1e-5)


def test_only_the_last_layers_are_the_outputs() -> None:
    trainable = imported(small_cnn())

    assert trainable.output_modules == ("n7",)


def test_an_operator_that_cannot_be_trained_is_named() -> None:
    nodes = [helper.make_node("NonZero", ["x"], ["i"]), helper.make_node("Cast", ["i"], ["y"], to=TensorProto.FLOAT)]
    model = model_of(nodes, {}, takes=ROWS, gives=None)

    with pytest.raises(UnsupportedOperator, match="NonZero"):
        imported(model)


def test_an_operator_of_a_foreign_domain_is_not_taken_for_ours() -> None:
    model = linear(random(2, 3))
    proto = onnx.ModelProto()
    proto.CopyFrom(model.proto)
    proto.graph.node[0].domain = "com.example"

    with pytest.raises(UnsupportedOperator, match="Gemm"):
        imported(Model(proto=proto))
