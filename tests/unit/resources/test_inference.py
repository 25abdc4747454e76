"""The Deployment of an InferenceDeployment, and what is read back from it."""

from __future__ import annotations

from typing import Any

import pytest

from frugal.api.inference_deployment import InferenceDeployment
from frugal.api.status import ServedModelStatus, Size
from frugal.api.validation import parse_inference_deployment
from frugal.resources.inference import first_size, first_size_hash, model_in, render_deployment, size_in
from frugal.units import Quantity
from tests.unit.decisions.factories import inference_spec, owned

MODEL = ServedModelStatus(uri="pvc://models/digits.onnx", sha256="ab" * 32, version="abababababab")
SIZE = Size(cpu=Quantity("1500m"), memory=Quantity("1Gi"), memory_limit=Quantity("2Gi"), replicas=3)


def parsed(**changes: Any) -> InferenceDeployment:
    return parse_inference_deployment(owned("InferenceDeployment", inference_spec(**changes)))


def rendered(size: Size = SIZE, **changes: Any) -> dict[str, Any]:
    return render_deployment(parsed(**changes), model=MODEL, size=size, image="serve:1", image_pull_policy="Never")


def server(manifest: dict[str, Any]) -> dict[str, Any]:
    return dict(manifest["spec"]["template"]["spec"]["containers"][0])


def with_server(**container: Any) -> dict[str, Any]:
    return {"podTemplate": {"spec": {"containers": [{"name": "server", **container}]}}}


def test_a_deployment_tells_its_size_and_its_model() -> None:
    manifest = rendered()

    assert size_in(manifest) == SIZE
    assert model_in(manifest) == MODEL


@pytest.mark.parametrize("manifest", [{}, {"spec": {}}, {"spec": {"template": {"spec": {"containers": []}}}}])
def test_a_deployment_that_says_nothing_has_no_size(manifest: dict[str, Any]) -> None:
    assert size_in(manifest) is None
    assert model_in(manifest) is None


def test_memory_is_bounded_and_the_cpu_is_not() -> None:
    assert server(rendered())["resources"]["limits"] == {"memory": "2Gi"}


def test_the_decided_size_wins_over_the_pod_template() -> None:
    runtime = with_server(resources={"requests": {"cpu": "8", "memory": "8Gi"}, "limits": {"cpu": "8"}})

    resources = server(rendered(runtime=runtime))["resources"]

    assert resources == {"requests": {"cpu": "1500m", "memory": "1Gi"}, "limits": {"memory": "2Gi"}}


def test_the_objective_is_an_edge_of_the_servers_histogram() -> None:
    variables = {one["name"]: one["value"] for one in server(rendered(slo={"latency": {"threshold": "50ms"}}))["env"]}

    assert variables["FRUGAL_LATENCY_THRESHOLD_SECONDS"] == "0.05"


def test_a_pod_has_longer_than_its_drain() -> None:
    pod = rendered()["spec"]["template"]["spec"]
    drain = next(one["value"] for one in server(rendered())["env"] if one["name"] == "FRUGAL_DRAIN_SECONDS")

    assert pod["terminationGracePeriodSeconds"] > float(drain)


@pytest.mark.parametrize(
    ("resources", "size"),
    [
        (None, ("500m", "512Mi", "1024Mi")),
        ({"requests": {"cpu": "2", "memory": "1Gi"}}, ("2", "1Gi", "2048Mi")),
        ({"limits": {"cpu": "2", "memory": "1Gi"}}, ("2", "1Gi", "1Gi")),  # as Kubernetes: the request is the limit
        ({"requests": {"memory": "1Gi"}, "limits": {"memory": "3Gi"}}, ("500m", "1Gi", "3Gi")),
        ("nonsense", ("500m", "512Mi", "1024Mi")),
    ],
)
def test_the_first_size_is_what_the_pod_template_asks_for(resources: object, size: tuple[str, str, str]) -> None:
    first = first_size(parsed(runtime=with_server(resources=resources)).spec)

    assert (first.cpu, first.memory, first.memory_limit) == size


def test_the_number_of_replicas_is_not_part_of_what_one_of_them_asks_for() -> None:
    assert first_size_hash(parsed().spec) == first_size_hash(parsed(replicas={"min": 5}).spec)
