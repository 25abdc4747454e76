"""Loading a model: its digest, its own folder, its warm-up, and whether its rows may run together."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

import boto3
import numpy as np
import onnx
import pytest
from fsspec.config import conf
from onnx import TensorProto

from frugal_artifacts.digest import sha256_of
from frugal_artifacts.errors import ArtifactMissing, DigestMismatch, UnsafeModel
from frugal_artifacts.storage import Storage
from frugal_serve.errors import BadRequest, RequestError, UnservableModel
from frugal_serve.model import Model, ModelSource, Runtime, load


def load_path(path: Path, sha256: str = "", max_batch: int = 4) -> Model:
    source = ModelSource(name="m", version="1", uri=path.as_uri(), sha256=sha256)
    return load(source, Storage(None), Runtime(threads=1, max_batch=max_batch))


def test_a_model_with_free_rows_is_batched(linear: Path) -> None:
    model = load_path(linear)

    specification = model.specification
    assert specification.is_batched
    assert {name: tensor.shape for name, tensor in specification.inputs.items()} == {"x": (-1, 4)}
    assert {name: tensor.shape for name, tensor in specification.outputs.items()} == {"y": (-1, 3), "s": (-1, 1)}
    assert model.sha256 == hashlib.sha256(linear.read_bytes()).hexdigest()


def test_a_model_for_one_row_is_not_batched(linear_of_one: Path) -> None:
    model = load_path(linear_of_one)

    assert not model.specification.is_batched
    assert model.run({"x": np.ones((1, 4), np.float32)})["y"].tolist() == [[2, 2, 2, 2]]


def test_a_model_whose_rows_depend_on_each_other_is_not_batched(mixing: Path) -> None:
    assert not load_path(mixing).specification.is_batched


def test_rows_together_give_what_each_gives_alone(linear: Path) -> None:
    model = load_path(linear)
    rows = np.random.default_rng(1).random((7, 4)).astype(np.float32)

    together = model.run({"x": rows})["y"].tolist()

    alone = [model.run({"x": rows[index : index + 1]})["y"].tolist()[0] for index in range(7)]
    np.testing.assert_allclose(together, alone, rtol=1e-6)


def test_the_promised_digest_is_checked_before_the_runtime_sees_the_file(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"neither the promised file nor a model")

    with pytest.raises(DigestMismatch):
        load_path(path, sha256="0" * 64)


def test_the_promised_digest_may_be_in_capitals(linear: Path) -> None:
    promised = hashlib.sha256(linear.read_bytes()).hexdigest().upper()

    assert load_path(linear, sha256=promised).sha256 == promised.lower()


def with_external_weights(linear: Path, folder: Path, location: str) -> Path:
    model = onnx.load(str(linear))
    onnx.save_model(
        model, str(folder / "model.onnx"), save_as_external_data=True, location="weights.bin", size_threshold=44
    )
    if location != "weights.bin":
        proto = onnx.load(str(folder / "model.onnx"), load_external_data=False)
        for tensor in proto.graph.initializer:
            for entry in tensor.external_data:
                entry.value = location if entry.key == "location" else entry.value
        (folder / "model.onnx").write_bytes(proto.SerializeToString())
    return folder / "model.onnx"


def test_weights_beside_the_model_are_loaded(linear: Path, tmp_path: Path) -> None:
    path = with_external_weights(linear, tmp_path, "weights.bin")
    rows = np.ones((2, 4), np.float32)

    model = load_path(path)

    np.testing.assert_array_equal(model.run({"x": rows})["y"], load_path(linear).run({"x": rows})["y"])


def test_a_model_in_a_store_comes_with_the_weights_beside_it(
    linear: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, s3_endpoint: str
) -> None:
    for variable in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(variable, "test")
    monkeypatch.setitem(conf, "s3", {"endpoint_url": s3_endpoint})
    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    client.create_bucket(Bucket="served")
    storage = Storage(None)
    path = with_external_weights(linear, tmp_path, "weights.bin")
    for name in ("model.onnx", "weights.bin"):
        storage.write_file(f"s3://served/cnn/{name}", path.with_name(name))
    source = ModelSource(name="m", version="1", uri="s3://served/cnn/model.onnx", sha256=sha256_of(path))
    (tmp_path / "work").mkdir()

    model = load(source, storage, Runtime(threads=1, max_batch=1), tmp_path / "work")

    rows = np.ones((1, 4), np.float32)
    np.testing.assert_array_equal(model.run({"x": rows})["y"], load_path(linear).run({"x": rows})["y"])
    assert list((tmp_path / "work").iterdir()) == []


def test_weights_outside_the_folder_are_refused(linear: Path, tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    (tmp_path / "weights.bin").write_bytes(bytes(1000))
    path = with_external_weights(linear, tmp_path / "inner", "../weights.bin")

    with pytest.raises(UnsafeModel, match="outside the model's own folder"):
        load_path(path)


def test_weights_that_are_not_there_are_named(linear: Path, tmp_path: Path) -> None:
    path = with_external_weights(linear, tmp_path, "weights.bin")
    (tmp_path / "weights.bin").unlink()

    with pytest.raises(UnsafeModel, match=r"'weights\.bin' is not there"):
        load_path(path)


def test_an_operator_that_the_runtime_lacks_is_named(linear: Path, tmp_path: Path) -> None:
    proto = onnx.load(str(linear))
    proto.graph.node[0].op_type = "Gemmm"
    (tmp_path / "model.onnx").write_bytes(proto.SerializeToString())

    with pytest.raises(UnservableModel, match="Gemmm"):
        load_path(tmp_path / "model.onnx")


def test_a_datatype_that_the_protocol_lacks_is_named(echo: Callable[[int], Path]) -> None:
    with pytest.raises(UnservableModel, match="bfloat16"):
        load_path(echo(TensorProto.BFLOAT16))


def test_a_missing_model_is_missing(tmp_path: Path) -> None:
    with pytest.raises(ArtifactMissing):
        load_path(tmp_path / "model.onnx")


def test_what_the_runtime_refuses_is_an_error_of_the_request(lookup: Path) -> None:
    model = load_path(lookup)

    with pytest.raises(RequestError):
        model.run({"x": np.array([11])})
    with pytest.raises(BadRequest):
        model.run({"x": np.array([1.0])})
    assert model.run({"x": np.array([3])})["y"].tolist() == [[3]]
