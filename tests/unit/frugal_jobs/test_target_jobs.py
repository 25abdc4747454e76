"""Jobs for other runtimes as whole pods: each target has its own artifact, run and judged in its own runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from frugal.api.result import ResultVerdict
from tests.unit.frugal_jobs.test_pod import digits_folder, pod

__all__ = ["digits_folder"]

FLOAT16 = {"mode": "Pipeline", "pipeline": [{"quantize": {"scheme": "float16", "bits": 16}}]}


@pytest.mark.slow
def test_litert_and_executorch_artifacts_are_published_beside_onnx(tmp_path: Path, digits_folder: Path) -> None:
    targets = [{"runtime": "onnxruntime"}, {"runtime": "litert"}, {"runtime": "executorch"}]

    status, lines, result = pod(tmp_path, digits_folder, targets=targets).run()

    assert (status, result.verdict) == (0, ResultVerdict.SUCCEEDED), result.message
    assert [one.target for one in result.artifacts] == ["onnxruntime/cpu", "litert/cpu", "executorch/cpu"]
    assert [Path(one.uri).suffix for one in result.artifacts] == [".onnx", ".tflite", ".pte"]
    assert all(one.verified for one in result.artifacts)
    assert any(line.candidate and "litert/cpu" in line.candidate.technique for line in lines)


@pytest.mark.slow
def test_a_target_that_cannot_be_made_here_leaves_the_others_alone(tmp_path: Path, digits_folder: Path) -> None:
    targets = [{"runtime": "onnxruntime"}, {"runtime": "sagemaker-neo"}]

    status, _, result = pod(tmp_path, digits_folder, targets=targets).run()

    assert (status, result.verdict) == (0, ResultVerdict.REJECTED)
    assert [one.target for one in result.artifacts] == ["onnxruntime/cpu"]
    assert "sagemaker-neo/cpu" in result.message


@pytest.mark.slow
def test_a_keras_classifier_becomes_a_float16_tflite(tmp_path: Path, digits_folder: Path) -> None:
    from tests.unit.frugal_jobs.keras_models import digits_network

    digits_network(digits_folder / "train.npz").save(tmp_path / "model.h5")
    for name in ("train", "test"):
        with np.load(digits_folder / f"{name}.npz") as archive:
            np.savez(tmp_path / f"{name}.npz", x=archive["x"][..., None], y=archive["y"])
    job = pod(
        tmp_path, tmp_path, targets=[{"runtime": "litert"}], strategy=FLOAT16,
        model={"uri": (tmp_path / "model.h5").as_uri(), "format": "keras"},
    )  # fmt: skip

    status, _, result = job.run()

    assert (status, result.verdict) == (0, ResultVerdict.SUCCEEDED), result.message
    (artifact,) = result.artifacts
    assert artifact.target == "litert/cpu"
    assert result.best is not None
    assert 1.5 < result.best.size_ratio < 2.2
