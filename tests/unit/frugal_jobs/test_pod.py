"""The whole pod as a process, on digits: verdicts, exit statuses, progress, and going on after being killed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor, from_numpy, nn

from frugal.api.common import Task
from frugal.api.compression_job import CompressionJobSpec
from frugal.api.request import CompressionRequest
from frugal.api.result import CompressionResult, ProgressLine, Report, ResultVerdict
from frugal_jobs.models.graph_import import imported
from frugal_jobs.models.model import Model
from frugal_jobs.models.running import outputs_of
from frugal_jobs.search.study import StudyRecord
from frugal_jobs.techniques.fine_tuning import FineTuning, Lesson, Limit
from tests.unit.frugal_jobs.small_models import digits, samples_of, small_cnn

PIXELS, LABELS = digits()
TESTED = np.arange(len(PIXELS)) % 3 == 0  # 599 samples: z^2 / n alone is 0.5 points


class Labels:
    """A teacher that knows the labels."""

    def __init__(self, labels: np.ndarray) -> None:
        self.labels = labels

    def outputs(self, index: np.ndarray) -> Tensor:
        return 8.0 * nn.functional.one_hot(from_numpy(self.labels[index].astype(np.int64)), 10).float()


@pytest.fixture(scope="session")
def digits_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with model.onnx, trained on digits for some seconds, train.npz and test.npz."""
    folder = tmp_path_factory.mktemp("digits")
    labels = LABELS[~TESTED]
    model = small_cnn(width=32, classes=10)
    trainable = imported(model)
    lesson = Lesson(
        samples=samples_of(PIXELS[~TESTED], labels), teacher=Labels(labels), task=Task.CLASSIFICATION,  # type: ignore[arg-type]
        are_probabilities=False, augment=(), seed=1,
    )  # fmt: skip
    FineTuning(trainable.module, lesson, Limit(epochs=15), keep=lambda _: None).run()
    (folder / "model.onnx").write_bytes(Model(proto=trainable.written_back()).content)
    np.savez(folder / "train.npz", x=PIXELS[~TESTED], y=labels)
    np.savez(folder / "test.npz", x=PIXELS[TESTED], y=LABELS[TESTED])
    return folder


@dataclass(frozen=True, slots=True)
class Pod:
    """One job's places; each `run` is one attempt."""

    folder: Path
    spec: dict[str, Any]

    def start(self) -> subprocess.Popen[str]:
        for name in ("work", "out"):
            (self.folder / name).mkdir(parents=True, exist_ok=True)
        spec = CompressionJobSpec.model_validate(self.spec)
        request = CompressionRequest(namespace="default", name="digits", uid="1", inputs_hash="abc", spec=spec)
        (self.folder / "request.json").write_text(json.dumps(request.to_json()))
        environment = os.environ | {
            "FRUGAL_REQUEST": str(self.folder / "request.json"),
            "FRUGAL_VOLUMES": str(self.folder.parent),
            "FRUGAL_WORK": str(self.folder / "work"),
            "FRUGAL_TERMINATION_LOG": str(self.folder / "termination"),
            "OMP_NUM_THREADS": "1",
        }
        return subprocess.Popen(
            [sys.executable, "-m", "frugal_jobs"], env=environment, text=True, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )  # fmt: skip

    def run(self) -> tuple[int, list[ProgressLine], CompressionResult]:
        process = self.start()
        said, errors = process.communicate(timeout=300)
        lines = [ProgressLine.model_validate_json(line) for line in said.splitlines()]
        assert (self.folder / "termination").exists(), errors
        return process.returncode, lines, self.result

    @property
    def result(self) -> CompressionResult:
        return CompressionResult.model_validate_json((self.folder / "termination").read_bytes())

    @property
    def study(self) -> StudyRecord:
        return StudyRecord.model_validate_json((self.folder / "out/studies/abc/study.json").read_bytes())


def pod(folder: Path, inputs: Path, **more: Any) -> Pod:
    spec: dict[str, Any] = {
        "model": {"uri": (inputs / "model.onnx").as_uri()},
        "data": {
            "evaluation": {"uri": (inputs / "test.npz").as_uri()},
            "training": {"uri": (inputs / "train.npz").as_uri()},
        },
        "objective": {"maxLoss": 3.0, "cost": {"size": 1.0}},  # sizes do not depend on how busy the machine is
        "strategy": {"search": {"timeout": "120s", "trials": 4}},
        "output": {"uri": (folder / "out").as_uri()},
    }
    return Pod(folder, spec | more)


def test_a_model_is_compressed_verified_and_published(tmp_path: Path, digits_folder: Path) -> None:
    status, lines, result = pod(tmp_path, digits_folder).run()

    assert (status, result.verdict) == (0, ResultVerdict.SUCCEEDED)
    assert [line.phase for line in lines if line.kind == "phase"] == [
        "Estimating", "Searching", "Verifying", "Publishing"
    ]  # fmt: skip
    assert [line.kind for line in lines].count("trial") == result.trials == 4
    assert result.best is not None
    assert result.best.size_ratio > 3
    assert result.best.loss_upper_bound is not None
    assert result.best.loss <= result.best.loss_upper_bound <= 3.0
    assert result.usage.cpu_seconds > 0
    assert_published(tmp_path, digits_folder, result)


