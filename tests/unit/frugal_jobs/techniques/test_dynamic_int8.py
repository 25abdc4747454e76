"""Dynamic int8: what runs in integers, what is only packed, and what the report says of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugal_jobs.techniques.weights_only import NothingToQuantize
from tests.unit.frugal_jobs.nets import after, apart, embedding, recurrent, sequence, words
from tests.unit.frugal_jobs.small_models import context, linear, random, small_cnn

DYNAMIC = {"quantize": {"mode": "dynamic"}}


def test_a_product_is_computed_in_integers_and_an_embedding_shrinks(tmp_path: Path) -> None:
    model = embedding()

    small = after(model, context(tmp_path), DYNAMIC)

    assert small.operator_counts()["MatMulInteger"] == 1
    assert small.notes == ("computed in integers: 1 MatMulInteger",)
    assert model.size_bytes / small.size_bytes > 3.7
    assert apart(model, small, words()) < 0.02


def test_an_lstm_is_computed_in_integers(tmp_path: Path) -> None:
    model = recurrent("LSTM")

    small = after(model, context(tmp_path), DYNAMIC)

    assert small.operator_counts()["DynamicQuantizeLSTM"] == 1
    assert apart(model, small, sequence()) < 0.05
    assert all(error.signal_to_noise_db > 35 for error in small.errors)


@pytest.mark.parametrize("operator", ["GRU", "RNN"])
def test_what_the_runtime_cannot_quantize_only_shrinks_and_the_note_says_so(tmp_path: Path, operator: str) -> None:
    model = recurrent(operator, hidden=96)

    small = after(model, context(tmp_path), DYNAMIC)

    assert f"no faster, computed in float32: the weights of {operator}" in small.notes[-1]
    assert model.size_bytes / small.size_bytes > 2.8
    assert apart(model, small, sequence()) < 0.1  # a random RNN amplifies what it gets


def test_convolutions_stay_in_float(tmp_path: Path) -> None:
    model = small_cnn(width=32, size=28)

    small = after(model, context(tmp_path), DYNAMIC)

    assert "ConvInteger" not in small.operator_counts()
    assert "the weights of Conv" in small.notes[-1]
    assert apart(model, small, {"x": random(3, 1, 28, 28, scale=1.0)}) < 0.02


def test_a_four_bit_embedding_and_dynamic_products_go_together(tmp_path: Path) -> None:
    model = embedding()
    dynamic = after(model, context(tmp_path), DYNAMIC)

    both = after(
        model, context(tmp_path), {"quantize": {"mode": "weights", "bits": 4, "layers": "embeddings"}}, DYNAMIC
    )

    counts = both.operator_counts()
    assert (counts["GatherBlockQuantized"], counts["MatMulInteger"]) == (1, 1)
    assert both.size_bytes < 0.75 * dynamic.size_bytes
    assert both.label == "int4 weights (embeddings) + dynamic int8"


def test_a_model_without_anything_to_quantize_is_told_so(tmp_path: Path) -> None:
    from onnx import helper

    from tests.unit.frugal_jobs.small_models import model_of

    model = model_of([helper.make_node("Relu", ["x"], ["y"])], {}, takes=("batch", 4), gives=("batch", 4))

    with pytest.raises(NothingToQuantize, match="constant weights"):
        after(model, context(tmp_path), DYNAMIC)


def test_a_plain_dense_layer_is_computed_in_integers(tmp_path: Path) -> None:
    small = after(linear(random(64, 64)), context(tmp_path), DYNAMIC)

    assert small.operator_counts()["MatMulInteger"] == 1
