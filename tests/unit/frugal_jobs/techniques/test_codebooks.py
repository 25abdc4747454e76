"""Codebooks: the fitted values, the packing of every width, and real savings in the file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from frugal_jobs.models.running import session_of
from frugal_jobs.techniques.codebooks import kmeans, logarithmic, nearest
from frugal_jobs.techniques.graph_cleanup import clean
from frugal_jobs.techniques.packing import Packed, store
from tests.unit.frugal_jobs.nets import after, apart, recurrent, sequence
from tests.unit.frugal_jobs.small_models import context, linear, random, small_cnn

IMAGES = {"x": random(3, 1, 28, 28, scale=1.0)}


def step(**more: Any) -> dict[str, Any]:
    return {"quantize": more}


@pytest.mark.parametrize("shape", [(64, 64), (7, 9, 5), (33, 1)])
@pytest.mark.parametrize("bits", [2, 3, 4, 5, 6, 8])
def test_what_is_packed_comes_out_of_the_runtime_equal_to_the_bit(bits: int, shape: tuple[int, ...]) -> None:
    codes = np.random.default_rng(bits).integers(0, 2**bits, shape)
    book = np.sort(random(2**bits)).astype(np.float32)
    node = helper.make_node("Identity", ["w"], ["y"])
    graph = helper.make_graph(
        [node], "g", [], [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)],
        [numpy_helper.from_array(np.zeros(shape, np.float32), "w")],
    )  # fmt: skip
    proto = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    packed = Packed(codes=codes, bits=bits, step=None, shape=shape, codebook=book)

    store(proto, "w", packed)

    found = session_of(proto.SerializeToString()).run(None, {})[0]
    np.testing.assert_array_equal(found, book[codes])
    np.testing.assert_array_equal(found, packed.restored())


@pytest.mark.parametrize(
    ("how", "times", "limit"),
    [
        ({"scheme": "kmeans", "bits": 8}, 3.3, 0.02),
        ({"scheme": "kmeans", "bits": 5}, 5.0, 0.15),
        ({"scheme": "kmeans", "bits": 4}, 6.0, 0.3),
        ({"scheme": "kmeans", "bits": 4, "perChannel": False}, 6.0, 0.2),
        ({"scheme": "logarithmic", "bits": 4}, 6.0, 0.35),
        ({"scheme": "nf4", "bits": 4, "blockSize": 64}, 5.8, 0.15),
    ],
)
def test_a_codebook_saves_what_its_bits_promise(
    tmp_path: Path, how: dict[str, Any], times: float, limit: float
) -> None:
    model = small_cnn(width=32, size=28, classes=8)

    small = clean(after(model, context(tmp_path), step(**how)))

    assert model.size_bytes / small.size_bytes > times
    assert apart(model, small, IMAGES) < limit
    assert "no faster on any" in small.notes[0]


def test_everything_is_unpacked_once_at_load(tmp_path: Path) -> None:
    small = after(recurrent("GRU"), context(tmp_path), step(scheme="nf4", bits=4))

    path = tmp_path / "optimized.onnx"
    session_of(small.content, optimized_path=str(path))

    assert {node.op_type for node in onnx.load(path).graph.node} == {"Transpose", "GRU", "Squeeze", "Gemm"}
    assert apart(recurrent("GRU"), small, sequence()) < 0.3


def test_kmeans_beats_any_even_grid_on_values_in_clusters(tmp_path: Path) -> None:
    centres = np.array([-3.0, -0.2, 0.1, 8.0])
    values = np.repeat(centres, 500) + np.random.default_rng(0).normal(0, 0.001, 2000)

    found = kmeans(values, 2, seed=0)

    np.testing.assert_allclose(found, centres, atol=0.01)


def test_a_logarithmic_code_is_powers_of_two_and_one_bit_more_halves_the_octave() -> None:
    four, five = logarithmic(np.zeros(0), 4, 0), logarithmic(np.zeros(0), 5, 0)

    assert [len(four), len(five)] == [16, 32]
    assert set(np.log2(four[four > 0])) == {-7.0, -6.0, -5.0, -4.0, -3.0, -2.0, -1.0, 0.0}
    np.testing.assert_allclose(np.diff(np.log2(five[five > 0])), 0.5)


def test_the_nearest_entry_is_taken() -> None:
    assert nearest(np.array([-9.0, 0.4, 0.6, 9.0]), np.array([0.0, 1.0])).tolist() == [0, 0, 1, 1]


def test_the_error_of_each_tensor_is_told(tmp_path: Path) -> None:
    model = linear(random(64, 64))

    coarse, fine = (after(model, context(tmp_path), step(scheme="kmeans", bits=bits)) for bits in (2, 6))

    assert [error.name for error in fine.errors] == ["w"]
    assert fine.errors[0].signal_to_noise_db > coarse.errors[0].signal_to_noise_db + 20  # about 6 dB a bit