def assert_published(folder: Path, inputs: Path, result: CompressionResult) -> None:
    """Judge the published file again, by other means than the pod's own."""
    import hashlib

    assert result.baseline is not None
    assert result.best is not None
    artifact = result.artifacts[0]
    content = Path(artifact.uri.removeprefix("file://")).read_bytes()
    assert hashlib.sha256(content).hexdigest() == artifact.sha256
    assert len(content) == artifact.size_bytes
    import onnx

    images = PIXELS[TESTED][:, None].astype(np.float32) / 255
    accuracies = []
    for model in (content, (inputs / "model.onnx").read_bytes()):
        outputs = outputs_of(Model(proto=onnx.load_from_string(model)), iter([{"x": images}]))
        accuracies.append(float((outputs.argmax(axis=1) == LABELS[TESTED]).mean()))
    assert 100 * (accuracies[1] - accuracies[0]) == pytest.approx(result.best.loss, abs=0.01)
    report = Path(result.report_uri.removeprefix("file://"))
    assert hashlib.sha256(report.read_bytes()).hexdigest() == result.report_sha256
    assert Report.model_validate_json(report.read_bytes()).pipeline
    assert report.with_suffix(".html").exists()


def test_a_time_that_is_too_short_for_a_search_still_ends_in_a_candidate(tmp_path: Path, digits_folder: Path) -> None:
    hurried = pod(tmp_path, digits_folder, strategy={"search": {"timeout": "1s"}})

    _, _, result = hurried.run()

    assert result.verdict is ResultVerdict.SUCCEEDED
    assert result.trials == 1


def test_a_bound_that_nothing_can_meet_ends_in_a_rejection_without_an_artifact(
    tmp_path: Path, digits_folder: Path
) -> None:
    strict = pod(tmp_path, digits_folder, objective={"maxLoss": 0.0})

    status, _, result = strict.run()

    assert (status, result.verdict) == (0, ResultVerdict.REJECTED)
    assert result.artifacts == []
    assert not list(tmp_path.rglob("sha256/*/model.onnx"))
    assert result.report_uri
    assert "0 points" in result.message


def test_a_pipeline_runs_exactly_its_steps(tmp_path: Path, digits_folder: Path) -> None:
    steps = [{"prune": {"ratio": 0.5, "epochs": 6}}, {"quantize": {"scheme": "linear", "bits": 8}}]
    strategy = {"mode": "Pipeline", "pipeline": steps}

    status, _, result = pod(
        tmp_path, digits_folder, objective={"maxLoss": 8, "cost": {"size": 1.0}}, strategy=strategy
    ).run()

    assert (status, result.verdict, result.trials) == (0, ResultVerdict.SUCCEEDED, 1)
    assert result.best is not None
    assert result.best.technique == "prune 50 % + int8"
    assert result.best.size_ratio > 6


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"model": {"uri": "file:///no/such/model.onnx"}}, "spec.model.uri"),
        ({"data": {"evaluation": {"uri": "file:///no/such/set.npz"}}}, "spec.data.evaluation.uri"),
        ({"output": {"uri": "file:///proc/frugal"}}, "spec.output.uri"),
        ({"objective": {"metric": "bleu"}}, "spec.objective.metric"),
    ],
)
def test_what_no_retry_can_mend_is_invalid_and_names_its_field(
    tmp_path: Path, digits_folder: Path, change: dict[str, Any], field: str
) -> None:
    status, _, result = pod(tmp_path, digits_folder, **change).run()

    assert (status, result.verdict, result.field) == (0, ResultVerdict.INVALID, field)
    assert result.message


def test_a_target_that_cannot_be_made_here_publishes_nothing_and_says_what_it_lacks(
    tmp_path: Path, digits_folder: Path
) -> None:
    targets = [{"runtime": "tensorrt", "device": "cuda"}]
    status, _, result = pod(tmp_path, digits_folder, targets=targets).run()

    assert (status, result.verdict) == (0, ResultVerdict.REJECTED)
    assert "tensorrt" in result.message
    assert not any(artifact.verified for artifact in result.artifacts)


def test_bad_labels_of_the_evaluation_are_found_before_the_search(tmp_path: Path, digits_folder: Path) -> None:
    (tmp_path / "claim").mkdir()
    np.savez(tmp_path / "claim/bad.npz", x=PIXELS[:20], y=LABELS[:20] + 200)

    data = {"evaluation": {"uri": "pvc://claim/bad.npz"}}
    _, lines, result = pod(tmp_path / "job", digits_folder, data=data).run()

    assert result.verdict is ResultVerdict.INVALID
    assert "20 labels are outside 0..9" in result.message
    assert [line.phase for line in lines if line.kind == "phase"] == ["Estimating"]


def test_a_pod_that_is_told_to_end_goes_on_where_it_was(tmp_path: Path, digits_folder: Path) -> None:
    job = pod(tmp_path, digits_folder)
    first = job.start()
    assert first.stdout is not None
    for line in first.stdout:
        if ProgressLine.model_validate_json(line).kind == "trial":
            break
    first.send_signal(signal.SIGTERM)
    first.communicate(timeout=60)
    paid = [trial.key for trial in job.study.trials]

    status, lines, result = job.run()

    assert first.returncode == 143
    assert paid
    assert (status, result.verdict, result.trials) == (0, ResultVerdict.SUCCEEDED, 4)
    assert [line.kind for line in lines].count("trial") == 4 - len(paid)  # none was paid for twice
    assert len({trial.key for trial in job.study.trials}) == len(job.study.trials)
    assert job.study.attempts == 2


def test_a_verdict_that_was_reached_is_said_again_without_any_work(tmp_path: Path, digits_folder: Path) -> None:
    job = pod(tmp_path, digits_folder, strategy={"search": {"timeout": "20s", "trials": 1}})
    _, _, before = job.run()

    status, lines, after = job.run()

    assert (status, after) == (0, before)
    assert lines == []
