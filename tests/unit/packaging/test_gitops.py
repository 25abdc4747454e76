"""What Argo CD is told about an object's health, by running the very script that is shipped."""

from typing import Any

import pytest
from lupa.lua54 import LuaRuntime  # type: ignore[import-untyped]

from tests.unit.packaging.rendering import MANIFESTS, Manifest, kustomized

SCRIPT = (MANIFESTS / "gitops/argocd/health.lua").read_text()
READY = {"type": "Ready", "status": "True", "reason": "Serving", "message": "3 of 3 replicas serve"}
NOT_READY = {"type": "Ready", "status": "False", "reason": "LossAboveLimit", "message": "1.2 points lost"}
STALLED = {"type": "Stalled", "status": "True", "reason": "InvalidSpec", "message": "spec.model: required"}
BUSY = {"type": "Reconciling", "status": "True", "reason": "Running", "message": "trial 3 of 8"}
DONE = {"type": "Reconciling", "status": "False", "reason": "Serving", "message": ""}
NEW = {"type": "SomethingNew", "status": "False", "reason": "Later", "message": ""}


@pytest.mark.parametrize(
    ("manifest", "health"),
    [
        ({}, "Progressing"),
        ({"status": {"observedGeneration": -1}}, "Progressing"),
        ({"status": {"observedGeneration": 1, "conditions": [READY]}}, "Progressing"),
        ({"status": {"observedGeneration": 2, "conditions": [READY]}}, "Healthy"),
        ({"status": {"observedGeneration": 2, "conditions": [READY, DONE, NEW]}}, "Healthy"),
        ({"status": {"observedGeneration": 2, "conditions": [READY, BUSY]}}, "Progressing"),
        ({"status": {"observedGeneration": 2, "conditions": [NOT_READY, DONE]}}, "Degraded"),
        ({"status": {"observedGeneration": 2, "conditions": [NOT_READY, BUSY]}}, "Progressing"),
        ({"status": {"observedGeneration": 2, "conditions": [NOT_READY, BUSY, STALLED]}}, "Degraded"),
        ({"spec": {"suspend": True}, "status": {"observedGeneration": 2, "conditions": [READY]}}, "Suspended"),
    ],
)
def test_argo_cd_shows_the_health_that_the_conditions_tell(manifest: Manifest, health: str) -> None:
    shown = health_of({"metadata": {"generation": 2}, "spec": {}, **manifest})

    assert shown["status"] == health


def test_argo_cd_shows_what_a_person_must_mend() -> None:
    shown = health_of({"metadata": {"generation": 2}, "status": {"observedGeneration": 2, "conditions": [STALLED]}})

    assert shown["message"] == "InvalidSpec: spec.model: required"


def test_both_kinds_get_the_same_script() -> None:
    (config,) = kustomized(MANIFESTS / "gitops/argocd")

    assert config["data"] == {
        f"resource.customizations.health.frugal.dev_{kind}": SCRIPT
        for kind in ("CompressionJob", "InferenceDeployment")
    }


def health_of(manifest: Manifest) -> dict[str, Any]:
    """Run the script as Argo CD does: the object is the global `obj`, the answer a table."""
    lua = LuaRuntime()
    lua.globals().obj = lua.table_from(manifest, recursive=True)
    return dict(lua.execute(SCRIPT))
