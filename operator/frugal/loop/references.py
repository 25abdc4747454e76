"""Who must look again when an object changes: the objects that refer to it. Holds names, never facts about them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from frugal.decisions.snapshot import Manifest
from frugal.loop.ports import COMPRESSION_JOB, INFERENCE_DEPLOYMENT, ObjectKey
from frugal.resources.identity import KIND_LABEL, NAME_LABEL


def referred_by(manifest: Manifest) -> ObjectKey | None:
    """Return the object of ours that `manifest` refers to: its CompressionJob, or the InferenceDeployment it is for."""
    metadata, spec = manifest.get("metadata") or {}, manifest.get("spec") or {}
    if manifest.get("kind") == INFERENCE_DEPLOYMENT:
        kind, name = COMPRESSION_JOB, _name(spec, "model", "compressionJobRef")
    else:
        kind, name = INFERENCE_DEPLOYMENT, _name(spec, "costBenefit", "inferenceDeploymentRef")
    return ObjectKey(kind, metadata.get("namespace", ""), name) if name else None


def owner_of(labels: Mapping[str, str], namespace: str) -> ObjectKey | None:
    """Return the object of ours that a child with these labels belongs to, or None when it is nobody's child."""
    kind, name = labels.get(KIND_LABEL), labels.get(NAME_LABEL)
    if kind not in (COMPRESSION_JOB, INFERENCE_DEPLOYMENT) or not name:
        return None
    return ObjectKey(kind, namespace, name)


def target_of(manifest: Manifest) -> tuple[str, str] | None:
    """Return (namespace, name) of the Deployment that an InferenceDeployment adopts, or None when it adopts none."""
    name = _name({"spec": manifest.get("spec") or {}}, "spec", "targetRef")
    if manifest.get("kind") != INFERENCE_DEPLOYMENT or not name:
        return None
    return (manifest.get("metadata") or {}).get("namespace", ""), name


class References:
    """The references of every object that was noticed, and the way back."""

    def __init__(self) -> None:
        self._target: dict[ObjectKey, ObjectKey] = {}
        self._sources: defaultdict[ObjectKey, set[ObjectKey]] = defaultdict(set)

    def update(self, source: ObjectKey, manifest: Manifest | None) -> None:
        """Remember what `source` refers to now; a `manifest` of None forgets it."""
        target = referred_by(manifest) if manifest is not None else None
        previous = self._target.pop(source, None)
        if previous is not None:
            self._sources[previous].discard(source)
            if not self._sources[previous]:
                del self._sources[previous]
        if target is not None:
            self._target[source] = target
            self._sources[target].add(source)

    def sources(self, target: ObjectKey) -> tuple[ObjectKey, ...]:
        """Return the objects that refer to `target`, in order."""
        return tuple(sorted(self._sources.get(target, ())))


def _name(spec: Mapping[str, Any], part: str, reference: str) -> str:
    """Return the name in `spec.PART.REFERENCE`, or nothing; a spec that breaks the schema is nobody's reference."""
    holder = spec.get(part)
    found = holder.get(reference) if isinstance(holder, Mapping) else None
    name = found.get("name") if isinstance(found, Mapping) else None
    return name if isinstance(name, str) else ""
