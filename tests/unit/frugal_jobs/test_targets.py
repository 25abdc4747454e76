"""Targets other than ONNX Runtime: what they make computes what the model computes, in their own runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from onnx import helper

from frugal.api.compression_steps import QuantizeStep
from frugal_jobs.datasets.samples import Samples
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import outputs_of
from frugal_jobs.targets.built import Built, Form, label_of
from frugal_jobs.targets.conversion import ConversionFailed, Means, build
from frugal_jobs.targets.planned import PLANS, plan_of
from frugal_jobs.targets.registry import RUNTIME_TARGETS, absence
from tests.unit.frugal_jobs.small_models import model_of, samples_of, small_cnn

LARGEST_ERROR = {"float32": 1e-5, "float16": 2e-3, "int8": 0.08, "int8 (dynamic)": 0.05}  # of the largest output


def images(count: int = 64) -> Samples:
    generator = np.random.default_rng(0)
    return samples_of(generator.integers(0, 17, (count, 8, 8)).astype(np.uint8), np.zeros(count, np.int64))


@pytest.mark.slow
@pytest.mark.parametrize("name", RUNTIME_TARGETS)
def test_every_form_computes_what_the_model_computes(tmp_path: Path, name: str) -> None:
    target, model, samples = RUNTIME_TARGETS[name], small_cnn(width=32), images()
    assert absence(target) == ""
    forms = list(target.forms(can_calibrate=True))

    made = build(target, model, forms, Means(folder=tmp_path, calibration=samples))

    expected = outputs_of(model, samples.batches())
    sizes = {}
    for form, one in zip(forms, made, strict=True):
        assert isinstance(one, Built), one
        error = np.abs(outputs_of(one, samples.batches()) - expected).max() / np.abs(expected).max()
        assert error < LARGEST_ERROR[label_of(form)], label_of(form)
        sizes[label_of(form)] = one.size_bytes
    assert min(sizes, key=lambda label: sizes[label]).startswith("int8")
    assert max(sizes, key=lambda label: sizes[label]) == "float32"


def test_a_form_that_a_runtime_lacks_costs_that_form_alone(tmp_path: Path) -> None:
    forms: list[Form] = [QuantizeStep(scheme="kmeans", bits=4), None]

    refused, plain = build(
        RUNTIME_TARGETS["litert/cpu"], small_cnn(), forms, Means(folder=tmp_path, calibration=images())
    )

    assert isinstance(refused, ConversionFailed)
    assert "no form kmeans" in refused.reason
    assert isinstance(plain, Built)


def test_an_operator_that_stops_the_conversion_is_named(tmp_path: Path) -> None:
    model = model_of([helper.make_node("Det", ["x"], ["y"])], {}, takes=("batch", 3, 3), gives=("batch",))

    (failed,) = build(RUNTIME_TARGETS["litert/cpu"], model, [None], Means(folder=tmp_path, calibration=None))

    assert isinstance(failed, ConversionFailed)
    assert "Det" in failed.reason


def test_a_converter_that_takes_too_long_is_ended(tmp_path: Path) -> None:
    means = Means(folder=tmp_path, calibration=None, timeout_seconds=0.2)

    (failed,) = build(RUNTIME_TARGETS["litert/cpu"], small_cnn(), [None], means)

    assert isinstance(failed, ConversionFailed)
    assert "took over" in failed.reason


def test_what_cannot_run_here_says_what_is_missing() -> None:
    told = {name: plan_of(name) for name in PLANS}

    assert "GPU" in told["tensorrt/cuda"]
    assert "CUDA" in told["onnxruntime/cuda"]
    assert "never verified" in told["sagemaker-neo/cpu"]


def test_an_artifact_keeps_the_open_batch_to_one_sample(tmp_path: Path) -> None:
    model: Model = small_cnn()

    built = Built(target="litert/cpu", extension=".tflite", content=b"x", source=model, form=None)

    assert [port.shape for port in built.inputs] == [(1, 1, 8, 8)]
