"""What this server can do and lets us see, discovered once at the start. What is missing is done without."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from frugal.cluster.client import Api
from frugal.cluster.kinds import CHILDREN, NODES, OURS, POD_DISRUPTION_BUDGETS, Resource
from frugal.decisions.snapshot import Capabilities
from frugal.errors import ClusterError, Forbidden, NotFound

_log = logging.getLogger(__name__)

_POD_FAILURE_POLICY_SINCE = (1, 26)  # beta, on by default


async def discover(api: Api) -> Capabilities:
    """Return what the server can do; raises ClusterUnavailable."""
    version = await api.get("/version")
    return Capabilities(
        pod_disruption_budgets=await _serves(api, "/apis/policy/v1", "poddisruptionbudgets"),
        pod_failure_policy=_version(version) >= _POD_FAILURE_POLICY_SINCE,
        pod_resize=await _serves(api, "/api/v1", "pods/resize"),
    )


async def watchable(api: Api, capabilities: Capabilities) -> tuple[Resource, ...]:
    """Return every resource that is there to be watched; raises ClusterError when our own kinds are not.

    Nodes belong to the cluster: an operator of a few namespaces may not see them, and does without their prices.
    """
    for resource in OURS:
        if not await _serves(api, f"/apis/{resource.api_version}", resource.plural):
            raise ClusterError(f"the cluster has no {resource.plural}.{resource.api_version}: apply crds/ first")
    children = [one for one in CHILDREN if one is not POD_DISRUPTION_BUDGETS or capabilities.pod_disruption_budgets]
    return (*OURS, *children, *((NODES,) if await _may_list(api, NODES) else ()))


async def _may_list(api: Api, resource: Resource) -> bool:
    try:
        await api.get(resource.collection(), limit="1")
    except Forbidden as refusal:
        _log.warning("%s cannot be seen and are done without: %s", resource.plural, refusal)
        return False
    return True


async def _serves(api: Api, group_version: str, plural: str) -> bool:
    try:
        listed = await api.get(group_version)
    except NotFound:
        return False
    return any(resource["name"] == plural for resource in listed["resources"])


def _version(answer: Mapping[str, Any]) -> tuple[int, int]:
    """Return (major, minor); vendors append to the minor, such as 29+."""
    digits = "".join(character for character in str(answer["minor"]) if character.isdigit())
    return int(answer["major"]), int(digits or 0)
