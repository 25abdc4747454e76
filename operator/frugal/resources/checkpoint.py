"""The ConfigMap in which what was learnt about a workload survives the operator. Does not know what was learnt."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import datetime
from typing import Any

from frugal.api.inference_deployment import InferenceDeployment
from frugal.resources.identity import Manifest, child
from frugal.units import parse_rfc3339, rfc3339

STATE_KEY = "state.json"
SAVED_AT_ANNOTATION = "frugal.dev/saved-at"


def checkpoint_name(deployment_name: str) -> str:
    """Return the name of the ConfigMap."""
    return f"{deployment_name}-sizing"


def render_checkpoint(deployment: InferenceDeployment, state: dict[str, Any], *, now: datetime) -> Manifest:
    """Return the ConfigMap that holds `state`."""
    text = json.dumps(state, sort_keys=True, separators=(",", ":"))
    saved_at = {SAVED_AT_ANNOTATION: rfc3339(now)}
    name = checkpoint_name(deployment.name)
    return child(deployment, "v1", "ConfigMap", name, {"data": {STATE_KEY: text}}, annotations=saved_at)


def find_checkpoint(deployment_name: str, config_maps: Iterable[Manifest]) -> Manifest | None:
    """Return the checkpoint among an object's ConfigMaps."""
    wanted = checkpoint_name(deployment_name)
    return next((one for one in config_maps if one["metadata"]["name"] == wanted), None)


def saved_at(checkpoint: Manifest) -> datetime | None:
    """Return when `checkpoint` was written, or None when that cannot be read."""
    text = (checkpoint["metadata"].get("annotations") or {}).get(SAVED_AT_ANNOTATION)
    try:
        return parse_rfc3339(text) if text else None
    except ValueError:
        return None


def saved_state(checkpoint: Manifest) -> dict[str, Any] | None:
    """Return what `checkpoint` holds, or None when it cannot be read: then it is learnt again."""
    try:
        state = json.loads((checkpoint.get("data") or {})[STATE_KEY])
    except (KeyError, ValueError):
        return None
    return state if isinstance(state, dict) else None
