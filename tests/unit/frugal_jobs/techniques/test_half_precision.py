"""float16 and bfloat16: sizes, and what float16 cannot hold."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from onnx import helper

from frugal_jobs.datasets.samples import Column, Samples
from frugal_jobs.models.model import Model
from frugal_jobs.techniques.graph_cleanup import clean
from tests.unit.frugal_jobs.nets import after, apart, recurrent, sequence
from tests.unit.frugal_jobs.small_models import context, linear, model_of, random

BFLOAT16 = {"quantize": {"scheme": "bfloat16", "bits": 16}}
FLOAT16 = {"quantize": {"scheme": "float16", "bits": 16}}


def test_bfloat16_halves_the_file_and_loses_three_digits_at_most(tmp_path: Path) -> None:
    model = recurrent("GRU", hidden=96)

    small = clean(after(model, context(tmp_path), BFLOAT16))

    assert model.size_bytes / small.size_bytes > 1.9
    assert apart(model, small, sequence()) < 0.05
    assert all(error.signal_to_noise_db > 45 for error in small.errors)  # 8 bits of mantissa


def test_bfloat16_holds_what_float16_does_not(tmp_path: Path) -> None:
    model = linear(1e6 * random(16, 16))

    small = after(model, context(tmp_path), BFLOAT16)

    assert apart(model, small, {"x": random(2, 16)}) < 0.02


def scaled(weight: float, activation: float) -> Model:
    """Return two products; the first has weights of the size `weight`, what it gives is multiplied by `activation`."""
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["m"]),
        helper.make_node("Mul", ["m", "large"], ["l"]),
        helper.make_node("Mul", ["l", "small"], ["s"]),
        helper.make_node("MatMul", ["s", "b"], ["y"]),
    ]
    weights = {
        "a": weight * random(32, 32), "b": random(32, 32), "large": np.array([activation], np.float32),
        "small": np.array([1 / (weight * activation)], np.float32),
    }  # fmt: skip
    return model_of(nodes, weights, takes=("batch", 32), gives=("batch", 32))


def test_a_layer_whose_weights_overflow_float16_stays_in_float32(tmp_path: Path) -> None:
    model = scaled(1e6, 1.0)

    half = after(model, context(tmp_path), FLOAT16)

    assert apart(model, half, {"x": random(8, 32)}) < 0.02  # 1e-6 has few digits in float16
    assert half.notes == ("3 layers that float16 cannot hold stay in float32",)
    assert half.size_bytes < 0.9 * model.size_bytes  # the other product is in float16


def test_a_layer_whose_results_overflow_is_found_on_calibration_samples(tmp_path: Path) -> None:
    model = scaled(1.0, 3e4)
    rows = 3 * random(64, 32, seed=5)
    samples = Samples(columns=(Column(name="x", raw=rows, dtype="float32"),))

    half = after(model, context(tmp_path, calibration=samples), FLOAT16)

    assert half.notes == ("2 layers that float16 cannot hold stay in float32",)
    assert apart(model, half, {"x": rows}) < 0.01
