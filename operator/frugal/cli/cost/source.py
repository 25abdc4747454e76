"""Where the objects come from: a state folder, or a cluster that KUBECONFIG names. Reads both, changes neither."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Any

from frugal.cli.state import objects
from frugal.cluster.client import Api
from frugal.cluster.kinds import OURS

PAGE = 500  # objects in one answer, as client-go's reflectors
DEFAULT_KUBECONFIG = Path("~/.kube/config")

Manifest = dict[str, Any]


def from_state(state: Path, *, namespace: str | None = None) -> list[Manifest]:
    """Return the objects of both kinds in a state folder; raises NoState."""
    kinds = {resource.kind for resource in OURS}
    return [
        one
        for one in objects(state)
        if one["kind"] in kinds and namespace in (None, one["metadata"].get("namespace", "default"))
    ]


def from_cluster(*, kubeconfig: str = "", namespace: str | None = None) -> list[Manifest]:
    """Return the objects of both kinds of one namespace or of all; raises ClusterError."""
    files = kubeconfig or os.environ.get("KUBECONFIG") or str(DEFAULT_KUBECONFIG.expanduser())
    return asyncio.run(_listed(files, namespace))


async def _listed(kubeconfig: str, namespace: str | None) -> list[Manifest]:
    api = await Api.connect(kubeconfig)
    try:
        found: list[Manifest] = []
        for resource in OURS:
            path, token = resource.collection(namespace), ""
            while True:
                query = {"limit": str(PAGE), **({"continue": token} if token else {})}
                page = await api.get(path, **query)
                found += [{**one, "kind": resource.kind} for one in page["items"]]
                token = page["metadata"].get("continue") or ""
                if not token:
                    break
        return found
    finally:
        await api.close()
