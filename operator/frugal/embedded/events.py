"""Events of the node and its controllers, as Kubernetes words them. Events of ours come from the loop."""

from __future__ import annotations

import hashlib
from datetime import datetime

from frugal.decisions.snapshot import Manifest
from frugal.units import rfc3339


def node_event(about: Manifest, type_: str, reason: str, message: str, *, now: datetime) -> Manifest:
    """Return an Event about `about`; the same event always has the same name, so that it is kept once."""
    metadata = about["metadata"]
    content = "\0".join((metadata["uid"], type_, reason, message))
    moment = rfc3339(now)
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:230]}.{hashlib.sha256(content.encode()).hexdigest()[:16]}",
            "namespace": metadata["namespace"],
        },
        "involvedObject": {
            "apiVersion": about["apiVersion"],
            "kind": about["kind"],
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
        "type": type_,
        "reason": reason,
        "message": message,
        "source": {"component": "frugal-node"},
        "firstTimestamp": moment,
        "lastTimestamp": moment,
        "count": 1,
    }
