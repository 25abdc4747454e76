"""Kubernetes events about objects of ours, under names made of their content, so that each is posted once."""

from __future__ import annotations

import hashlib
from datetime import datetime

from frugal.cluster.client import FIELD_MANAGER
from frugal.decisions.plan import Event
from frugal.decisions.snapshot import Manifest
from frugal.units import rfc3339

MESSAGE_CHARACTERS = 1024  # the API server refuses longer ones


def event_manifest(manifest: Manifest, event: Event, *, now: datetime, reporter: str) -> Manifest:
    """Return a core/v1 Event about `manifest`; the same event about the same object always has the same name."""
    metadata = manifest["metadata"]
    content = "\0".join((metadata["uid"], event.type, event.reason.value, event.message))
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    moment = rfc3339(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{metadata['name'][:230]}.{digest}", "namespace": metadata["namespace"]},
        "involvedObject": {
            "apiVersion": manifest["apiVersion"],
            "kind": manifest["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
            "resourceVersion": metadata.get("resourceVersion", ""),
        },
        "type": event.type,
        "reason": event.reason.value,
        "message": _shortened(event.message),
        "source": {"component": FIELD_MANAGER},
        "reportingComponent": "frugal.dev/operator",
        "reportingInstance": reporter,
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }


def _shortened(message: str) -> str:
    return message if len(message) <= MESSAGE_CHARACTERS else f"{message[: MESSAGE_CHARACTERS - 3]}..."
