"""The Job and the request of a CompressionJob."""

from __future__ import annotations

from typing import Any

import pytest

from frugal.api.request import CompressionRequest
from frugal.api.validation import parse_compression_job
from frugal.resources.compression import render_job, render_request, settings_hash
from tests.unit.decisions.factories import compression_spec, owned


def container(**changes: Any) -> dict[str, Any]:
    job = parse_compression_job(owned("CompressionJob", compression_spec(**changes)))
    rendered = render_job(job, image="jobs:1", image_pull_policy="Never", ignore_disruptions=False)
    (only,) = rendered["spec"]["template"]["spec"]["containers"]
    return dict(only)


def test_the_pod_reads_back_exactly_the_spec() -> None:
    job = parse_compression_job(owned("CompressionJob", compression_spec(objective={"maxLoss": 1.5})))

    request = CompressionRequest.model_validate_json(render_request(job)["data"]["request.json"])

    assert request.spec == job.spec
    assert request.inputs_hash == job.spec.inputs_hash()


def test_a_claim_that_is_read_and_written_is_mounted_once_and_writable() -> None:
    mounts = {one["mountPath"]: one.get("readOnly") for one in container()["volumeMounts"]}

    assert mounts["/mnt/frugal/volumes/models"] is False  # the model is read from it, the output goes there
    assert mounts["/mnt/frugal/volumes/data"] is True


@pytest.mark.parametrize(("cpu", "threads"), [("500m", "1"), ("2", "2"), ("3900m", "3")])
def test_it_computes_with_its_whole_cores(cpu: str, threads: str) -> None:
    variables = {one["name"]: one["value"] for one in container(resources={"requests": {"cpu": cpu}})["env"]}

    assert variables["OMP_NUM_THREADS"] == threads


def test_without_resources_it_is_sized_by_the_parallelism_of_its_search() -> None:
    alone, many = container(), container(strategy={"search": {"parallelism": 16}})

    assert alone["resources"] == {"requests": {"cpu": "1", "memory": "2Gi"}, "limits": {"memory": "4Gi"}}
    assert many["resources"]["requests"]["cpu"] == "2"


def test_settings_are_told_from_inputs() -> None:
    def parsed(**changes: Any) -> Any:
        return parse_compression_job(owned("CompressionJob", compression_spec(**changes)))

    plain, bigger, other = parsed(), parsed(resources={"limits": {"memory": "8Gi"}}), parsed(objective={"maxLoss": 1})

    assert settings_hash(plain) != settings_hash(bigger)
    assert settings_hash(plain) == settings_hash(other)
