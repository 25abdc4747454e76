"""Weight-only quantization: the kernels' layouts against plain arithmetic, sizes, and what stays as it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import helper

from frugal_jobs.models.model import Model
from frugal_jobs.models.running import session_of
from frugal_jobs.techniques.graph_cleanup import clean
from tests.unit.frugal_jobs.nets import after, apart, embedding, recurrent, sequence, words
from tests.unit.frugal_jobs.small_models import context, linear, model_of, random, small_cnn


def weights(**more: Any) -> dict[str, Any]:
    return {"quantize": {"mode": "weights", **more}}


@pytest.mark.parametrize("symmetric", [True, False])
@pytest.mark.parametrize(("bits", "limit"), [(8, 0.02), (4, 0.2)])
@pytest.mark.parametrize("block", [16, 32, 128])
def test_products_and_embeddings_stay_near_in_every_layout(
    tmp_path: Path, bits: int, limit: float, symmetric: bool, block: int
) -> None:
    model = embedding(width=128)

    small = after(model, context(tmp_path), weights(bits=bits, symmetric=symmetric, blockSize=block))

    assert small.operator_counts() == {"GatherBlockQuantized": 1, "MatMulNBits": 1}
    assert apart(model, small, words()) < limit


def test_a_row_that_is_no_whole_number_of_blocks_is_filled_up(tmp_path: Path) -> None:
    model = linear(random(30, 75))

    small = after(model, context(tmp_path), weights(bits=4))

    assert small.operator_counts() == {"MatMulNBits": 1}
    assert apart(model, small, {"x": random(3, 75, scale=1.0)}) < 0.3


def test_a_gemm_keeps_its_bias(tmp_path: Path) -> None:
    node = helper.make_node("Gemm", ["x", "w", "b"], ["y"])
    model = model_of([node], {"w": random(64, 40), "b": random(40, scale=9)}, takes=("batch", 64), gives=("batch", 40))

    small = after(model, context(tmp_path), weights())

    assert apart(model, small, {"x": random(3, 64)}) < 0.01


def test_four_bits_are_six_times_smaller_where_everything_is_weights(tmp_path: Path) -> None:
    model = embedding(words=2000, width=128)

    small = clean(after(model, context(tmp_path), weights(bits=4, blockSize=64)))

    assert model.size_bytes / small.size_bytes > 7  # 32 bits against 4 and a float32 for each 64 weights


@pytest.mark.parametrize("operator", ["GRU", "LSTM", "RNN"])
@pytest.mark.parametrize("bits", [8, 4])
def test_recurrent_weights_are_packed_and_unpacked_once_at_load(tmp_path: Path, operator: str, bits: int) -> None:
    model = recurrent(operator)

    small = after(model, context(tmp_path), weights(bits=bits, layers="recurrent"))

    path = tmp_path / "optimized.onnx"
    session_of(small.content, optimized_path=str(path))
    run = {node.op_type for node in onnx.load(path).graph.node}
    assert run & {"BitShift", "Mod", "Cast", "Mul"} == set()
    assert apart(model, small, sequence()) < (0.03 if bits == 8 else 0.35)
    assert f"2 of {operator}" in small.notes[0]


def test_a_table_that_two_layers_use_is_quantized_for_both(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("Gather", ["e", "x"], ["g"]),
        helper.make_node("Transpose", ["e"], ["t"], perm=[1, 0]),
        helper.make_node("MatMul", ["g", "t"], ["y"]),
    ]
    model = model_of(nodes, {"e": random(300, 64)}, takes=("batch", 6), gives=None, dtype=onnx.TensorProto.INT64)

    small = after(model, context(tmp_path), weights())

    feed = {"x": np.arange(12).reshape(2, 6)}
    assert small.operator_counts() == {"GatherBlockQuantized": 1, "MatMulNBits": 1}
    assert apart(model, small, feed) < 0.02


def test_the_layers_that_suffer_most_can_be_kept(tmp_path: Path) -> None:
    rough = random(64, 64)
    rough[0, 0] = 30  # a hundred deviations: per tensor, nothing is left of the others
    nodes = [helper.make_node("MatMul", ["x", "a"], ["m"]), helper.make_node("MatMul", ["m", "b"], ["y"])]
    model = model_of(nodes, {"a": random(64, 64), "b": rough}, takes=("batch", 64), gives=("batch", 64))

    small = after(model, context(tmp_path), weights(bits=4, keep=1, perChannel=False))

    assert [error.name for error in small.errors] == ["a"]
    assert small.operator_counts() == {"MatMulNBits": 1, "MatMul": 1}


def test_the_least_squared_error_is_no_worse_than_the_full_range(tmp_path: Path) -> None:
    model = small_cnn(width=32)

    full, least = (after(model, context(tmp_path), weights(bits=4, calibrate=how)) for how in ("minmax", "mse"))

    assert [one.noise for one in least.errors] <= [one.noise for one in full.errors]
    assert sum(one.noise for one in least.errors) < 0.95 * sum(one.noise for one in full.errors)


def test_a_repeated_quantization_finds_nothing_left(tmp_path: Path) -> None:
    once: Model = after(embedding(), context(tmp_path), weights(bits=4))

    with pytest.raises(ValueError, match="no weights of 1,024 values"):
        after(once, context(tmp_path), weights(bits=4))
