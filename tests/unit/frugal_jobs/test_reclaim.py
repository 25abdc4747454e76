"""What a deleted CompressionJob published is removed, and nothing else."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from frugal_jobs.reclaim import main


@pytest.fixture
def pod(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "volumes/models").mkdir(parents=True)
    monkeypatch.setenv("FRUGAL_REQUEST", str(tmp_path / "request.json"))
    monkeypatch.setenv("FRUGAL_VOLUMES", str(tmp_path / "volumes"))
    monkeypatch.setenv("FRUGAL_WORK", str(tmp_path))
    monkeypatch.setenv("FRUGAL_TERMINATION_LOG", str(tmp_path / "termination-log"))
    return tmp_path


def asked(pod: Path, *uris: str) -> int:
    (pod / "request.json").write_text(json.dumps({"uris": uris}))
    return main()


def published(pod: Path, digest: str) -> Path:
    path = pod / f"volumes/models/out/sha256/{digest}/model.onnx"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"model")
    return path


def test_what_the_request_names_is_removed_and_what_lies_beside_it_stays(pod: Path) -> None:
    mine, other = published(pod, "ab"), published(pod, "cd")

    status = asked(pod, "pvc://models/out/sha256/ab")

    assert status == 0
    assert not mine.parent.exists()
    assert other.is_file()


def test_removing_twice_is_removing_once(pod: Path) -> None:
    published(pod, "ab")

    assert [asked(pod, "pvc://models/out/sha256/ab") for _ in range(2)] == [0, 0]


def test_what_cannot_be_removed_is_said_and_worth_a_retry(pod: Path) -> None:
    status = asked(pod, "https://example.com/out/sha256/ab")  # a scheme that cannot be written to

    assert status == 1
    assert "https://example.com/out/sha256/ab" in (pod / "termination-log").read_text()
