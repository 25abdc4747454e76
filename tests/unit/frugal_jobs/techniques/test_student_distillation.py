"""Students built from their teacher: what they look like, that they learn, with and without labels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import helper
from torch import nn

from frugal.api.compression_steps import DistillStep
from frugal_jobs.datasets.samples import Column, Samples
from frugal_jobs.models.graph_import import imported
from frugal_jobs.models.model import Model
from frugal_jobs.models.recurrent import Recurrent
from frugal_jobs.models.running import outputs_of
from frugal_jobs.models.unit_labels import CannotShrink
from frugal_jobs.techniques.feature_matching import attention_map
from frugal_jobs.techniques.student_distillation import Distillation
from frugal_jobs.techniques.students import narrowed, shallower
from frugal_jobs.techniques.tuning import NeedsTraining
from tests.unit.frugal_jobs.nets import GATES
from tests.unit.frugal_jobs.small_models import context, digits, model_of, random, small_cnn

PIXELS, LABELS = digits()
ORDER = np.random.default_rng(0).permutation(len(PIXELS))


def rows_of_digits(index: np.ndarray) -> Samples:
    """Return images as eight rows of eight pixels."""
    return Samples(columns=(Column(name="x", raw=PIXELS[index], dtype="float32", scale=1 / 255),), labels=LABELS[index])


TRAINING, TESTING = rows_of_digits(ORDER[:1400]), rows_of_digits(ORDER[1400:])


def reader(kind: str, *, hidden: int = 32, layers: int = 2, direction: str = "forward") -> Model:
    """Return stacked recurrent layers that read rows of pixels, and a head on the last state of the last layer."""
    directions = 2 if direction == "bidirectional" else 1
    weights: dict[str, Any] = {}
    rows, nodes = GATES[kind] * hidden, [helper.make_node("Transpose", ["x"], ["t0"], perm=[1, 0, 2])]
    for number in range(layers):
        width = 8 if number == 0 else hidden * directions
        weights |= {
            f"w{number}": random(directions, rows, width, seed=number), f"r{number}": random(directions, rows, hidden),
            f"b{number}": np.zeros((directions, 2 * rows), np.float32),
        }  # fmt: skip
        inputs = [f"t{number}", f"w{number}", f"r{number}", f"b{number}"]
        form: dict[str, Any] = {"linear_before_reset": 1} if kind == "GRU" else {}
        nodes += [
            helper.make_node(
                kind, inputs, [f"o{number}", f"h{number}"], hidden_size=hidden, direction=direction, **form
            ),
            helper.make_node("Transpose", [f"o{number}"], [f"p{number}"], perm=[0, 2, 1, 3]),
            helper.make_node("Reshape", [f"p{number}", "joined"], [f"t{number + 1}"]),
        ]
    nodes += [
        helper.make_node("ReduceMean", [f"t{layers}", "first"], ["m"], keepdims=0),
        helper.make_node("Gemm", ["m", "w", "b"], ["y"], transB=1),
    ]
    weights |= {"w": random(10, hidden * directions), "b": np.zeros(10, np.float32), "first": np.array([0], np.int64),
                "joined": np.array([0, 0, hidden * directions], np.int64)}  # fmt: skip
    return model_of(nodes, weights, takes=("batch", 8, 8), gives=("batch", 10))


def taught(model: Model, *, steps: int) -> Model:
    """Return `model` trained on the labels."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    trainable = imported(model)
    optimizer = torch.optim.AdamW(trainable.module.parameters(), lr=4e-3)
    generator = np.random.default_rng(0)
    for _ in range(steps):
        index = generator.integers(0, len(TRAINING), 128)
        logits = trainable.module(torch.from_numpy(TRAINING.at(index)["x"]))
        assert TRAINING.labels is not None
        loss = nn.functional.cross_entropy(logits, torch.from_numpy(TRAINING.labels[index].astype(np.int64)))
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Model(proto=trainable.written_back())


def accuracy(model: Model) -> float:
    assert TESTING.labels is not None
    return float((outputs_of(model, TESTING.batches()).argmax(1) == TESTING.labels).mean())


@pytest.fixture(scope="module")
def teacher() -> Model:
    return taught(reader("GRU"), steps=150)


