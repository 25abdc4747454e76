"""FLOPs, parameters, latency and memory of models."""

from __future__ import annotations

import io

import numpy as np
import onnx
import pytest
import torch
from torch.utils.flop_counter import FlopCounterMode

from frugal_jobs.evaluation.flops import flops_of
from frugal_jobs.evaluation.latency import compare
from frugal_jobs.evaluation.memory import inference_memory
from frugal_jobs.models.graph_import import imported
from frugal_jobs.models.model import Model
from tests.unit.frugal_jobs.small_models import linear, random, small_cnn


def test_flops_are_those_of_torchs_own_counter() -> None:
    model = small_cnn()
    module = imported(model).module
    with FlopCounterMode(display=False) as counter:
        module(torch.zeros(1, 1, 8, 8))

    flops = flops_of(model)

    assert flops == counter.get_total_flops()


def test_parameters_are_weights_without_shapes() -> None:
    model = small_cnn(width=16, classes=4)

    parameters = model.parameters

    assert parameters == (16 * 9 + 16) + (16 * 16 * 9 + 16) + (4 * 16 * 16 + 4)


def test_flops_are_unknown_when_a_size_is() -> None:
    proto = onnx.load(io.BytesIO(linear(random(2, 3)).content))
    proto.graph.input[0].type.tensor_type.ClearField("shape")

    flops = flops_of(Model(proto=proto))

    assert flops is None


def test_a_larger_model_is_slower_and_a_model_is_as_fast_as_itself() -> None:
    small, large = linear(random(8, 64)), linear(random(8192, 64))
    feed = {"x": np.zeros((1, 64), np.float32)}

    same, slower = compare(small, small, feed, seconds=0.2), compare(small, large, feed, seconds=0.2)

    assert 0.5 < same.ratio < 2
    assert slower.ratio < 0.5
    assert slower.candidate.p50_seconds <= slower.candidate.p95_seconds
    assert slower.candidate.runs == slower.baseline.runs


def test_a_larger_model_needs_more_memory() -> None:
    small, large = linear(random(8, 64)), linear(random(4096, 2048))

    needs = [inference_memory(model) for model in (small, large)]

    assert needs[1] - needs[0] > 4096 * 2048 * 4  # at least its weights


def test_a_model_that_varies_in_more_than_its_batch_still_has_flops() -> None:
    text = '<ir_version: 8, opset_import: ["" : 18]> g (float[n, t, 4] x) => (float[n, t, 2] y) { y = MatMul(x, w) }'
    proto = onnx.parser.parse_model(text)
    proto.graph.initializer.append(onnx.numpy_helper.from_array(random(4, 2), "w"))

    flops = flops_of(Model(proto=proto))

    assert flops == pytest.approx(2 * 16 * 4 * 2)  # 16 steps where the size is open
