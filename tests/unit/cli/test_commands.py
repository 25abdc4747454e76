from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from frugal.cli import main
from frugal.embedded.state_folder import StateFolder
from frugal.embedded.store import Store, key_of


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with one InferenceDeployment that serves, and a Secret."""
    folder = StateFolder(tmp_path / "state")
    folder.lock()
    store = Store(folder, lambda: datetime.now(UTC))
    metadata = {"name": "fashion", "namespace": "default"}
    spec = {"rightSizing": {"mode": "Auto"}}
    made = store.apply(
        {"apiVersion": "frugal.dev/v1alpha1", "kind": "InferenceDeployment", "metadata": metadata, "spec": spec}
    )
    said = {"type": "Ready", "status": "True", "reason": "Serving", "message": "1 of 1 replica serves"}
    status = {
        "phase": "Serving",
        "readyReplicas": 1,
        "recommendation": {"explanation": "p95 CPU 44m: requests 50m"},
        "conditions": [{**said, "lastTransitionTime": "2026-11-24T12:00:00Z"}],
    }
    store.set_status(key_of(made), status)
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "bucket"}, "stringData": {"TOKEN": "hush"}}
    store.apply(secret)
    folder.unlock()
    return tmp_path / "state"


def test_get_shows_the_columns_of_kubectl(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["get", "idep", "--state", str(state)])

    heading, row = capsys.readouterr().out.splitlines()
    assert status == 0
    assert heading.split() == ["NAME", "PHASE", "READY", "REPLICAS", "MODE", "COST/H", "SAVING/MONTH", "AGE"]
    assert row.split()[:4] == ["fashion", "Serving", "1", "Auto"]


def test_get_prints_whole_objects_but_no_secret(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["get", "idep", "fashion", "-o", "json", "--state", str(state)])
    assert json.loads(capsys.readouterr().out)["status"]["phase"] == "Serving"

    main(["get", "secret", "bucket", "-o", "yaml", "--state", str(state)])
    assert "hush" not in capsys.readouterr().out


def test_describe_tells_conditions_and_why_a_size_is_recommended(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["describe", "InferenceDeployment", "fashion", "--state", str(state)])

    told = capsys.readouterr().out
    assert status == 0
    assert "Recommended:  p95 CPU 44m: requests 50m" in told
    assert "1 of 1 replica serves" in told
    assert "Events:\n  none" in told


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["get", "nonsense"], "unknown kind 'nonsense'"),
        (["get", "idep", "absent"], "'absent'"),
        (["describe", "idep", "absent"], "'absent'"),
    ],
)
def test_bad_input_is_told_on_stderr_with_status_2(
    state: Path, capsys: pytest.CaptureFixture[str], words: list[str], said: str
) -> None:
    status = main([*words, "--state", str(state)])

    assert status == 2
    assert said in capsys.readouterr().err


def test_a_folder_that_is_no_state_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["get", "--state", str(tmp_path / "absent")])

    assert status == 2
    assert "absent is no state folder" in capsys.readouterr().err


def test_run_without_manifests_is_refused_before_anything_starts(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(["run", "-f", str(tmp_path / "absent.yaml"), "--state", str(tmp_path / "state")])

    assert status == 2
    assert "absent.yaml" in capsys.readouterr().err
    assert not (tmp_path / "state").exists()
