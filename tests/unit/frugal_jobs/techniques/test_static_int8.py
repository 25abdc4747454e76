"""Static int8 beyond the usual: ranges by least squares, sensitive layers in float, and training with the rounding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from frugal.api.compression_steps import QuantizeStep
from frugal_jobs.models.graph_import import imported
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import outputs_of
from frugal_jobs.targets.onnxruntime_cpu import optimized
from frugal_jobs.techniques.quantization_aware import QuantizationAware, rounded_layers
from frugal_jobs.techniques.range_calibration import best_range
from frugal_jobs.techniques.sensitivity import most_sensitive
from frugal_jobs.techniques.static_int8 import StaticInt8
from frugal_jobs.techniques.tuning import NeedsTraining
from tests.unit.frugal_jobs.small_models import context, digits, samples_of, small_cnn

PIXELS, LABELS = digits()
FOUR = LABELS < 4
CALIBRATION = samples_of(PIXELS[:128], None)
TRAINING = samples_of(PIXELS[FOUR][:256], LABELS[FOUR][:256])


def change(one: Model, other: Model) -> float:
    whole, part = (outputs_of(model, CALIBRATION.batches()).astype(np.float64) for model in (one, other))
    return float(np.linalg.norm(whole - part) / np.linalg.norm(whole))


def test_ranges_by_least_squares_give_a_model_as_near(tmp_path: Path) -> None:
    model = small_cnn()

    quantized = StaticInt8(QuantizeStep(calibrate="mse"))(model, context(tmp_path, calibration=CALIBRATION))

    assert change(model, quantized) < 0.03
    assert optimized(quantized).quantized >= 2
    assert quantized.label == "int8 (mse)"


def test_an_outlier_is_clipped_when_that_costs_least() -> None:
    counts = np.zeros(1000)
    counts[:100], counts[-1] = 1000.0, 1.0
    edges = np.linspace(0, 10, 1001)

    low, high = best_range(counts, edges, 0.0, 10.0)

    assert low == 0.0
    assert high < 10.0


@pytest.mark.parametrize("keep", [0, 1, 2])
def test_the_most_sensitive_layers_stay_in_float(tmp_path: Path, keep: int) -> None:
    model = small_cnn()

    quantized = StaticInt8(QuantizeStep(keep=keep))(model, context(tmp_path, calibration=CALIBRATION))

    assert len(quantized.errors) >= 3 - keep
    assert len(quantized.notes) == (keep > 0)
    assert change(model, quantized) < 0.03


def test_the_worst_come_first_and_equal_ones_by_name() -> None:
    assert most_sensitive({"b": 0.1, "a": 0.1, "c": 0.4}, 2) == ["c", "a"]


def test_the_weights_errors_are_half_a_step_at_most(tmp_path: Path) -> None:
    quantized = StaticInt8(QuantizeStep())(small_cnn(), context(tmp_path, calibration=CALIBRATION))

    assert {error.clipped_ratio for error in quantized.errors} == {0.0}
    assert all(error.signal_to_noise_db > 35 for error in quantized.errors)


def test_rounded_layers_compute_what_static_int8_computes(tmp_path: Path) -> None:
    model = small_cnn()
    module = imported(model).module
    rounded_layers(module, per_channel=True)
    images = torch.from_numpy(CALIBRATION.at(slice(0, 128))["x"])
    module.train()(images)  # shows the ranges

    with torch.no_grad():
        found = module.eval()(images).numpy()

    quantized = StaticInt8(QuantizeStep())(model, context(tmp_path, calibration=CALIBRATION))
    expected = outputs_of(quantized, CALIBRATION.batches())
    assert np.linalg.norm(found - expected) / np.linalg.norm(expected) < 0.02


def test_training_with_the_rounding_ends_in_integers(tmp_path: Path) -> None:
    model = small_cnn()
    step = QuantizeStep(mode="aware", epochs=2)

    quantized = QuantizationAware(step)(model, context(tmp_path, training=TRAINING))

    assert optimized(quantized).quantized >= 2
    assert quantized.label == "trained int8"
    assert quantized.steps[0]["quantize"]["epochs"] == pytest.approx(2, abs=0.3)


def test_a_rounded_weight_still_has_a_gradient() -> None:
    layer = nn.Linear(4, 2)
    rounded_layers(layer, per_channel=True)

    layer(torch.randn(3, 4)).sum().backward()

    original: Any = layer.parametrizations
    assert original.weight.original.grad.abs().sum() > 0


def test_without_training_samples_it_says_so(tmp_path: Path) -> None:
    with pytest.raises(NeedsTraining, match="quantization-aware"):
        QuantizationAware(QuantizeStep(mode="aware"))(small_cnn(), context(tmp_path))
