"""Small recurrent and embedding networks for the tests of the techniques, and how far two models are apart."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from frugal.api.compression_steps import Step
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import session_of
from frugal_jobs.techniques.context import Context
from frugal_jobs.techniques.registry import technique_for
from tests.unit.frugal_jobs.small_models import model_of, random

GATES = {"GRU": 3, "LSTM": 4, "RNN": 1}
TIMES = 7


def recurrent(operator: str, *, hidden: int = 48, width: int = 28, outputs: int = 40, **attributes: Any) -> Model:
    """Return a layer that reads (batch, time, width) and a head on its last state."""
    rows = GATES[operator] * hidden
    nodes = [
        helper.make_node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        helper.make_node(operator, ["t", "w", "r", "b"], ["", "h"], hidden_size=hidden, **attributes),
        helper.make_node("Squeeze", ["h", "axis"], ["s"]),
        helper.make_node("Gemm", ["s", "w2", "b2"], ["y"], transB=1),
    ]
    weights: dict[str, NDArray[Any]] = {
        "w": random(1, rows, width, seed=1), "r": random(1, rows, hidden, seed=2), "b": random(1, 2 * rows, seed=3),
        "axis": np.array([0], np.int64), "w2": random(outputs, hidden, seed=4), "b2": random(outputs, seed=5),
    }  # fmt: skip
    return model_of(nodes, weights, takes=("batch", TIMES, width), gives=("batch", outputs))


def sequence(batch: int = 5, width: int = 28) -> dict[str, NDArray[Any]]:
    return {"x": random(batch, TIMES, width, seed=9, scale=1.0)}


def embedding(*, words: int = 500, width: int = 64) -> Model:
    """Return a table of `words` and a product on what is looked up."""
    nodes = [helper.make_node("Gather", ["table", "x"], ["g"]), helper.make_node("MatMul", ["g", "w"], ["y"])]
    weights = {"table": random(words, width, seed=1), "w": random(width, 100, seed=2)}
    return model_of(nodes, weights, takes=("batch", 6), gives=("batch", 6, 100), dtype=TensorProto.INT64)


def words(batch: int = 4) -> dict[str, NDArray[Any]]:
    return {"x": np.random.default_rng(0).integers(0, 500, (batch, 6))}


def after(model: Model, means: Context, *steps: dict[str, Any]) -> Model:
    """Return `model` after the steps in their JSON form."""
    for step in steps:
        model = technique_for(Step.model_validate(step))(model, means)
    return model


def apart(model: Model, other: Model, feed: dict[str, NDArray[Any]]) -> float:
    """Return the largest difference of their first outputs as a share of the largest output."""
    one, two = (session_of(each.content).run(None, feed)[0].astype(np.float64) for each in (model, other))
    return float(np.abs(one - two).max() / np.abs(one).max())
