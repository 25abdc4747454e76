"""What starts a compression again, and what does not."""

from typing import Any

import pytest

from frugal.api.validation import parse_compression_job
from tests.unit.api.objects import compression_job


def inputs_hash(**spec: Any) -> str:
    return parse_compression_job(compression_job(**spec)).spec.inputs_hash()


@pytest.mark.parametrize(
    "spec",
    [
        {"suspend": True},
        {"backoffLimit": 5},
        {"resources": {"requests": {"cpu": 2}}},
        {"podTemplate": {"spec": {"nodeSelector": {"disk": "fast"}}}},
        {"costBenefit": {"mode": "Off"}},
        {"credentials": {"secretRef": {"name": "bucket"}}},
        {"ttlSecondsAfterFinished": 60},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_how_the_work_is_run_does_not_start_it_again(spec: dict[str, Any]) -> None:
    assert inputs_hash(**spec) == inputs_hash()


@pytest.mark.parametrize(
    "spec",
    [
        {"model": {"uri": "s3://models/cnn.onnx", "sha256": "0" * 64}},
        {"data": {"evaluation": {"uri": "s3://data/test.npz", "samples": 100}}},
        {"objective": {"maxLoss": 1}},
        {"strategy": {"search": {"seed": 8}}},
        {"targets": [{"device": "cuda"}]},
        {"profile": "edge"},
        {"output": {"uri": "s3://models/elsewhere"}},
        {"distillation": {"features": ["a=b"]}},
    ],
    ids=lambda spec: next(iter(spec)),
)
def test_what_defines_the_result_starts_it_again(spec: dict[str, Any]) -> None:
    assert inputs_hash(**spec) != inputs_hash()


def test_a_default_that_the_server_wrote_is_no_change() -> None:
    written = {"objective": {"metric": "accuracy", "maxLoss": 0.5, "cost": {"size": 0.5, "latency": 1}}}

    assert inputs_hash(**written) == inputs_hash()
