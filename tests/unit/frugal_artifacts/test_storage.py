"""Whole files on this machine and on a real S3 server (moto's, standalone)."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from frugal_artifacts.digest import sha256_of, verify_sha256
from frugal_artifacts.errors import (
    ArtifactMissing,
    ArtifactTooLarge,
    DigestMismatch,
    InvalidUri,
    StorageDenied,
    StorageUnavailable,
)
from frugal_artifacts.storage import Storage

SHA256_OF_ABC = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"  # FIPS 180-4, its first example


@pytest.fixture(scope="module")
def s3_endpoint() -> Iterator[str]:
    """An S3 server on loopback."""
    command = [sys.executable, "-u", "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True) as server:
        assert server.stderr is not None
        address = next(line.split()[-1] for line in server.stderr if "Running on http" in line)
        yield address
        server.terminate()
        server.wait(10)


@pytest.fixture
def bucket(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URI of a bucket that is there, reached by the environment alone, as in a pod."""
    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", s3_endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import boto3
    from fsspec.config import conf, set_conf_env

    set_conf_env(conf)
    boto3.client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket="models")
    return "s3://models"


@pytest.fixture(params=["file", "pvc", "s3"])
def root(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """A folder on each kind of store, empty."""
    if request.param == "s3":
        return f"{request.getfixturevalue('bucket')}/{tmp_path.name}"
    return (tmp_path / "claims" / "models").as_uri() if request.param == "file" else "pvc://models/inside"


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    (tmp_path / "claims" / "models").mkdir(parents=True)
    return Storage(tmp_path / "claims")


def test_what_is_written_is_read_back(root: str, storage: Storage, tmp_path: Path) -> None:
    storage.write_bytes(f"{root}/a/model.onnx", b"abc")

    assert storage.exists(f"{root}/a/model.onnx")
    assert storage.read_bytes(f"{root}/a/model.onnx", max_bytes=3) == b"abc"
    assert sha256_of(storage.fetch(f"{root}/a/model.onnx", tmp_path / "work")) == SHA256_OF_ABC


def test_a_second_write_replaces_the_first(root: str, storage: Storage, tmp_path: Path) -> None:
    (tmp_path / "new").write_bytes(b"new")
    storage.write_bytes(f"{root}/report.json", b"a longer old one")

    storage.write_file(f"{root}/report.json", tmp_path / "new")

    assert storage.read_bytes(f"{root}/report.json") == b"new"


def test_a_listing_has_every_file_below_the_folder_only(root: str, storage: Storage) -> None:
    for name in ("study/2/b", "study/1", "studyx/3"):
        storage.write_bytes(f"{root}/{name}", b"x")

    assert storage.list(f"{root}/study") == (f"{root}/study/1", f"{root}/study/2/b")
    assert storage.list(f"{root}/nothing") == ()


def test_deleting_twice_equals_deleting_once(root: str, storage: Storage) -> None:
    storage.write_bytes(f"{root}/gone/a", b"x")
    storage.write_bytes(f"{root}/gone/b/c", b"x")
    storage.write_bytes(f"{root}/kept", b"x")

    storage.delete(f"{root}/gone")
    storage.delete(f"{root}/gone")

    assert storage.list(root) == (f"{root}/kept",)


def test_what_is_missing_is_named(root: str, storage: Storage, tmp_path: Path) -> None:
    assert not storage.exists(f"{root}/none.onnx")
    with pytest.raises(ArtifactMissing, match=r"none\.onnx"):
        storage.read_bytes(f"{root}/none.onnx")
    with pytest.raises(ArtifactMissing, match=r"none\.onnx"):
        storage.fetch(f"{root}/none.onnx", tmp_path / "work")


def test_a_file_over_the_limit_is_not_read(root: str, storage: Storage, tmp_path: Path) -> None:
    storage.write_bytes(f"{root}/big", b"12345")

    with pytest.raises(ArtifactTooLarge, match="at most 4"):
        storage.read_bytes(f"{root}/big", max_bytes=4)
    with pytest.raises(ArtifactTooLarge, match="at most 4"):
        storage.fetch(f"{root}/big", tmp_path / "work", max_bytes=4)
    assert not list((tmp_path / "work").glob("*"))


def test_a_folder_is_no_file(root: str, storage: Storage, tmp_path: Path) -> None:
    storage.write_bytes(f"{root}/folder/model.onnx", b"x")

    with pytest.raises(InvalidUri, match="is a folder"):
        storage.read_bytes(f"{root}/folder")
    with pytest.raises(InvalidUri, match="is a folder"):
        storage.fetch(f"{root}/folder", tmp_path / "work")


def test_an_interrupted_write_leaves_the_old_file_and_nothing_beside_it(storage: Storage, tmp_path: Path) -> None:
    storage.write_bytes("pvc://models/model.onnx", b"old")

    with pytest.raises(ArtifactMissing):
        storage.write_file("pvc://models/model.onnx", tmp_path / "vanished")

    assert storage.read_bytes("pvc://models/model.onnx") == b"old"
    assert [path.name for path in (tmp_path / "claims" / "models").iterdir()] == ["model.onnx"]


def test_a_bucket_that_is_not_there_is_missing(bucket: str, storage: Storage) -> None:
    with pytest.raises(ArtifactMissing):
        storage.read_bytes("s3://no-such-bucket/model.onnx")


def test_a_store_that_does_not_answer_is_an_outage(
    monkeypatch: pytest.MonkeyPatch, bucket: str, storage: Storage
) -> None:
    from fsspec.config import conf, set_conf_env

    monkeypatch.setenv("FSSPEC_S3_ENDPOINT_URL", "http://127.0.0.1:9")  # discard: nothing listens there
    set_conf_env(conf)

    with pytest.raises(StorageUnavailable):
        storage.read_bytes("s3://models/model.onnx")


def test_a_store_without_credentials_says_where_they_belong(
    monkeypatch: pytest.MonkeyPatch, bucket: str, storage: Storage, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", str(tmp_path / "none"))

    with pytest.raises(StorageDenied, match=r"credentials\.secretRef"):
        storage.read_bytes(f"{bucket}/model.onnx")


@pytest.mark.parametrize("uri", ["pvc://models", "pvc://models/", "s3://models", "s3://models/", "file:///"])
def test_a_whole_claim_bucket_or_disk_is_never_deleted(uri: str, storage: Storage) -> None:
    with pytest.raises(InvalidUri, match="whole claim"):
        storage.delete(uri)


def test_https_is_read_only(storage: Storage) -> None:
    with pytest.raises(InvalidUri, match="cannot be written"):
        storage.write_bytes("https://models.example/model.onnx", b"x")


@pytest.mark.parametrize("scheme", ["oci"])
def test_a_store_without_a_client_says_so(scheme: str, storage: Storage) -> None:
    with pytest.raises(InvalidUri, match="no client"):
        storage.read_bytes(f"{scheme}://org/name")


def test_a_wrong_digest_shows_both(tmp_path: Path) -> None:
    (tmp_path / "model").write_bytes(b"abc")

    verify_sha256(tmp_path / "model", SHA256_OF_ABC.upper())
    with pytest.raises(DigestMismatch) as caught:
        verify_sha256(tmp_path / "model", "0" * 64)

    assert SHA256_OF_ABC in str(caught.value)
    assert "0" * 64 in str(caught.value)
