"""`frugal compress`: from options to the request, and from the verdict to what people and programs read."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import yaml

from frugal.api.common import ModelFormat, Task
from frugal.cli.compress.request import UnusableArgument, request_from
from frugal.cli.main import main, parser
from frugal.errors import InvalidObject
from tests.unit.frugal_jobs.small_models import digits, small_cnn


def requested(*words: str):  # type: ignore[no-untyped-def]
    return request_from(parser().parse_args(["compress", *words]))


@pytest.fixture
def inputs(tmp_path: Path) -> Path:
    """A folder with model.onnx, which nobody trained, and test.npz, on which it is therefore as bad as any other."""
    pixels, labels = digits()
    (tmp_path / "model.onnx").write_bytes(small_cnn(classes=10).content)
    np.savez(tmp_path / "test.npz", x=pixels, y=labels)
    return tmp_path


def test_options_become_a_spec(inputs: Path) -> None:
    request = requested(
        str(inputs / "model.onnx"), "--evaluation", str(inputs / "test.npz"), "--max-loss", "1", "--cost", "size=1",
        "--target", "onnxruntime/cpu", "--timeout", "5m", "--output", "out",
    )  # fmt: skip

    assert request.name == "model"
    assert request.spec.model.uri == (inputs / "model.onnx").as_uri()
    assert (request.spec.objective.max_loss, request.spec.strategy.search.timeout) == (1.0, "5m")
    assert {str(key): weight for key, weight in request.spec.objective.cost.items()} == {"size": 1.0}
    assert request.spec.output.uri == (Path.cwd() / "out").as_uri()


def test_the_ending_tells_the_format_and_the_metric_the_task(inputs: Path) -> None:
    (inputs / "model.h5").touch()

    request = requested(str(inputs / "model.h5"), "--evaluation", "s3://b/e.npz", "--metric", "rmse", "--output", "o")

    assert request.spec.model.format is ModelFormat.KERAS
    assert request.spec.model.task is Task.REGRESSION
    assert request.spec.data.evaluation.uri == "s3://b/e.npz"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ([], "MODEL: expected a path or URI"),
        (["gone.onnx", "--evaluation", "e", "--output", "o"], "MODEL 'gone.onnx': expected a path that exists"),
        (["s3://b/m.bin", "--evaluation", "s3://b/e", "--output", "o"], "a file that ends in .onnx"),
        (["s3://b/m.onnx", "--evaluation", "gone.npz", "--output", "o"], "--evaluation 'gone.npz'"),
        (["s3://b/m.onnx", "--evaluation", "s3://b/e", "--output", "o", "--cost", "size"], "KEY=WEIGHT"),
        (["-f", "gone.yaml"], "a readable YAML file"),
    ],
)
def test_an_argument_that_cannot_be_used_is_named(words: list[str], said: str) -> None:
    with pytest.raises(UnusableArgument, match=said):
        requested(*words)


def test_a_fault_of_the_spec_is_told_as_the_operator_tells_it() -> None:
    with pytest.raises(InvalidObject, match=r"objective\.metric: one of accuracy"):
        requested("s3://b/m.onnx", "--evaluation", "s3://b/e.npz", "--output", "o", "--metric", "beauty")


def test_a_file_with_a_job_is_taken_instead(tmp_path: Path) -> None:
    job = {
        "apiVersion": "frugal.dev/v1alpha1", "kind": "CompressionJob", "metadata": {"name": "fashion"},
        "spec": {
            "model": {"uri": "s3://b/m.onnx"}, "data": {"evaluation": {"uri": "s3://b/e.npz"}},
            "output": {"uri": "s3://b/out"},
        },
    }  # fmt: skip
    (tmp_path / "job.yaml").write_text(yaml.safe_dump(job))

    request = requested("-f", str(tmp_path / "job.yaml"), "--output", str(tmp_path))

    assert (request.name, request.spec.output.uri) == ("fashion", tmp_path.as_uri())


def test_a_model_is_compressed_and_the_summary_has_the_artifacts_path(
    inputs: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    status = main(
        ["compress", str(inputs / "model.onnx"), "--evaluation", str(inputs / "test.npz"), "--max-loss", "5",
         "--cost", "size=1", "--timeout", "60s", "--output", str(inputs / "out"), "-o", "json"]
    )  # fmt: skip

    summary = json.loads(capsys.readouterr().out)
    artifact = summary["artifacts"][0]
    assert (status, summary["verdict"]) == (0, "Succeeded")
    assert Path(artifact["path"]) == inputs / "out" / "sha256" / artifact["sha256"] / "model.onnx"
    assert Path(artifact["path"]).stat().st_size == artifact["sizeBytes"]
    assert Path(summary["reportPath"]).is_file()


def test_an_input_that_cannot_be_used_ends_with_2(inputs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (inputs / "model.onnx").write_bytes(b"no model")

    status = main(
        ["compress", str(inputs / "model.onnx"), "--evaluation", str(inputs / "test.npz"),
         "--output", str(inputs / "out"), "-o", "json"]
    )  # fmt: skip

    summary = json.loads(capsys.readouterr().out)
    assert (status, summary["verdict"], summary["field"]) == (2, "Invalid", "spec.model.uri")
