"""Models from files of anybody: what is loaded, and what is refused before anything runs."""

from __future__ import annotations

import hashlib
import os
import pickle
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from frugal_jobs.errors import InvalidInput, UnusableModel
from frugal_jobs.models.loading import Original, load
from tests.unit.frugal_jobs.small_models import model_of, small_cnn, source_of, storage


def loaded(path: Path, **more: Any) -> Original:
    return load(source_of(path, **more), storage=storage(), folder=path.parent / "work")


def written(folder: Path, content: bytes, name: str = "model.onnx") -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


def test_an_onnx_model_is_loaded_with_the_size_of_its_file(tmp_path: Path) -> None:
    content = small_cnn().content
    digest = hashlib.sha256(content).hexdigest()

    original = loaded(written(tmp_path, content), sha256=digest)

    assert original.file_bytes == len(content)
    assert original.model.operator_counts()["Conv"] == 2


def test_another_digest_is_refused_with_the_one_that_was_found(tmp_path: Path) -> None:
    content = small_cnn().content
    path = written(tmp_path, content)

    with pytest.raises(UnusableModel) as caught:
        loaded(path, sha256="0" * 64)

    assert caught.value.field == "spec.model.sha256"
    assert hashlib.sha256(content).hexdigest() in str(caught.value)


class Exploit:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return os.system, (f"touch {self.path}",)


@pytest.mark.parametrize("form", ["onnx", "torch"])
@pytest.mark.parametrize("protocol", [0, 2, 4, 5])
def test_a_pickle_that_runs_code_is_refused_and_does_not_run(tmp_path: Path, form: str, protocol: int) -> None:
    touched = tmp_path / "touched"
    path = written(tmp_path, pickle.dumps(Exploit(touched), protocol=protocol), "model.pt")

    with pytest.raises(UnusableModel) as caught:
        loaded(path, format=form)

    assert caught.value.field == "spec.model.uri"
    assert not touched.exists()


def test_external_data_outside_the_folder_is_refused(tmp_path: Path) -> None:
    model = small_cnn()
    tensor = model.proto.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="../../etc/passwd")
    path = written(tmp_path, model.content)

    with pytest.raises(UnusableModel, match="outside the model's own folder"):
        loaded(path)


def test_external_data_beside_the_model_is_taken_in(tmp_path: Path) -> None:
    model = small_cnn()
    tensor = model.proto.graph.initializer[0]
    (tmp_path / "weights.bin").write_bytes(tensor.raw_data)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="weights.bin")
    path = written(tmp_path, model.content)

    original = loaded(path)

    assert original.model.parameters == small_cnn().parameters


def test_a_few_bytes_that_unfold_to_a_huge_tensor_are_refused(tmp_path: Path) -> None:
    import numpy as np

    nodes = [helper.make_node("ConstantOfShape", ["s"], ["c"]), helper.make_node("Add", ["x", "c"], ["y"])]
    model = model_of(nodes, {"s": np.array([1 << 20, 1 << 20], np.int64)}, takes=(1, 1), gives=None)

    with pytest.raises(UnusableModel, match="unfolds to"):
        loaded(written(tmp_path, model.content))


@pytest.mark.parametrize("cut", [10, 200, 1000])
def test_a_damaged_file_is_refused(tmp_path: Path, cut: int) -> None:
    path = written(tmp_path, small_cnn().content[:cut])

    with pytest.raises(UnusableModel) as caught:
        loaded(path)

    assert caught.value.field == "spec.model.uri"
    assert caught.value.remedy


def test_a_missing_file_names_the_uri(tmp_path: Path) -> None:
    with pytest.raises(UnusableModel) as caught:
        loaded(tmp_path / "none.onnx")

    assert str(tmp_path) in str(caught.value)


def test_an_operator_that_the_runtime_does_not_have_is_refused(tmp_path: Path) -> None:
    model = model_of([helper.make_node("Gemm", ["x", "w"], ["y"])], {}, takes=("batch", 3), gives=None)

    with pytest.raises(UnusableModel, match="cannot run it"):
        loaded(written(tmp_path, model.content))


def test_every_fault_of_an_input_names_field_value_and_remedy() -> None:
    error = InvalidInput(field="spec.model.uri", value="x" * 500, fault="is bad", remedy="use another")

    assert str(error).startswith("spec.model.uri (xxx")
    assert "is bad; use another" in str(error)
    assert len(str(error)) < 250
