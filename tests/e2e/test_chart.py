"""The chart on a real API server: install, upgrade, roll back, uninstall."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import helm_python
import pytest

from tests.cluster.cluster import ControlPlane

ROOT = Path(__file__).parents[2]
CHART = ROOT / "helm/frugal"
NAMESPACE = "frugal-chart"
# Kubernetes 1.20 does not know the keys of CEL rules, and Helm validates on its side: the CRDs go in beforehand.
VALUES = {"crds": {"install": False}}

pytestmark = pytest.mark.real


@pytest.fixture
def helm(control_plane: ControlPlane) -> Iterator[helm_python.Config]:
    """Helm with an empty namespace, on a server that has both kinds."""
    control_plane.kubectl("apply", "--validate=false", "-k", str(ROOT / "crds"))
    control_plane.kubectl("create", "namespace", NAMESPACE)
    with helm_python.Config(kubeconfig_path=str(control_plane.kubeconfig), namespace=NAMESPACE) as config:
        yield config
    control_plane.kubectl("delete", "namespace", NAMESPACE)


def test_a_release_comes_changes_goes_back_and_goes(control_plane: ControlPlane, helm: helm_python.Config) -> None:
    helm.install(CHART, "frugal", VALUES, namespace=NAMESPACE)
    installed = deployment(control_plane)

    helm.upgrade(CHART, "frugal", {**VALUES, "replicas": 2, "priceBook": prices()}, namespace=NAMESPACE)
    upgraded = deployment(control_plane)
    held = control_plane.kubectl("get", "configmap/frugal-prices", "-n", NAMESPACE, "-o", "name")

    helm.rollback("frugal", version=1)
    rolled_back = deployment(control_plane)

    helm.uninstall("frugal")
    left = control_plane.kubectl(
        "get", "deployments,services,roles,configmaps,clusterroles", "-A", "-l", "app.kubernetes.io/name=frugal"
    )

    assert [one["spec"]["replicas"] for one in (installed, upgraded, rolled_back)] == [1, 2, 1]
    assert held == "configmap/frugal-prices\n"
    assert left == ""


def test_objects_and_kinds_outlive_the_release(control_plane: ControlPlane, helm: helm_python.Config) -> None:
    helm.install(CHART, "frugal", VALUES, namespace=NAMESPACE)
    control_plane.kubectl("apply", "-n", NAMESPACE, "-f", str(ROOT / "manifests/examples/fashion.yaml"))

    helm.uninstall("frugal")

    kept = control_plane.kubectl("get", "inferencedeployments", "-n", NAMESPACE, "-o", "name")
    assert kept == "inferencedeployment.frugal.dev/fashion\n"


def deployment(control_plane: ControlPlane) -> dict[str, Any]:
    """Return the operator's Deployment."""
    return cast(dict[str, Any], control_plane.kubectl.get("deployment/frugal-operator", "-n", NAMESPACE))


def prices() -> dict[str, Any]:
    """Return a price book made for tests."""
    entry = {"cpuPerCoreHour": "0.04", "memoryPerGiBHour": "0.005"}
    return {"currency": "USD", "source": "made for tests", "retrievedAt": "2026-11-01", "entries": [entry]}
