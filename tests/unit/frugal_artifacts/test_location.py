"""What URIs mean, and which are refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from frugal_artifacts.errors import InvalidUri
from frugal_artifacts.location import locate


def test_a_claim_is_a_folder_under_the_volumes(tmp_path: Path) -> None:
    uri = "pvc://models/fashion/model.onnx"

    location = locate(uri, volumes=tmp_path)

    assert location.path == tmp_path / "models" / "fashion" / "model.onnx"
    assert location.name == "model.onnx"


def test_a_file_uri_is_unquoted(tmp_path: Path) -> None:
    path = tmp_path / "a model.onnx"

    location = locate(path.as_uri(), volumes=None)

    assert location.path == path


@pytest.mark.parametrize(
    "uri", ["s3://bucket/a/model.onnx", "gs://b/model.onnx", "az://c/model.onnx", "https://h/model.onnx"]
)
def test_an_object_in_a_store_has_no_path_here(uri: str) -> None:
    location = locate(uri, volumes=None)

    assert location.path is None
    assert location.name == "model.onnx"


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("model.onnx", "not one plain URI"),
        ("/models/model.onnx", "not one plain URI"),
        ("file:model.onnx", "absolute"),
        ("file:///a%00b", "absolute"),
        ("pvc://", "names no claim"),
        ("pvc://Models/x", "names no claim"),
        ("pvc:models/x", "names no claim"),
        ("pvc://models/../other/x", "out of its claim"),
        ("s3:///key", "names no bucket"),
        ("s3://bucket/../other", "has .. in its path"),
        ("ftp://host/model.onnx", "'ftp' is unknown"),
        ("http://host/model.onnx", "'http' is unknown"),
        ("simplecache::s3://bucket/key", "not one plain URI"),
    ],
)
def test_a_uri_that_cannot_work_is_refused_with_its_fault(uri: str, words: str, tmp_path: Path) -> None:
    with pytest.raises(InvalidUri) as caught:
        locate(uri, volumes=tmp_path)

    assert words in str(caught.value)


@pytest.mark.parametrize(
    "uri",
    ["https://user:hunter2@host/model.onnx", "s3://KEY:hunter2@bucket/key", "https://host/m?X-Amz-Signature=hunter2"],
)
def test_credentials_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(InvalidUri) as caught:
        locate(uri, volumes=None)

    assert "carries credentials" in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_link_out_of_the_claim_is_refused(tmp_path: Path) -> None:
    (tmp_path / "volumes" / "models").mkdir(parents=True)
    (tmp_path / "secret").write_text("theirs")
    (tmp_path / "volumes" / "models" / "model.onnx").symlink_to(tmp_path / "secret")

    with pytest.raises(InvalidUri, match="out of its claim"):
        locate("pvc://models/model.onnx", volumes=tmp_path / "volumes")


def test_a_claim_without_volumes_names_the_variable() -> None:
    with pytest.raises(InvalidUri, match="FRUGAL_VOLUMES"):
        locate("pvc://models/model.onnx", volumes=None)
