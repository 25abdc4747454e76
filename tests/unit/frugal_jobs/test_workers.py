"""Trainings in processes of their own: what they bring back, what a death costs, and that none is left behind."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import psutil
import pytest

from frugal.api.common import Task
from frugal_jobs.models.loading import from_bytes
from frugal_jobs.models.model import Model
from frugal_jobs.search.workers import Crew, Errand, Means, Outcome
from tests.unit.frugal_jobs.small_models import digits, samples_of, small_cnn

PIXELS, LABELS = digits()
MODEL = small_cnn(width=32, classes=10)


def crew(folder: Path, *, size: int = 1) -> Crew:
    means = Means(
        baseline=MODEL.content, training=samples_of(PIXELS, LABELS), calibration=None, task=Task.CLASSIFICATION,
        folder=folder, seed=7, augment=(), volumes=None, study_uri=folder.as_uri(),
    )  # fmt: skip
    return Crew(means=means, size=size)


def errand(name: str = "lineage 0.500", *, ratio: float = 0.5, seconds: float = 60, epochs: float = 1) -> Errand:
    return Errand(
        name=name, step={"prune": {"ratio": ratio, "epochs": epochs}}, content=MODEL.content, label=MODEL.label,
        steps=(), deadline=time.monotonic() + seconds,
    )  # fmt: skip


def ended(crew: Crew, *, within: float = 90) -> list[Outcome]:
    end, found = time.monotonic() + within, []
    while crew.running and time.monotonic() < end:
        found += crew.wait(1.0)
    return found


def test_a_worker_brings_back_what_it_trained_and_takes_the_next_errand(tmp_path: Path) -> None:
    with crew(tmp_path) as one:
        one.send(errand("lineage 0.750", ratio=0.75))
        first = ended(one)
        one.send(errand("lineage 0.250", ratio=0.25))
        second = ended(one)

    models = [Model(proto=from_bytes(outcome.content, place="").proto) for outcome in (*first, *second)]
    assert [outcome.name for outcome in (*first, *second)] == ["lineage 0.750", "lineage 0.250"]
    assert models[0].parameters < models[1].parameters < MODEL.parameters
    assert first[0].steps[0]["prune"]["ratio"] == 0.75
    assert first[0].label == "prune 75 %"


def test_a_technique_that_fails_is_an_outcome_with_its_reason(tmp_path: Path) -> None:
    with crew(tmp_path) as one:
        one.send(Errand(name="bad", step={"prune": {"ratio": 0.5, "epochs": 1}}, content=b"no model", label="",
                        steps=(), deadline=time.monotonic() + 60))  # fmt: skip
        outcome = ended(one)[0]

    assert outcome.content == b""
    assert outcome.error


@pytest.mark.slow
def test_a_worker_that_is_killed_costs_its_training_and_no_more(tmp_path: Path) -> None:
    with crew(tmp_path) as one:
        one.send(errand(epochs=1000))
        worker = _children()[-1]
        time.sleep(0.5)
        os.kill(worker.pid, signal.SIGKILL)
        lost = ended(one)[0]
        one.send(errand("lineage 0.300", ratio=0.3))
        next_one = ended(one)[0]

    assert lost.error == "its training process ended (out of memory?)"
    assert next_one.content


@pytest.mark.slow
def test_a_crew_that_is_dismissed_leaves_no_process_and_its_training_goes_on_later(tmp_path: Path) -> None:
    with crew(tmp_path) as one:
        one.send(errand(epochs=1000, seconds=300))
        end = time.monotonic() + 60
        while not any(process.cpu_times().user > 6 for process in _children()) and time.monotonic() < end:
            time.sleep(0.2)  # until it trains: imports take less
        children = _children()

    assert not [process for process in children if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    kept = list(tmp_path.glob("checkpoints/lineage-0-500-*.safetensors"))
    assert len(kept) == 1
    assert np.frombuffer(kept[0].read_bytes()[:8], np.uint64)[0] > 0


def _children() -> list[psutil.Process]:
    return [
        process for process in psutil.Process().children() if any("spawn_main" in word for word in process.cmdline())
    ]


@pytest.fixture(autouse=True)
def one_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
