"""The part of an adopted Deployment that is ours: the requests of one container and, where asked, the replicas.

Nothing else of it is read into our own manifests or written, and it is never deleted.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugal.api.inference_deployment import InferenceDeployment, InferenceDeploymentSpec
from frugal.api.status import Size
from frugal.resources.identity import Manifest
from frugal.resources.inference import resources_of, size_in
from frugal.units import Quantity

APPS = "apps/v1"


def adopted_container(spec: InferenceDeploymentSpec, target: Manifest) -> str:
    """Return the container that is measured and sized: the one that the pod template names, else the first."""
    named = (spec.runtime.pod_template.get("spec") or {}).get("containers") or []
    containers = ((target["spec"].get("template") or {}).get("spec") or {}).get("containers") or []
    names = [str(one["name"]) for one in containers]
    wanted = str(named[0]["name"]) if named else ""
    return wanted if wanted in names else (names[0] if names else "")


def adopted_size(spec: InferenceDeploymentSpec, target: Manifest) -> Size | None:
    """Return the size that the workload has; None where its container says no CPU and memory request."""
    return size_in(_only(adopted_container(spec, target), target))


def selector_text(target: Manifest) -> str:
    """Return the labels that select the workload's pods, as the API takes them in a query."""
    matched = (target["spec"].get("selector") or {}).get("matchLabels") or {}
    return ",".join(f"{key}={value}" for key, value in sorted(matched.items()))


def render_adopted(deployment: InferenceDeployment, target: Manifest, size: Size, *, owns_replicas: bool) -> Manifest:
    """Return the fields of `target` that are ours, for server-side apply."""
    container = {
        "name": adopted_container(deployment.spec, target),
        "resources": _requests_of(size, target, deployment),
    }
    replicas = {"replicas": size.replicas} if owns_replicas else {}
    return {
        "apiVersion": APPS,
        "kind": "Deployment",
        "metadata": {"name": target["metadata"]["name"], "namespace": deployment.namespace},
        "spec": {**replicas, "template": {"spec": {"containers": [container]}}},
    }


def _requests_of(size: Size, target: Manifest, deployment: InferenceDeployment) -> Manifest:
    """Return requests and limits; a CPU limit that is there keeps its ratio to the request, as memory's does."""
    wanted = resources_of(size)
    asked = _resources(_only(adopted_container(deployment.spec, target), target))
    limit = (asked.get("limits") or {}).get("cpu")
    standing = adopted_size(deployment.spec, target)
    if limit is None or standing is None or not standing.cpu.value:
        return wanted
    ratio = Quantity(str(limit)).value / standing.cpu.value
    milli = round(float(size.cpu.value * ratio) * 1000)
    return {**wanted, "limits": {**wanted["limits"], "cpu": f"{milli}m"}}


def _only(container: str, target: Manifest) -> Manifest:
    """Return the Deployment with the serving container alone, as ours have it."""
    template = target["spec"].get("template") or {}
    spec = template.get("spec") or {}
    chosen = [one for one in spec.get("containers") or [] if one.get("name") == container]
    return {**target, "spec": {**target["spec"], "template": {**template, "spec": {**spec, "containers": chosen}}}}


def _resources(target: Manifest) -> Mapping[str, Any]:
    containers = target["spec"]["template"]["spec"]["containers"]
    return (containers[0].get("resources") or {}) if containers else {}
