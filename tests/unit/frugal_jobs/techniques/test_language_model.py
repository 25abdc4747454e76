"""A small causal language model made here: trained through its ONNX graph, then held in 8 and 4 bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper
from torch import nn

from frugal_jobs.models.graph_import import imported
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import outputs_of
from frugal_jobs.techniques.graph_cleanup import clean
from tests.unit.frugal_jobs.nets import after
from tests.unit.frugal_jobs.small_models import context, model_of, random

WORDS, WIDTH, LENGTH, BLOCKS = 256, 64, 16, 2


def causal() -> Model:
    """Return two blocks of masked attention and a feed-forward part; the head is the table of words itself."""
    future = np.triu(np.full((LENGTH, LENGTH), -1e9, np.float32), 1)
    weights: dict[str, Any] = {
        "table": random(WORDS, WIDTH), "places": random(LENGTH, WIDTH, scale=0.1), "future": future,
        "root": np.array(WIDTH**0.5, np.float32),
    }  # fmt: skip
    nodes = [helper.make_node("Gather", ["table", "x"], ["e"]), helper.make_node("Add", ["e", "places"], ["h0"])]
    for number in range(BLOCKS):
        nodes += block(number, weights)
    nodes += [
        helper.make_node("Transpose", ["table"], ["head"], perm=[1, 0]),
        helper.make_node("MatMul", [f"h{BLOCKS}", "head"], ["y"]),
    ]
    return model_of(nodes, weights, takes=("batch", LENGTH), gives=("batch", LENGTH, WORDS), dtype=TensorProto.INT64)


def block(number: int, weights: dict[str, Any]) -> list[Any]:
    def name(part: str) -> str:
        return f"{part}{number}"

    shapes = {"q": (WIDTH, WIDTH), "k": (WIDTH, WIDTH), "v": (WIDTH, WIDTH), "o": (WIDTH, WIDTH),
              "up": (WIDTH, 2 * WIDTH), "down": (2 * WIDTH, WIDTH)}  # fmt: skip
    weights |= {name(f"w{part}"): random(*shape, seed=number, scale=0.1) for part, shape in shapes.items()}
    weights |= {name("scale"): np.ones(WIDTH, np.float32), name("shift"): np.zeros(WIDTH, np.float32)}

    def product(source: str, part: str) -> onnx.NodeProto:
        return helper.make_node("MatMul", [name(source), name(f"w{part}")], [name(part)])

    return [
        helper.make_node("LayerNormalization", [name("h"), name("scale"), name("shift")], [name("n")], axis=-1),
        *(product("n", part) for part in "qkv"),
        helper.make_node("Transpose", [name("k")], [name("kt")], perm=[0, 2, 1]),
        helper.make_node("MatMul", [name("q"), name("kt")], [name("qk")]),
        helper.make_node("Div", [name("qk"), "root"], [name("scaled")]),
        helper.make_node("Add", [name("scaled"), "future"], [name("masked")]),
        helper.make_node("Softmax", [name("masked")], [name("p")], axis=-1),
        helper.make_node("MatMul", [name("p"), name("v")], [name("a")]),
        product("a", "o"),
        helper.make_node("Add", [name("h"), name("o")], [name("r")]),
        product("r", "up"),
        helper.make_node("Relu", [name("up")], [name("g")]),
        product("g", "down"),
        helper.make_node("Add", [name("r"), name("down")], [f"h{number + 1}"]),
    ]


def sentences(count: int, seed: int) -> np.ndarray:
    """Return counting sequences: each word is the last plus a step that the first two words tell."""
    generator = np.random.default_rng(seed)
    first, step = generator.integers(0, WORDS, (count, 1)), generator.integers(1, 4, (count, 1))
    return (first + step * np.arange(LENGTH + 1)) % WORDS


def perplexity(model: Model) -> float:
    texts = sentences(64, seed=99)
    logits = torch.from_numpy(outputs_of(model, iter([{"x": texts[:, :-1]}])))
    return float(nn.functional.cross_entropy(logits.flatten(0, 1), torch.from_numpy(texts[:, 1:]).flatten()).exp())


@pytest.fixture(scope="module")
def taught() -> Model:
    torch.manual_seed(0)
    torch.set_num_threads(1)
    trainable = imported(causal())
    optimizer = torch.optim.AdamW(trainable.module.parameters(), lr=3e-3)
    for number in range(150):
        texts = torch.from_numpy(sentences(64, seed=number))
        loss = nn.functional.cross_entropy(trainable.module(texts[:, :-1]).flatten(0, 1), texts[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return Model(proto=trainable.written_back())


@pytest.mark.parametrize(
    ("how", "growth", "times"), [({"bits": 8}, 1.05, 3.2), ({"bits": 4, "calibrate": "mse"}, 1.6, 5.0)]
)
def test_a_language_model_keeps_its_perplexity_in_few_bits(
    taught: Model, tmp_path: Path, how: dict[str, Any], growth: float, times: float
) -> None:
    step = {"quantize": {"mode": "weights", "symmetric": False} | how}

    small = clean(after(taught, context(tmp_path), step))

    assert perplexity(taught) < 8
    assert perplexity(small) < growth * perplexity(taught)
    assert taught.size_bytes / small.size_bytes > times
    counts = small.operator_counts()
    assert (counts["GatherBlockQuantized"], counts["MatMulNBits"]) == (1, 6 * BLOCKS + 1)
