"""The manifests that people apply: rights, security, overlays and examples."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from frugal.api.compression_job import CompressionJob
from frugal.api.crd import KINDS, json_schema, object_schema
from frugal.api.inference_deployment import InferenceDeployment
from frugal.api.price_book import PriceBook
from frugal.api.validation import parse_compression_job, parse_inference_deployment, parse_model
from frugal.settings import Settings
from tests.unit.packaging.rendering import MANIFESTS, ROOT, Manifest, by_identity, documents, kustomized, resources

PARSERS: dict[str, Callable[[Mapping[str, Any]], CompressionJob | InferenceDeployment]] = {
    "CompressionJob": parse_compression_job,
    "InferenceDeployment": parse_inference_deployment,
}
EXAMPLES = sorted((MANIFESTS / "examples").rglob("*.yaml"))
OURS = [
    pytest.param(manifest, id=f"{path.name}-{manifest['metadata']['name']}")
    for path in EXAMPLES
    for manifest in documents(path.read_text())
    if manifest["kind"] in PARSERS
]


@pytest.mark.parametrize("manifest", OURS)
def test_an_example_is_read_by_the_operator(manifest: Manifest) -> None:
    parsed = PARSERS[manifest["kind"]](manifest)

    assert parsed.name == manifest["metadata"]["name"]


@pytest.mark.parametrize("manifest", OURS)
def test_an_example_is_valid_against_the_crd_and_has_no_unknown_field(manifest: Manifest) -> None:
    kind = next(kind for kind in KINDS if kind.name == manifest["kind"])

    jsonschema.Draft4Validator(object_schema(kind)).validate(manifest)
    jsonschema.Draft202012Validator(json_schema(kind)).validate(manifest)


def test_every_kind_has_an_example() -> None:
    kinds = {parameter.values[0]["kind"] for parameter in OURS}  # type: ignore[index]

    assert kinds == set(PARSERS)


def test_the_base_needs_no_program_to_be_read_and_kustomize_reads_the_same() -> None:
    assert by_identity(kustomized(MANIFESTS / "base")) == by_identity(resources(MANIFESTS / "base"))


@pytest.mark.parametrize("overlay", sorted(path.name for path in (MANIFESTS / "overlays").iterdir()))
def test_an_overlay_holds_the_operator(overlay: str) -> None:
    made = by_identity(kustomized(MANIFESTS / "overlays" / overlay))

    assert ("Deployment", "frugal-system", "frugal-operator") in made


def test_the_namespaced_overlay_has_no_rights_elsewhere() -> None:
    made = by_identity(kustomized(MANIFESTS / "overlays/namespaced"))

    cluster_wide = [one for (kind, _, _), one in made.items() if kind == "ClusterRoleBinding"]
    assert [one["roleRef"]["name"] for one in cluster_wide] == ["frugal-operator-nodes"]
    assert ("RoleBinding", "models", "frugal-operator") in made
    assert {"name": "FRUGAL_NAMESPACES", "value": "models"} in container_of(made)["env"]


def test_the_operator_cannot_read_secrets_or_change_a_spec() -> None:
    roles = [one for one in resources(MANIFESTS / "base") if one["kind"] in ("ClusterRole", "Role")]
    rules = [rule for role in roles if role["metadata"]["name"].startswith("frugal-operator") for rule in role["rules"]]

    assert all("*" not in rule[part] for rule in rules for part in ("apiGroups", "resources", "verbs"))
    assert all("secrets" not in rule["resources"] for rule in rules)
    ours = [rule for rule in rules if rule["apiGroups"] == ["frugal.dev"] and "compressionjobs" in rule["resources"]]
    assert {verb for rule in ours for verb in rule["verbs"]} == {"get", "list", "watch", "patch"}


def test_the_operators_pod_keeps_the_restricted_standard() -> None:
    made = by_identity(resources(MANIFESTS / "base"))
    pod, container = pod_of(made), container_of(made)

    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert container["livenessProbe"]["httpGet"] == {"path": "/healthz", "port": "health"}
    assert container["readinessProbe"]["httpGet"] == {"path": "/readyz", "port": "health"}


def test_the_deployment_agrees_with_the_operators_settings() -> None:
    container = container_of(by_identity(resources(MANIFESTS / "base")))
    known = {f"FRUGAL_{field.name.upper()}" for field in dataclasses.fields(Settings)}
    ports = {one["name"]: one["containerPort"] for one in container["ports"]}
    given = {one["name"]: one.get("value", "from the pod") for one in container["env"]}

    settings = Settings.from_environment(given)

    assert set(given) <= known
    assert ports == {"metrics": settings.metrics_port, "health": settings.health_port}
    assert (settings.jobs_image, settings.serve_image) == (Settings().jobs_image, Settings().serve_image)


def test_the_example_price_book_is_one() -> None:
    (manifest,) = documents((MANIFESTS / "prices/example/prices.yaml").read_text())

    book = parse_model(PriceBook, yaml.safe_load(manifest["data"]["prices.yaml"]))

    assert "invented" in book.source
    assert manifest["metadata"] | {"labels": {}} == {
        "name": Settings().price_book,
        "namespace": Settings().operator_namespace,
        "labels": {},
    }


@pytest.mark.parametrize(
    "path", sorted(path for part in ("manifests", "crds") for path in (ROOT / part).rglob("*.yaml"))
)
def test_a_manifest_is_yaml(path: Path) -> None:
    assert documents(path.read_text())


def pod_of(made: dict[tuple[str, str, str], Manifest]) -> Manifest:
    pod: Manifest = made[("Deployment", "frugal-system", "frugal-operator")]["spec"]["template"]["spec"]
    return pod


def container_of(made: dict[tuple[str, str, str], Manifest]) -> Manifest:
    container: Manifest = pod_of(made)["containers"][0]
    return container
