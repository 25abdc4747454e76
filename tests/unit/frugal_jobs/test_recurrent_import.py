"""Recurrent ONNX layers as torch layers: every form against ONNX Runtime, through training and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from onnx import helper

from frugal_jobs.models.graph_import import UnsupportedOperator, imported
from frugal_jobs.models.model import Model
from frugal_jobs.models.recurrent import Recurrent
from frugal_jobs.models.running import outputs_of
from tests.unit.frugal_jobs.nets import GATES, apart, recurrent, sequence
from tests.unit.frugal_jobs.small_models import model_of, random

FORMS: list[tuple[str, dict[str, Any]]] = [
    (kind, {"direction": direction} | more)
    for kind, more in (
        ("GRU", {"linear_before_reset": 1}), ("GRU", {"linear_before_reset": 0}), ("LSTM", {}), ("RNN", {}),
    )
    for direction in ("forward", "reverse", "bidirectional")
]  # fmt: skip


def layer(
    kind: str, *, hidden: int = 6, width: int = 5, given: tuple[str, ...] = (), output: int = 0, **form: Any
) -> Model:
    """Return one layer whose output number `output` is the model's, flattened by sample."""
    directions = 2 if form.get("direction") == "bidirectional" else 1
    rows, width = GATES[kind] * hidden, 5
    outputs = [*["", "", ""][:output], "o"]
    order = [2, 0, 1, 3] if output == 0 else [1, 0, 2]
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node(kind, ["t", "w", "r", "b", *given], outputs, hidden_size=hidden, **form),
        helper.make_node("Transpose", ["o"], ["p"], perm=order),
        helper.make_node("Flatten", ["p"], ["y"]),
    ]
    weights: dict[str, NDArray[Any]] = {
        "w": random(directions, rows, width, seed=1), "r": random(directions, rows, hidden, seed=2),
        "b": random(directions, 2 * rows, seed=3),
    }  # fmt: skip
    if given:
        weights["zeros"] = np.zeros((directions, 1, hidden), np.float32)
        weights["lengths"] = np.array([7], np.int32)
    return model_of(nodes, weights, takes=("batch", 7, width), gives=("batch", None))  # type: ignore[arg-type]


def rewritten(model: Model) -> Model:
    return Model(proto=imported(model).written_back())


@pytest.mark.parametrize(("kind", "form"), FORMS)
@pytest.mark.parametrize("output", [0, 1])
def test_each_form_computes_what_onnx_runtime_computes(kind: str, form: dict[str, Any], output: int) -> None:
    model = layer(kind, output=output, **form)

    again = rewritten(model)  # the import compares with ONNX Runtime on one sample

    assert apart(model, again, sequence(width=5)) < 1e-5
    trainable = imported(model)
    with torch.no_grad():
        found = trainable.module(torch.from_numpy(sequence(width=5)["x"])).numpy()
    np.testing.assert_allclose(found, outputs_of(model, iter([sequence(width=5)])), atol=1e-5)


def test_the_cell_state_of_an_lstm_is_its_third_output() -> None:
    model = layer("LSTM", output=2)

    assert apart(model, rewritten(model), sequence(width=5)) < 1e-5


def test_a_relu_network_is_known() -> None:
    model = layer("RNN", activations=["Relu"])

    assert apart(model, rewritten(model), sequence(width=5)) < 1e-5


def test_an_initial_state_of_zeros_needs_no_size() -> None:
    model = layer("GRU", given=("", "zeros"), linear_before_reset=1)

    trainable = imported(model)

    assert trainable.unused_inputs == ((1, 5),)


@pytest.mark.parametrize(
    ("form", "detail"),
    [
        ({"clip": 1.0}, "clipping"),
        ({"activations": ["Sigmoid", "Relu"]}, "own activations"),
        ({"given": ("lengths",)}, "lengths per sample"),
    ],
)
def test_a_foreign_form_is_refused_by_name(form: dict[str, Any], detail: str) -> None:
    with pytest.raises(UnsupportedOperator, match=f"GRU .*{detail}"):
        imported(layer("GRU", **form))


def test_training_changes_what_is_written_back() -> None:
    model = recurrent("GRU", hidden=8, linear_before_reset=1)
    trainable = imported(model)
    optimizer = torch.optim.SGD(trainable.module.parameters(), lr=0.1)
    images = torch.from_numpy(sequence()["x"])

    for _ in range(3):
        optimizer.zero_grad()
        trainable.module(images).square().mean().backward()
        optimizer.step()

    again = Model(proto=trainable.written_back())
    with torch.no_grad():
        found = trainable.module(images).numpy()
    np.testing.assert_allclose(outputs_of(again, iter([sequence()])), found, atol=1e-5)
    assert apart(model, again, sequence()) > 0.01


def test_units_that_are_removed_leave_a_smaller_layer_of_the_same_kind() -> None:
    model = layer("LSTM", direction="bidirectional", hidden=6)
    trainable = imported(model)
    cell = next(one for one in trainable.module.modules() if isinstance(one, Recurrent))

    cell.keep_units(torch.tensor([0, 2, 5]))

    again = Model(proto=trainable.written_back())
    assert outputs_of(again, iter([sequence(width=5)])).shape == (5, 7 * 2 * 3)
    with torch.no_grad():
        found = trainable.module(torch.from_numpy(sequence(width=5)["x"])).numpy()
    np.testing.assert_allclose(outputs_of(again, iter([sequence(width=5)])), found, atol=1e-5)
