"""What this server can do, discovered once at the start. What is missing is done without."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from frugal.cluster.client import Api
from frugal.decisions.snapshot import Capabilities
from frugal.errors import NotFound

_POD_FAILURE_POLICY_SINCE = (1, 26)  # beta, on by default


async def discover(api: Api) -> Capabilities:
    """Return what the server can do; raises ClusterUnavailable."""
    version = await api.get("/version")
    return Capabilities(
        pod_disruption_budgets=await _serves(api, "/apis/policy/v1", "poddisruptionbudgets"),
        pod_failure_policy=_version(version) >= _POD_FAILURE_POLICY_SINCE,
    )


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
