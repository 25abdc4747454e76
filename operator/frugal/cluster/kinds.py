"""Every kind of object that Frugal touches, with its place in the API. Nothing here talks to a server."""

from __future__ import annotations

from dataclasses import dataclass

from frugal.api.base import API_VERSION
from frugal.resources.identity import UID_LABEL


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """A kind and its place in the API."""

    api_version: str
    kind: str
    plural: str
    selector: str = ""  # labels of those that are ours; empty: all of them
    is_namespaced: bool = True

    def collection(self, namespace: str | None = None) -> str:
        """Return the path of all of them, in one namespace or in the whole cluster."""
        root = f"/api/{self.api_version}" if "/" not in self.api_version else f"/apis/{self.api_version}"
        inside = f"/namespaces/{namespace}" if namespace and self.is_namespaced else ""
        return f"{root}{inside}/{self.plural}"

    def path(self, namespace: str, name: str) -> str:
        """Return the path of one of them."""
        return f"{self.collection(namespace)}/{name}"


COMPRESSION_JOBS = Resource(api_version=API_VERSION, kind="CompressionJob", plural="compressionjobs")
INFERENCE_DEPLOYMENTS = Resource(api_version=API_VERSION, kind="InferenceDeployment", plural="inferencedeployments")
JOBS = Resource(api_version="batch/v1", kind="Job", plural="jobs", selector=UID_LABEL)
DEPLOYMENTS = Resource(api_version="apps/v1", kind="Deployment", plural="deployments", selector=UID_LABEL)
SERVICES = Resource(api_version="v1", kind="Service", plural="services", selector=UID_LABEL)
CONFIG_MAPS = Resource(api_version="v1", kind="ConfigMap", plural="configmaps", selector=UID_LABEL)
PODS = Resource(api_version="v1", kind="Pod", plural="pods", selector=UID_LABEL)
POD_DISRUPTION_BUDGETS = Resource(
    api_version="policy/v1", kind="PodDisruptionBudget", plural="poddisruptionbudgets", selector=UID_LABEL
)
NODES = Resource(api_version="v1", kind="Node", plural="nodes", is_namespaced=False)
LEASES = Resource(api_version="coordination.k8s.io/v1", kind="Lease", plural="leases")
EVENTS = Resource(api_version="v1", kind="Event", plural="events")

OURS = (COMPRESSION_JOBS, INFERENCE_DEPLOYMENTS)
CHILDREN = (JOBS, DEPLOYMENTS, SERVICES, CONFIG_MAPS, POD_DISRUPTION_BUDGETS, PODS)

_BY_KIND = {resource.kind: resource for resource in (*OURS, *CHILDREN, NODES)}


def resource_of(kind: str) -> Resource:
    """Return the resource of a kind that Frugal makes or watches."""
    return _BY_KIND[kind]
