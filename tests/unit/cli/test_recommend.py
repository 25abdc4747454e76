from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from frugal.cli import main
from frugal.cli.recommend.drawing import bar_of, bars, series
from frugal.decisions.inference import plan_inference
from frugal.embedded.state_folder import StateFolder
from frugal.embedded.store import Store, key_of
from frugal.sizing.histogram import CPU_CORES, Histogram
from tests.unit.decisions.factories import NOW, status
from tests.unit.decisions.test_inference_kinds import learnt, on_the_a100


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with a deployment on an A100 that a T4 would do for, as a plan left it."""
    seen = on_the_a100()
    seen = replace(
        seen, manifest={**seen.manifest, "spec": {**seen.manifest["spec"], "rightSizing": {"mode": "Recommend"}}}
    )
    plan = plan_inference(seen)
    folder = StateFolder(tmp_path / "state")
    folder.lock()
    store = Store(folder, lambda: datetime.now(UTC))
    metadata = {"name": "digits", "namespace": "ml"}
    made = store.apply({**seen.manifest, "metadata": metadata})
    store.set_status(key_of(made), status(plan))
    checkpoint = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "digits-sizing", "namespace": "ml"},
        "data": {"state.json": json.dumps(learnt().to_json())},
    }
    store.apply(checkpoint)
    folder.unlock()
    return tmp_path / "state"


def told(state: Path, capsys: pytest.CaptureFixture[str], *words: str) -> str:
    assert main(["recommend", "digits", "-n", "ml", "--state", str(state), *words]) == 0
    return capsys.readouterr().out


def test_the_size_its_saving_and_what_holds_it_back_are_told(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = told(state, capsys)

    assert "runs now     1 x 1 CPU, 4Gi, 1 nvidia.com/gpu" in out
    assert "1 nvidia.com/gpu (Tesla-T4)" in out
    assert "not applied  Recommended: " in out
    assert "█" not in out


def test_explain_draws_what_was_measured_and_prices_the_alternatives(
    state: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = told(state, capsys, "--explain")

    assert "299 carry a statement about p99" in out
    assert "CPU of a replica\n" in out
    assert "█" in out
    assert "Load of the last hour, and what is expected: 2.09 req/s" in out
    assert "4.0320 an hour" in out
    assert "it costs more" in out


def test_programs_get_every_figure(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    said: dict[str, Any] = json.loads(told(state, capsys, "--explain", "-o", "json"))

    assert said["recommendation"]["target"]["product"] == "Tesla-T4"
    assert said["recommendation"]["alternatives"][0]["reason"] == "it costs more"
    assert said["rightSized"]["reason"] == "Recommended"
    assert said["measured"]["usageMinutes"] == 401
    assert said["measured"]["cpuCores"]["p95"] >= 0.2


def test_an_unknown_name_is_told(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["recommend", "nobody", "-n", "ml", "--state", str(state)]) == 2
    assert "nobody" in capsys.readouterr().err


def test_a_bar_is_drawn_to_an_eighth() -> None:
    assert bar_of(1.0, 4) == "████"
    assert bar_of(0.5, 4) == "██"
    assert bar_of(1 / 32, 4) == "▏"
    assert bar_of(0.0, 4) == ""


def test_a_series_is_drawn_against_its_highest_value() -> None:
    assert series([0, 4, 8]) == " ▄█"
    assert series([0, 0]) == "  "
    assert series([]) == ""


def test_a_histogram_shows_every_share_and_names_its_percentile() -> None:
    histogram = Histogram.empty(CPU_CORES)
    for cores in (0.2, 0.2, 0.2, 0.8):
        histogram = histogram.add(cores, at=NOW)

    rows = bars(histogram, lambda cores: f"{cores:.2f}", marks=[("p95", histogram.percentile(0.95))])

    assert rows[0].split()[-1] == "75.0%"
    assert rows[-1].endswith("25.0%  p95")
    assert len(rows) <= 12
    assert bars(Histogram.empty(CPU_CORES), str) == []
