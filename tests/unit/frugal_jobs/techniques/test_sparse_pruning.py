"""Zeros: how many, where, that training leaves them, and what the importances find."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from onnx import numpy_helper

from frugal.api.compression_steps import PruneStep
from frugal_jobs.models.model import Model
from frugal_jobs.techniques.sparse_pruning import SparsePruning, scheduled, strongest, two_of_four
from frugal_jobs.techniques.structured_pruning import StructuredPruning
from frugal_jobs.techniques.tuning import NeedsTraining
from tests.unit.frugal_jobs.nets import recurrent
from tests.unit.frugal_jobs.small_models import context, digits, samples_of, small_cnn

PIXELS, LABELS = digits()
TRAINING = samples_of(PIXELS[LABELS < 4][:256], LABELS[LABELS < 4][:256])


def largest_weights(model: Model) -> list[np.ndarray]:
    arrays = [numpy_helper.to_array(tensor) for tensor in model.proto.graph.initializer]
    return sorted((array for array in arrays if array.ndim >= 3), key=lambda array: -array.size)


def step(**more: Any) -> PruneStep:
    return PruneStep.model_validate({"kind": "unstructured", "ratio": 0.7, "epochs": 2} | more)


@pytest.mark.parametrize("rounds", [1, 2])
def test_training_leaves_the_zeros(tmp_path: Path, rounds: int) -> None:
    sparse = SparsePruning(step(rounds=rounds))(small_cnn(), context(tmp_path, training=TRAINING))

    convolutions = np.concatenate([array.ravel() for array in largest_weights(sparse)])
    assert (convolutions == 0).mean() == pytest.approx(0.7, abs=0.01)
    assert sparse.label == "70 % zeros"
    assert "nothing gets faster" in sparse.notes[0]
    assert sparse.steps[0]["prune"]["epochs"] == pytest.approx(2, abs=0.5)


def test_by_layer_each_loses_the_share(tmp_path: Path) -> None:
    sparse = SparsePruning(step(scope="layer", epochs=0))(small_cnn(), context(tmp_path))

    assert [float((one == 0).mean()) for one in largest_weights(sparse)] == pytest.approx([0.7, 0.7], abs=0.01)


def test_two_of_each_four_inputs_stay(tmp_path: Path) -> None:
    sparse = SparsePruning(step(kind="semi-structured", epochs=1))(small_cnn(), context(tmp_path, training=TRAINING))

    inner = largest_weights(sparse)[0]  # 16 x 16 x 3 x 3
    groups = np.moveaxis(inner, 1, -1).reshape(-1, 4)
    assert ((groups == 0).sum(1) == 2).all()
    assert sparse.label == "2:4 sparse"


def test_recurrent_weights_are_pruned_too(tmp_path: Path) -> None:
    sparse = SparsePruning(step(epochs=0, ratio=0.5))(recurrent("LSTM"), context(tmp_path))

    weights = np.concatenate([array.ravel() for array in largest_weights(sparse)])
    assert (weights == 0).mean() == pytest.approx(0.5, abs=0.01)


@pytest.mark.parametrize("importance", ["magnitude", "taylor", "batchnorm"])
@pytest.mark.parametrize("rounds", [1, 3])
def test_channels_go_by_every_importance_and_in_rounds(tmp_path: Path, importance: str, rounds: int) -> None:
    model = small_cnn(width=32)
    how = step(kind="structured", ratio=0.5, importance=importance, rounds=rounds, epochs=0)

    pruned = StructuredPruning(how)(model, context(tmp_path, training=TRAINING))

    assert pruned.parameters < 0.55 * model.parameters
    assert pruned.steps[0]["prune"]["importance"] == importance


def test_a_gradient_needs_samples(tmp_path: Path) -> None:
    with pytest.raises(NeedsTraining, match="taylor"):
        SparsePruning(step(importance="taylor"))(small_cnn(), context(tmp_path))


def test_masks_keep_what_is_strongest() -> None:
    importance = torch.tensor([[4.0, 3.0, 2.0, 1.0], [1.0, 9.0, 2.0, 8.0]])

    assert two_of_four(importance).tolist() == [[True, True, False, False], [False, True, False, True]]
    assert int(strongest(importance, 0.25).sum()) == 6


def test_the_schedule_ends_at_the_ratio_and_cuts_most_at_first() -> None:
    shares = [scheduled(0.8, number, 4) for number in range(1, 5)]

    cuts = np.diff([0.0, *shares])
    assert shares[-1] == pytest.approx(0.8)
    assert (np.diff(cuts) < 0).all()
