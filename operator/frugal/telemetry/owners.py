"""Which pods were the same workload's: by owner references, also those of earlier versions that are gone."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from frugal.decisions.snapshot import Manifest

TEMPLATE_HASH = "pod-template-hash"
LEADER_WORKER_SET = "leaderworkerset.sigs.k8s.io/name"
_RANDOM = "[a-z0-9]{5}"  # what the API server appends to a generateName


def pod_names(pods: Iterable[Manifest]) -> str:
    """Return a pattern of the names that the pods of a workload have and had."""
    return "|".join(sorted({name for pod in pods for name in (_family(pod), re.escape(pod["metadata"]["name"]))}))


def _family(pod: Manifest) -> str:
    """Return the pattern of the names that a pod's owner gives: a Deployment's through its ReplicaSets."""
    metadata = pod["metadata"]
    own = re.escape(str(metadata["name"]))
    labels: Mapping[str, str] = metadata.get("labels") or {}
    if group := labels.get(LEADER_WORKER_SET):
        return f"{re.escape(group)}-[0-9]+(?:-[0-9]+)?"
    owner = next((one for one in metadata.get("ownerReferences") or () if one.get("controller")), None)
    if owner is None:
        return own
    name = re.escape(owner["name"].removesuffix(f"-{labels.get(TEMPLATE_HASH, '')}"))
    patterns = {
        "ReplicaSet": f"{name}-[a-z0-9]+-{_RANDOM}",
        "StatefulSet": f"{name}-[0-9]+",
        "Job": f"{name}-(?:[0-9]+-)?{_RANDOM}",
    }
    return patterns.get(str(owner.get("kind")), own)