@pytest.mark.parametrize("direction", ["forward", "bidirectional"])
@pytest.mark.parametrize("kind", ["GRU", "LSTM", "RNN"])
def test_a_recurrent_student_has_half_the_units_in_every_layer(kind: str, direction: str) -> None:
    model = reader(kind, direction=direction)

    student = narrowed(imported(model), model, width=0.5)

    again = Model(proto=student.written_back())
    cells = [layer for layer in student.module.modules() if isinstance(layer, Recurrent)]
    assert [cell.hidden for cell in cells] == [16, 16]
    assert again.size_bytes < 0.45 * model.size_bytes
    with torch.no_grad():
        found = student.module(torch.from_numpy(TESTING.at(slice(0, 9))["x"])).numpy()
    np.testing.assert_allclose(outputs_of(again, TESTING.take(slice(0, 9)).batches()), found, atol=1e-5)


@pytest.mark.parametrize("features", ["none", "hints", "attention"])
def test_a_student_learns_without_a_single_label(teacher: Model, tmp_path: Path, features: str) -> None:
    means = context(tmp_path, training=replace(TRAINING, labels=None))
    untrained = Model(proto=narrowed(imported(teacher), teacher, width=0.5).written_back())

    student = Distillation(DistillStep(width=0.5, features=features, epochs=35))(teacher, means)

    assert accuracy(teacher) > 0.9
    assert accuracy(student) > max(0.85, accuracy(untrained))
    assert teacher.parameters > 2.2 * student.parameters
    assert student.steps[0]["distill"]["epochs"] == pytest.approx(35, abs=0.3)
    assert student.label == "student width 50 %"


def test_labels_alone_teach_too(teacher: Model, tmp_path: Path) -> None:
    student = Distillation(DistillStep(width=0.5, label_share=1, epochs=20))(
        teacher, context(tmp_path, training=TRAINING)
    )

    assert accuracy(student) > 0.85


def test_a_convolutional_student_loses_the_same_share_of_each_layer(tmp_path: Path) -> None:
    model = small_cnn(width=32)

    student = narrowed(imported(model), model, width=0.5)

    widths = [layer.out_channels for layer in student.module.modules() if isinstance(layer, nn.Conv2d)]
    assert widths == [16, 16]


def test_a_shallower_student_lacks_a_residual_block(tmp_path: Path) -> None:
    model = small_cnn()

    student = shallower(imported(model), model, depth=0.01)

    again = Model(proto=student.written_back())
    feed = {"x": random(3, 1, 8, 8)}
    assert again.operator_counts()["Conv"] == 1
    assert "Add" not in again.operator_counts()
    with torch.no_grad():
        found = student.module(torch.from_numpy(feed["x"])).numpy()
    np.testing.assert_allclose(outputs_of(again, iter([feed])), found, atol=1e-5)


def test_a_network_without_blocks_cannot_be_made_shallower() -> None:
    model = reader("GRU")

    with pytest.raises(CannotShrink, match="of 0 blocks"):
        shallower(imported(model), model, depth=0.5)


def test_units_that_are_the_output_cannot_be_left_out() -> None:
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node("GRU", ["t", "w", "r"], ["", "h"], hidden_size=16),
        helper.make_node("Transpose", ["h"], ["y"], perm=[1, 0, 2]),
    ]
    model = model_of(nodes, {"w": random(1, 48, 8), "r": random(1, 48, 16)}, takes=("batch", 8, 8), gives=None)

    with pytest.raises(CannotShrink, match="units are the output"):
        narrowed(imported(model), model, width=0.5)


def test_distillation_without_samples_says_what_is_missing(tmp_path: Path) -> None:
    with pytest.raises(NeedsTraining, match="labels are not needed"):
        Distillation(DistillStep(width=0.5))(small_cnn(), context(tmp_path))


def test_an_attention_map_tells_where_and_not_how_much() -> None:
    features = torch.zeros(1, 2, 2, 3)
    features[0, 1, 0] = 5.0

    weak, strong = attention_map(features), attention_map(7 * features)

    assert weak.tolist() == [[0.0, 0.0, 1.0, 0.0]]
    torch.testing.assert_close(weak, strong)
