"""The CRDs on the oldest server that is tested, Kubernetes 1.20: no CEL, everything else."""

from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from frugal.api.crd import KINDS
from frugal.api.validation import parse_compression_job
from tests.cel.cases import CASES, Case
from tests.cluster.client import call, get_object
from tests.cluster.cluster import ControlPlane
from tests.cluster.errors import CommandFailed
from tests.cluster.processes import wait_until

pytestmark = pytest.mark.real

ROOT = Path(__file__).parents[2]
SCHEMA_FAULTS = {
    "text for a number",
    "text for a truth",
    "a duration without unit",
    "a size in another unit",
    "too much loss",
    "certainty",
    "unknown metric",
    "credentials in a URI",
    "no evaluation",
    "money as a number",
    "too many targets",
    "a port of zero",
    "an unknown mode",
}


@pytest.fixture(scope="module")
def cluster(control_plane: ControlPlane) -> ControlPlane:
    """The control plane with both kinds established."""
    for kind in KINDS:
        # kubectl's own validation would refuse the keys that the server drops.
        control_plane.kubectl("apply", "--validate=false", "-f", str(ROOT / f"crds/frugal.dev_{kind.plural}.yaml"))
    for kind in KINDS:
        _wait_until_served(control_plane, f"/apis/frugal.dev/v1alpha1/namespaces/default/{kind.plural}")
    return control_plane


def _wait_until_served(cluster: ControlPlane, path: str) -> None:
    wait_until(path, lambda: get_object(cluster.instance, path), instance=cluster.instance, seconds=30)


def test_the_server_calls_both_schemas_structural(cluster: ControlPlane) -> None:
    for kind in KINDS:
        found = cast(dict[str, Any], cluster.kubectl.get(f"crd/{kind.plural}.frugal.dev"))

        conditions = {one["type"]: one["status"] for one in found["status"]["conditions"]}
        assert conditions["Established"] == "True"
        assert conditions.get("NonStructuralSchema", "False") == "False"


@pytest.mark.parametrize("path", sorted((ROOT / "manifests/examples").rglob("*.yaml")), ids=lambda path: path.name)
def test_an_example_is_accepted(cluster: ControlPlane, path: Path) -> None:
    # An HPA of autoscaling/v2 is younger than this server.
    manifests = [one for one in yaml.safe_load_all(path.read_text()) if one["kind"] != "HorizontalPodAutoscaler"]

    for manifest in manifests:
        cluster.kubectl("apply", "--dry-run=server", "-f", "-", stdin=yaml.safe_dump(manifest))


@pytest.mark.parametrize("case", [case for case in CASES if case.name in SCHEMA_FAULTS], ids=lambda case: case.name)
def test_a_wrong_type_or_value_is_refused_without_cel(cluster: ControlPlane, case: Case) -> None:
    with pytest.raises(CommandFailed, match=case.fault):
        cluster.kubectl.apply(case.manifest)


def test_a_broken_rule_is_stored_and_left_to_the_operator(cluster: ControlPlane) -> None:
    case = next(case for case in CASES if case.name == "two things in one step")

    cluster.kubectl.apply(case.manifest)

    name = case.manifest["metadata"]["name"]
    assert cluster.kubectl.get(f"cjob/{name}")["spec"]


def test_a_new_object_has_its_defaults_and_never_looks_done(cluster: ControlPlane) -> None:
    case = next(case for case in CASES if case.name == "smallest job")

    cluster.kubectl.apply(case.manifest)

    stored = cast(dict[str, Any], cluster.kubectl.get("cjob/smallest-job"))
    assert stored["status"] == {"observedGeneration": -1}
    assert stored["spec"]["objective"]["maxLoss"] == 0.5
    assert parse_compression_job(stored).spec == parse_compression_job(case.manifest).spec


def test_get_answers_the_first_question(cluster: ControlPlane) -> None:
    manifest = {
        "apiVersion": "frugal.dev/v1alpha1",
        "kind": "CompressionJob",
        "metadata": {"name": "shown", "namespace": "default"},
        "spec": yaml.safe_load((ROOT / "manifests/examples/fashion-cnn.yaml").read_text())["spec"],
    }
    cluster.kubectl.apply(manifest)
    status = {
        "observedGeneration": 1,
        "phase": "Searching",
        "progress": {"trials": 17, "of": 40},
        "best": {"loss": 0.21, "sizeRatio": 7.9, "latencyRatio": 3.2, "technique": "prune 45 % + int8"},
    }
    path = "/apis/frugal.dev/v1alpha1/namespaces/default/compressionjobs/shown/status"
    body: dict[str, object] = {"apiVersion": "frugal.dev/v1alpha1", "kind": "CompressionJob", "status": status}
    call(
        cluster.instance,
        "PATCH",
        f"{path}?fieldManager=test&force=true",
        body,
        content_type="application/apply-patch+yaml",
    )

    header, row = cluster.kubectl("get", "cjob", "shown").splitlines()

    assert header.split() == ["NAME", "PHASE", "TRIALS", "OF", "LOSS", "SMALLER", "FASTER", "SAVING/MONTH", "AGE"]
    assert row.split()[:7] == ["shown", "Searching", "17", "40", "0.21", "7.9", "3.2"]


def test_both_kinds_are_found_by_short_name_and_category(cluster: ControlPlane) -> None:
    deployment = next(case for case in CASES if case.name == "smallest deployment").manifest
    cluster.kubectl.apply(deployment)

    assert "inferencedeployment.frugal.dev/smallest-deployment" in cluster.kubectl("get", "frugal", "-o", "name")
    assert "PHASE" in cluster.kubectl("get", "idep")


def test_an_external_scaler_scales_through_the_scale_subresource(cluster: ControlPlane) -> None:
    case = next(case for case in CASES if case.name == "external scaler")
    cluster.kubectl.apply(case.manifest)

    cluster.kubectl("scale", "idep/external-scaler", "--replicas=3")

    stored = cast(dict[str, Any], cluster.kubectl.get("idep/external-scaler"))
    assert stored["spec"]["replicas"] == {"desired": 3, "min": 1, "max": 10}
