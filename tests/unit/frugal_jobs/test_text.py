"""JSON lines of text become token numbers, padded as little as can be; what cannot be read is named."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from onnx import TensorProto, helper
from tokenizers import Tokenizer, models, pre_tokenizers

from frugal.api.common import Task
from frugal.api.compression_job import DataSource
from frugal_jobs.datasets.loading import load
from frugal_jobs.errors import UnusableData
from frugal_jobs.models.model import Model
from tests.unit.frugal_jobs.small_models import source_of, storage

WORDS = {"[PAD]": 0, "[UNK]": 1, "small": 2, "models": 3, "are": 4, "cheap": 5}


def text_model(*, tokens: int | str = "tokens") -> Model:
    """Return a model that sums token numbers where the mask is set."""
    shape = ["batch", tokens]
    graph = helper.make_graph(
        [
            helper.make_node("Mul", ["input_ids", "attention_mask"], ["kept"]),
            helper.make_node("Cast", ["kept"], ["floats"], to=TensorProto.FLOAT),
            helper.make_node("ReduceSum", ["floats", "axes"], ["y"], keepdims=1),
        ],
        "texts",
        [helper.make_tensor_value_info(name, TensorProto.INT64, shape) for name in ("input_ids", "attention_mask")],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 1])],
        [helper.make_tensor("axes", TensorProto.INT64, [1], [1])],
    )
    return Model(proto=helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8))


@pytest.fixture
def tokenizer(tmp_path: Path) -> Path:
    made = Tokenizer(models.WordLevel(WORDS, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(tmp_path / "tokenizer.json"))
    return tmp_path / "tokenizer.json"


def loaded(path: Path, model: Model, tokenizer: Path | None, task: Task = Task.EMBEDDING):  # type: ignore[no-untyped-def]
    described = source_of(path, task=task.value, **({"tokenizer": tokenizer.as_uri()} if tokenizer else {}))
    return load(
        DataSource(uri=path.as_uri()), field="spec.data.evaluation", model=model, described=described,
        storage=storage(), folder=path.parent,
    )  # fmt: skip


def lines(folder: Path, *rows: object) -> Path:
    (folder / "texts.jsonl").write_text("\n".join(json.dumps(row) for row in rows) + "\n")
    return folder / "texts.jsonl"


def test_texts_are_cut_to_the_longest_of_each_batch(tmp_path: Path, tokenizer: Path) -> None:
    path = lines(tmp_path, "small", {"text": "small models"}, {"sentence": "small models are cheap"})

    samples = loaded(path, text_model(), tokenizer)

    first, whole = samples.at(slice(0, 1)), samples.at(slice(0, 3))
    assert first["input_ids"].tolist() == [[2]]
    assert whole["input_ids"].tolist() == [[2, 0, 0, 0], [2, 3, 0, 0], [2, 3, 4, 5]]
    assert whole["attention_mask"].sum(axis=1).tolist() == [1, 2, 4]
    assert samples.typical() == 1  # the one of median length
    assert samples.take(slice(1, 3)).at(slice(0, 1))["input_ids"].tolist() == [[2, 3]]


def test_a_fixed_number_of_tokens_is_kept(tmp_path: Path, tokenizer: Path) -> None:
    samples = loaded(lines(tmp_path, "small", "small models are cheap"), text_model(tokens=3), tokenizer)

    assert samples.at(slice(0, 2))["input_ids"].tolist() == [[2, 0, 0], [2, 3, 4]]


def test_labels_are_read_beside_the_text(tmp_path: Path, tokenizer: Path) -> None:
    path = lines(tmp_path, {"text": "small", "label": 1}, {"text": "cheap", "label": 0})

    samples = loaded(path, text_model(), tokenizer, Task.REGRESSION)

    assert samples.labels is not None
    assert samples.labels.tolist() == [1, 0]
    assert np.array_equal(samples.at(slice(0, 2))["input_ids"], [[2], [5]])


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{not json\n", "line 1 is no JSON"),
        (b'"fine"\n{"label": 1}\n', "line 2 holds no text"),
        (b'{"text": "a", "label": "good"}\n', "line 1 has the label 'good'"),
        (b'{"text": "a", "label": 1}\n{"text": "b"}\n', "labels on some lines"),
        (b"\xff\xfe\x00", "is no text in UTF-8"),
    ],
)
def test_lines_that_cannot_be_read_are_named(tmp_path: Path, tokenizer: Path, content: bytes, said: str) -> None:
    (tmp_path / "texts.jsonl").write_bytes(content)

    with pytest.raises(UnusableData, match=said):
        loaded(tmp_path / "texts.jsonl", text_model(), tokenizer)


def test_text_needs_a_tokenizer_that_can_be_read(tmp_path: Path) -> None:
    path = lines(tmp_path, "small")
    (tmp_path / "broken.json").write_text("{}")

    with pytest.raises(UnusableData, match=r"model\.tokenizer is not given"):
        loaded(path, text_model(), None)
    with pytest.raises(UnusableData, match=r"cannot be read with model\.tokenizer"):
        loaded(path, text_model(), tmp_path / "broken.json")
