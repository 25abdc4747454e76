"""Graph clean-up, float16 and static int8: what they change, and what they must not."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import helper

from frugal.api.compression_steps import QuantizeStep, Step
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import outputs_of
from frugal_jobs.targets.onnxruntime_cpu import objection, optimized
from frugal_jobs.techniques.float16 import to_float16
from frugal_jobs.techniques.graph_cleanup import clean
from frugal_jobs.techniques.registry import technique_for
from frugal_jobs.techniques.static_int8 import StaticInt8
from tests.unit.frugal_jobs.small_models import context, digits, model_of, random, samples_of, small_cnn

PIXELS, LABELS = digits()
FEED = samples_of(PIXELS[:64], None)


def outputs(model: Model) -> NDArray[np.float64]:
    return np.asarray(outputs_of(model, FEED.batches()), np.float64)


def test_a_cleaned_graph_is_smaller_and_answers_equally_to_the_bit() -> None:
    model = onnx.shape_inference.infer_shapes(small_cnn().proto)
    for number, node in enumerate(model.graph.node):
        node.name, node.doc_string = f"a/rather/long/name/of/a/node/{number}", "a note"
    noisy = Model(proto=model)

    cleaned = clean(noisy)

    assert cleaned.size_bytes < noisy.size_bytes
    assert (outputs(cleaned) == outputs(noisy)).all()
    assert [port.name for port in (*cleaned.inputs, *cleaned.outputs)] == ["x", "y"]


def test_a_weight_that_nothing_uses_is_dropped() -> None:
    model = small_cnn()
    model.proto.graph.initializer.append(onnx.numpy_helper.from_array(random(100), "unused"))

    cleaned = clean(model)

    assert cleaned.parameters == small_cnn().parameters


def test_weights_that_are_equal_are_stored_once() -> None:
    weight = random(64, 64)
    nodes = [helper.make_node("MatMul", ["x", "a"], ["m"]), helper.make_node("MatMul", ["m", "b"], ["y"])]
    model = model_of(nodes, {"a": weight, "b": weight}, takes=("batch", 64), gives=("batch", 64))

    cleaned = clean(model)

    feed = {"x": random(3, 64)}
    assert cleaned.parameters == 64 * 64
    assert (outputs_of(cleaned, iter([feed])) == outputs_of(model, iter([feed]))).all()


def test_a_graph_with_a_branch_keeps_the_names_that_the_branch_uses() -> None:
    text = """
    <ir_version: 8, opset_import: ["" : 18]>
    g (float[n, 4] x, bool c) => (float[n, 4] y) <float[4] weight_with_a_long_name = {1, 2, 3, 4}> {
      y = If (c) <
        then_branch = t () => (float[n, 4] t_out) { t_out = Add(x, weight_with_a_long_name) },
        else_branch = e () => (float[n, 4] e_out) { e_out = Mul(x, weight_with_a_long_name) }
      >
    }"""
    model = Model(proto=onnx.parser.parse_model(text))

    cleaned = clean(model)

    feed = {"x": np.ones((1, 4), np.float32), "c": np.array(True)}
    from frugal_jobs.models.running import session_of

    np.testing.assert_allclose(session_of(cleaned.content).run(None, feed)[0], [[2, 3, 4, 5]])


def test_float16_halves_the_file_and_keeps_the_types_of_input_and_output(tmp_path: Path) -> None:
    model = small_cnn(width=32)

    half = to_float16(model, context(tmp_path))

    assert model.size_bytes / clean(half).size_bytes > 1.8
    assert [port.dtype for port in (*half.inputs, *half.outputs)] == ["float32", "float32"]
    np.testing.assert_allclose(outputs(half), outputs(model), atol=0.02)
    assert half.label == "float16"


@pytest.mark.parametrize("calibrate", ["minmax", "entropy", "percentile"])
def test_int8_quarters_the_file_and_stays_near(tmp_path: Path, calibrate: str) -> None:
    model = small_cnn(width=32)
    step = QuantizeStep(calibrate=calibrate)

    quantized = clean(StaticInt8(step)(model, context(tmp_path, calibration=samples_of(PIXELS, None))))

    spread = float(np.abs(outputs(model)).max())
    assert model.size_bytes / quantized.size_bytes > 3
    assert np.abs(outputs(quantized) - outputs(model)).mean() < 0.05 * spread
    assert quantized.steps[0]["quantize"]["calibrate"] == calibrate


def test_int8_convolutions_run_in_integers(tmp_path: Path) -> None:
    quantized = StaticInt8(QuantizeStep())(small_cnn(), context(tmp_path, calibration=samples_of(PIXELS, None)))

    graph = optimized(quantized)

    assert graph.quantized >= 2
    assert objection(quantized) == ""


def test_a_model_whose_convolutions_stay_in_float_is_objected_to() -> None:
    nodes = [
        helper.make_node("QuantizeLinear", ["x", "s", "z"], ["q"]),
        helper.make_node("DequantizeLinear", ["q", "s", "z"], ["d"]),
        helper.make_node("Conv", ["d", "w"], ["c"]),
        helper.make_node("Conv", ["c", "w2"], ["y"]),
    ]
    weights: dict[str, NDArray[Any]] = {
        "s": np.array(0.1, np.float32),
        "z": np.array(128, np.uint8),
        "w": random(4, 1, 3, 3),
        "w2": random(4, 4, 3, 3),
    }
    model = model_of(nodes, weights, takes=(1, 1, 8, 8), gives=None)

    reason = objection(model)

    assert reason == "the runtime leaves 2 of 2 convolutions and products in float"


def test_an_old_opset_is_raised_before_it_is_quantized(tmp_path: Path) -> None:
    nodes = [helper.make_node("Flatten", ["x"], ["f"]), helper.make_node("Gemm", ["f", "w", "b"], ["y"], transB=1)]
    old = model_of(nodes, {"w": random(8, 64), "b": random(8)}, takes=("n", 1, 8, 8), gives=("n", 8), opset=11)

    quantized = StaticInt8(QuantizeStep())(old, context(tmp_path, calibration=samples_of(PIXELS, None)))

    assert quantized.operator_counts()["DequantizeLinear"] > 0


def test_int8_without_calibration_samples_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="needs calibration samples"):
        StaticInt8(QuantizeStep())(small_cnn(), context(tmp_path))


def test_each_step_of_the_api_has_its_technique() -> None:
    steps = [{"quantize": {}}, {"quantize": {"scheme": "float16", "bits": 16}}, {"prune": {"ratio": 0.5}}]

    techniques = [technique_for(Step.model_validate(step)) for step in steps]

    names = [getattr(one, "__name__", type(one).__name__) for one in techniques]
    assert names == ["StaticInt8", "to_float16", "StructuredPruning"]
