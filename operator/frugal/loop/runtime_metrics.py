"""Which metrics the user of an object declares for its runtime. Reads none of them."""

from __future__ import annotations

from collections.abc import Mapping

from frugal.api.inference_deployment import RuntimeMetrics
from frugal.api.validation import parse_model
from frugal.decisions.snapshot import Manifest
from frugal.errors import InvalidObject


def declared_metrics(manifest: Manifest) -> RuntimeMetrics | None:
    """Return `spec.runtime.metrics`; None where it is not there, or breaks its schema, which its conditions say."""
    runtime = (manifest.get("spec") or {}).get("runtime")
    found = runtime.get("metrics") if isinstance(runtime, Mapping) else None
    if found is None:
        return None
    try:
        return parse_model(RuntimeMetrics, found)
    except InvalidObject:
        return None
