"""The chart and the kustomize base bring up the same thing."""

import copy
from typing import Any

import helm_python
import pytest
import yaml

from frugal.api.price_book import PriceBook
from frugal.api.validation import parse_model
from tests.unit.packaging.rendering import CHART, MANIFESTS, Manifest, by_identity, chart, documents, resources


def test_the_chart_makes_the_objects_of_the_kustomize_base() -> None:
    base = by_identity([one for one in resources(MANIFESTS / "base") if one["kind"] != "Namespace"])

    made = by_identity([without_the_charts_own(one) for one in chart()])

    assert made == base


def without_the_charts_own(manifest: Manifest) -> Manifest:
    """Drop the one annotation that the chart adds, by which a CRD outlives its release."""
    cleaned = copy.deepcopy(manifest)
    if cleaned["kind"] == "CustomResourceDefinition":
        assert cleaned["metadata"].pop("annotations") == {"helm.sh/resource-policy": "keep"}
    return cleaned


def test_the_chart_lints_without_a_word() -> None:
    found = helm_python.lint(CHART, strict=True)

    assert not found["errors"]
    assert [one for one in found["messages"] if one["severity"] > 1] == []


def test_given_namespaces_are_watched_with_rights_in_them_alone() -> None:
    made = by_identity(chart({"namespaces": ["team-a", "team-b"]}))

    bindings = {identity for identity in made if identity[0].endswith("Binding")}
    assert bindings == {
        ("RoleBinding", "team-a", "frugal-operator"),
        ("RoleBinding", "team-b", "frugal-operator"),
        ("RoleBinding", "frugal-system", "frugal-operator"),
        ("ClusterRoleBinding", "", "frugal-operator-nodes"),
    }
    assert environment(made)["FRUGAL_NAMESPACES"] == "team-a,team-b"


def test_everything_lives_in_the_namespace_of_the_release() -> None:
    made = chart({"serviceMonitor": {"enabled": True}}, namespace="elsewhere")

    assert {one["metadata"].get("namespace", "elsewhere") for one in made} == {"elsewhere"}
    assert {subject["namespace"] for one in made if one["kind"].endswith("Binding") for subject in one["subjects"]} == {
        "elsewhere"
    }


def test_a_price_book_in_the_values_reads_back_as_a_price_book() -> None:
    (example,) = documents((MANIFESTS / "prices/example/prices.yaml").read_text())
    book = yaml.safe_load(example["data"]["prices.yaml"])

    made = by_identity(chart({"priceBook": book}))[("ConfigMap", "frugal-system", "frugal-prices")]

    text = made["data"]["prices.yaml"]
    assert parse_model(PriceBook, yaml.safe_load(text)) == parse_model(PriceBook, book)


def test_values_reach_the_operator() -> None:
    made = by_identity(
        chart(
            {
                "images": {"operator": "example.com/operator:1", "jobs": "example.com/jobs:1", "pullPolicy": "Always"},
                "prometheusUrl": "http://prometheus.monitoring:9090",
                "prometheus": {"secret": "prometheus-login", "tenant": "ml"},
                "replicas": 2,
            }
        )
    )

    deployment = made[("Deployment", "frugal-system", "frugal-operator")]
    assert deployment["spec"]["replicas"] == 2
    assert deployment["spec"]["template"]["spec"]["containers"][0]["image"] == "example.com/operator:1"
    assert environment(made) == {
        "FRUGAL_JOBS_IMAGE": "example.com/jobs:1",
        "FRUGAL_SERVE_IMAGE": "frugal.dev/serve:0.1.0",
        "FRUGAL_IMAGE_PULL_POLICY": "Always",
        "FRUGAL_PROMETHEUS_URL": "http://prometheus.monitoring:9090",
        "FRUGAL_PROMETHEUS_CREDENTIALS": "/etc/frugal/prometheus",
        "FRUGAL_PROMETHEUS_TENANT": "ml",
    }
    pod = deployment["spec"]["template"]["spec"]
    assert pod["volumes"] == [{"name": "prometheus-credentials", "secret": {"secretName": "prometheus-login"}}]
    (mounted,) = pod["containers"][0]["volumeMounts"]
    assert mounted == {"name": "prometheus-credentials", "mountPath": "/etc/frugal/prometheus", "readOnly": True}


def test_kubelets_are_asked_only_where_it_is_wanted_and_with_no_more_than_the_right_to_it() -> None:
    made, usual = by_identity(chart({"kubeletStats": {"enabled": True}})), by_identity(chart())

    role = ("ClusterRole", "", "frugal-operator-nodes")
    assert {"apiGroups": [""], "resources": ["nodes/stats"], "verbs": ["get"]} in made[role]["rules"]
    assert environment(made)["FRUGAL_KUBELET_CREDENTIALS"] == "/var/run/secrets/kubernetes.io/serviceaccount"
    assert "nodes/stats" not in str(usual)
    assert "nodes/proxy" not in str(made)


def test_crds_can_be_left_to_somebody_else() -> None:
    kinds = {one["kind"] for one in chart({"crds": {"install": False}})}

    assert "CustomResourceDefinition" not in kinds


@pytest.mark.parametrize(
    "values",
    [
        {"replica": 2},
        {"namespaces": ["Team A"]},
        {"prometheusUrl": "prometheus:9090"},
        {"prometheus": {"token": "secrets do not stand in values"}},
        {"priceBook": {"currency": "USD"}},
        {"images": {"pullPolicy": "Sometimes"}},
        {"priceBook": {"currency": "USD", "source": "a", "retrievedAt": "2026-11-01", "entries": [{"gpuPerHour": {}}]}},
    ],
    ids=lambda values: next(iter(values)),
)
def test_values_that_cannot_be_meant_are_refused(values: Any) -> None:
    with helm_python.Chart.load(CHART) as loaded, pytest.raises(helm_python.HelmError):
        loaded.validate_schema(values)


def environment(made: dict[tuple[str, str, str], Manifest]) -> dict[str, str]:
    """Return the operator's variables that have a value of their own."""
    (container,) = made[("Deployment", "frugal-system", "frugal-operator")]["spec"]["template"]["spec"]["containers"]
    return {one["name"]: one["value"] for one in container["env"] if "value" in one}
