"""What makes a child ours: its name, labels, owner, and the hash by which the loop sees what must be applied again.

What a child contains stands in the module of its kind.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from frugal.api.base import API_VERSION
from frugal.api.compression_job import CompressionJob
from frugal.api.inference_deployment import InferenceDeployment
from frugal.errors import InvalidQuantity
from frugal.units import Quantity

Manifest = dict[str, Any]
Owner = CompressionJob | InferenceDeployment

UID_LABEL = "frugal.dev/uid"
KIND_LABEL = "frugal.dev/kind"
NAME_LABEL = "frugal.dev/name"
HASH_ANNOTATION = "frugal.dev/manifest-hash"

LABEL_CHARACTERS = 63  # Kubernetes: the most that a label value, a Service's name and a Job's name may have


def kind_of(owner: Owner) -> str:
    """Return the kind of an object of ours."""
    return type(owner).__name__


def labels_of(owner: Owner) -> dict[str, str]:
    """Return the labels that every child and every pod of `owner` carries."""
    return {
        "app.kubernetes.io/managed-by": "frugal",
        "app.kubernetes.io/name": "frugal-compression" if isinstance(owner, CompressionJob) else "frugal-serving",
        "app.kubernetes.io/instance": owner.name,
        KIND_LABEL: kind_of(owner),
        NAME_LABEL: owner.name,
        UID_LABEL: owner.uid,
    }


def owner_reference(owner: Owner) -> Manifest:
    """Return the reference by which Kubernetes deletes a child together with `owner`."""
    return {
        "apiVersion": API_VERSION,
        "kind": kind_of(owner),
        "name": owner.name,
        "uid": owner.uid,
        "controller": True,
        "blockOwnerDeletion": True,
    }


def child(
    owner: Owner, api_version: str, kind: str, name: str, content: Manifest, *, annotations: Mapping[str, str] = {}
) -> Manifest:
    """Return a child of `owner` with `content` (spec or data), hashed."""
    metadata: Manifest = {
        "name": name,
        "namespace": owner.namespace,
        "labels": labels_of(owner),
        "ownerReferences": [owner_reference(owner)],
    }
    if annotations:
        metadata["annotations"] = dict(annotations)
    return with_hash({"apiVersion": api_version, "kind": kind, "metadata": metadata, **content})


def suffixed(name: str, suffix: str) -> str:
    """Return `NAME-SUFFIX` within 63 characters; a name that must be cut keeps a hash of itself, so none collide."""
    room = LABEL_CHARACTERS - len(suffix) - 1
    if len(name) > room:
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        name = f"{name[: room - 9].rstrip('-.')}-{digest}"
    return f"{name}-{suffix}"


def manifest_hash(manifest: Manifest) -> str:
    """Return 16 hex digits that change when anything of `manifest` does."""
    canonical = json.dumps(manifest, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()[:16]


def with_hash(manifest: Manifest) -> Manifest:
    """Return `manifest` with the hash of the rest of it as an annotation."""
    metadata = manifest["metadata"]
    annotations = {**metadata.get("annotations", {}), HASH_ANNOTATION: manifest_hash(manifest)}
    return {**manifest, "metadata": {**metadata, "annotations": annotations}}


def hash_of(manifest: Manifest) -> str:
    """Return the hash that a child carries; empty where it carries none."""
    return str((manifest["metadata"].get("annotations") or {}).get(HASH_ANNOTATION, ""))


def differs(desired: Manifest, live: Manifest) -> bool:
    """Return whether `desired` must be applied: it was rendered anew, or somebody changed what it says.

    What the server adds by itself (defaults, other managers' fields) is no difference.
    """
    return hash_of(desired) != hash_of(live) or not is_contained(desired, live)


def is_contained(desired: object, live: object) -> bool:
    """Return whether everything that `desired` says stands in `live`, quantities compared by value.

    Lists of named objects are compared by name, other lists by position. Where `live` has nothing, an empty value is
    no difference: the API server leaves out what is empty.
    """
    if live is None:
        return not desired
    if isinstance(desired, Mapping) and isinstance(live, Mapping):
        return all(is_contained(value, live.get(key)) for key, value in desired.items())
    if isinstance(desired, list) and isinstance(live, list):
        return _is_list_contained(desired, live)
    return desired == live or _is_same_quantity(desired, live)


def _is_list_contained(desired: list[Any], live: list[Any]) -> bool:
    if desired and all(isinstance(item, Mapping) and "name" in item for item in (*desired, *live)):
        by_name = {item["name"]: item for item in live}
        return all(is_contained(item, by_name.get(item["name"])) for item in desired)
    return len(desired) == len(live) and all(map(is_contained, desired, live))


_NUMBER = re.compile(r"^[0-9.]")


def _is_same_quantity(desired: object, live: object) -> bool:
    if isinstance(desired, bool) or isinstance(live, bool):
        return False
    if not all(isinstance(side, int | str) and _NUMBER.match(str(side)) for side in (desired, live)):
        return False
    try:
        return Quantity(str(desired)).value == Quantity(str(live)).value
    except InvalidQuantity:
        return False
