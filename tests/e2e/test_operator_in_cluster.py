"""The operator as it is installed: from its manifests, with exactly the rights that they give, as a restricted pod."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.cluster.cluster import Node
from tests.cluster.errors import CommandFailed

ROOT = Path(__file__).parents[2]
SYSTEM = "frugal-system"
OPERATOR = "deployment/frugal-operator"

pytestmark = [pytest.mark.real, pytest.mark.slow]


@pytest.fixture(scope="module")
def operator(node: Node) -> Iterator[Node]:
    """The node with the kustomize base on it, its images replaced by those made from the sources."""
    images = node.load_app_images("operator", "jobs", "serve")
    rendered = node.kubectl("kustomize", str(ROOT / "manifests/base"))
    for extra, image in images.items():
        rendered = rendered.replace(f"frugal.dev/{extra}:0.1.0", image)
    node.kubectl("apply", "--validate=false", "-f", "-", stdin=rendered)
    try:
        node.kubectl("rollout", "status", OPERATOR, "-n", SYSTEM, "--timeout=90s", timeout_seconds=100)
    except CommandFailed as late:
        late.add_note(node.kubectl("get", "pods", "-n", SYSTEM, "-o", "jsonpath={.items[*].status}"))
        late.add_note(node.kubectl("logs", OPERATOR, "-n", SYSTEM, "--tail=30"))
        raise
    yield node
    made = "deployments,services,clusterroles,clusterrolebindings"
    node.kubectl("delete", made, "-n", SYSTEM, "-l", "app.kubernetes.io/name=frugal")
    node.kubectl("delete", "namespace", SYSTEM, timeout_seconds=90)
    node.kubectl("delete", "-k", str(ROOT / "crds"), timeout_seconds=90)


def test_the_operator_runs_restricted_and_tells_that_it_is_ready(operator: Node) -> None:
    pods = cast(dict[str, Any], operator.kubectl.get("pods", "-n", SYSTEM))["items"]

    (pod,) = (one for one in pods if "deletionTimestamp" not in one["metadata"])
    assert {one["type"]: one["status"] for one in pod["status"]["conditions"]}["Ready"] == "True"
    assert pod["status"]["containerStatuses"][0]["restartCount"] == 0
    lease = cast(dict[str, Any], operator.kubectl.get("lease/frugal-operator", "-n", SYSTEM))
    assert lease["spec"]["holderIdentity"].startswith(pod["metadata"]["name"])


def test_its_rights_are_enough_for_both_kinds_from_the_first_look_to_the_last(
    operator: Node, room: str, tmp_path: Path
) -> None:
    shelf = operator.claim("models", namespace=room)
    operator.give(shelf, small_model(tmp_path / "model.onnx"), "small/model.onnx")

    operator.kubectl.apply(served(room), compressed(room, suspend=True))
    operator.kubectl.wait("idep/small", condition="Ready", namespace=room, timeout_seconds=120)
    operator.kubectl.apply(compressed(room, suspend=False))  # its data is missing: the pod ends with a verdict
    operator.kubectl.wait("cjob/small", condition="Stalled", namespace=room, timeout_seconds=120)
    operator.kubectl("delete", "idep/small", "cjob/small", "-n", room)
    operator.kubectl("wait", "--for=delete", "deployments,jobs", "--all", "-n", room, "--timeout=60s")

    log = operator.kubectl("logs", OPERATOR, "-n", SYSTEM)
    assert "orbidden" not in log
    assert "Traceback" not in log


def test_its_metrics_are_behind_its_service(operator: Node) -> None:
    service = cast(dict[str, Any], operator.kubectl.get("service/frugal-operator", "-n", SYSTEM))
    (port,) = service["spec"]["ports"]

    text = operator.kubectl(
        "get", "--raw", f"/api/v1/namespaces/{SYSTEM}/services/frugal-operator:{port['name']}/proxy/metrics"
    )

    assert "frugal_build_info{" in text
    assert "frugal_leader 1.0" in text


def served(namespace: str) -> dict[str, Any]:
    """Return an InferenceDeployment of the small model."""
    return manifest("InferenceDeployment", namespace, {"model": {"uri": "pvc://models/small/model.onnx"}})


def compressed(namespace: str, *, suspend: bool) -> dict[str, Any]:
    """Return a CompressionJob whose evaluation data is not there."""
    spec = {
        "model": {"uri": "pvc://models/small/model.onnx"},
        "data": {"evaluation": {"uri": "pvc://models/small/nothing.npz"}},
        "output": {"uri": "pvc://models/small/out"},
        "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"memory": "2Gi"}},
        "suspend": suspend,
    }
    return manifest("CompressionJob", namespace, spec)


def manifest(kind: str, namespace: str, spec: dict[str, Any]) -> dict[str, Any]:
    metadata = {"name": "small", "namespace": namespace}
    return {"apiVersion": "frugal.dev/v1alpha1", "kind": kind, "metadata": metadata, "spec": spec}


def small_model(path: Path) -> Path:
    """Write a linear classifier of four numbers into three classes."""
    weights = numpy_helper.from_array(np.eye(4, 3, dtype=np.float32), "weights")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "weights"], ["y"])],
        "small",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [weights],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path
