"""From a pod template to a Pod with ports of its own on this machine. Stores and starts nothing."""

from __future__ import annotations

import hashlib
import json
import socket
import uuid
from typing import Any

from frugal.decisions.snapshot import Manifest
from frugal.embedded.pod import PORTS_ANNOTATION
from frugal.embedded.pod_environment import ADDRESS, NODE_NAME

TEMPLATE_LABEL = "pod-template-hash"


class Ports:
    """Ports of this machine, each given once."""

    def __init__(self) -> None:
        self._given: set[int] = set()

    def free(self) -> int:
        """Return a port that nobody listens on and that was not given before."""
        while True:
            with socket.socket() as asked:
                asked.bind((ADDRESS, 0))
                port: int = asked.getsockname()[1]
            if port not in self._given:
                self._given.add(port)
                return port


def template_hash(template: Manifest) -> str:
    """Return what changes with the template."""
    return hashlib.sha256(json.dumps(template, sort_keys=True).encode()).hexdigest()[:10]


def new_pod(owner: Manifest, template: Manifest, ports: Ports, *, labels: dict[str, str]) -> Manifest:
    """Return a Pod of `owner`; each containerPort becomes a free port of this machine, and an annotation says which."""
    metadata = template.get("metadata") or {}
    mapping: dict[str, int] = {}
    spec: dict[str, Any] = json.loads(json.dumps(template["spec"]))
    for container in spec["containers"]:
        for port in container.get("ports") or []:
            mapping[str(port["containerPort"])] = port["containerPort"] = ports.free()
    spec["nodeName"] = NODE_NAME
    name = owner["metadata"]["name"]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{name[:57]}-{uuid.uuid4().hex[:5]}",
            "namespace": owner["metadata"]["namespace"],
            "labels": {**(metadata.get("labels") or {}), **labels},
            "annotations": {**(metadata.get("annotations") or {}), PORTS_ANNOTATION: json.dumps(mapping)},
            "ownerReferences": [
                {
                    "apiVersion": owner["apiVersion"],
                    "kind": owner["kind"],
                    "name": name,
                    "uid": owner["metadata"]["uid"],
                    "controller": True,
                    "blockOwnerDeletion": True,
                }
            ],
        },
        "spec": spec,
    }
