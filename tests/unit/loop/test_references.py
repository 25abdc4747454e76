"""References: found both ways, moved when the spec moves, forgotten with their object."""

from __future__ import annotations

from typing import Any

import pytest

from frugal.loop.ports import ObjectKey
from frugal.loop.references import References, owner_of, referred_by
from tests.unit.loop.world import compression_job, inference_deployment

JOB = ObjectKey("CompressionJob", "team", "cnn")
SERVED = ObjectKey("InferenceDeployment", "team", "fashion")


def test_each_kind_refers_to_the_other() -> None:
    served = inference_deployment(model={"compressionJobRef": {"name": "cnn"}})
    job = compression_job(costBenefit={"inferenceDeploymentRef": {"name": "fashion"}})

    assert referred_by(served) == JOB
    assert referred_by(job) == SERVED


@pytest.mark.parametrize("spec", [{}, {"model": None}, {"model": []}, {"model": {"compressionJobRef": "cnn"}}])
def test_a_spec_that_breaks_the_schema_refers_to_nothing(spec: dict[str, Any]) -> None:
    assert referred_by({"kind": "InferenceDeployment", "metadata": {"namespace": "team"}, "spec": spec}) is None


def test_a_reference_that_moves_is_not_found_at_its_old_place() -> None:
    references = References()
    references.update(SERVED, inference_deployment(model={"compressionJobRef": {"name": "cnn"}}))

    references.update(SERVED, inference_deployment(model={"compressionJobRef": {"name": "other"}}))

    assert references.sources(JOB) == ()
    assert references.sources(ObjectKey("CompressionJob", "team", "other")) == (SERVED,)


def test_an_object_that_is_gone_refers_to_nothing() -> None:
    references = References()
    references.update(SERVED, inference_deployment(model={"compressionJobRef": {"name": "cnn"}}))

    references.update(SERVED, None)

    assert references.sources(JOB) == ()


def test_a_label_of_another_kind_makes_nobody_an_owner() -> None:
    assert owner_of({"frugal.dev/kind": "Deployment", "frugal.dev/name": "x"}, "team") is None
    assert owner_of({"frugal.dev/kind": "CompressionJob"}, "team") is None
