"""Objects with their identity, generation and status, kept in a state folder and told to whoever subscribes.

It gives what a plan needs of an API server (uids, generations, deletion in order) and decides nothing.
"""

from __future__ import annotations

import json
import re
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from frugal.decisions.snapshot import Manifest
from frugal.embedded.state_folder import StateFolder, read_objects, remove_whole, write_whole
from frugal.errors import NotFound, Rejected
from frugal.loop.ports import Clock, ObjectKey
from frugal.units import rfc3339

KEPT_EVENTS = 1000  # a cluster keeps them for an hour
_NAME = re.compile(r"^[a-z0-9]([-a-z0-9.]*[a-z0-9])?$")
_CONTENT = ("spec", "data", "binaryData", "stringData", "type")
_WRITTEN_METADATA = ("labels", "annotations", "ownerReferences")


@dataclass(frozen=True, slots=True)
class Change:
    """An object as it is now; `is_gone` when it was removed and this is how it last was."""

    manifest: Manifest
    is_gone: bool = False


Subscriber = Callable[[Change], None]


def key_of(manifest: Manifest) -> ObjectKey:
    """Return the key of any object."""
    metadata = manifest["metadata"]
    return ObjectKey(manifest["kind"], metadata.get("namespace", "default"), metadata["name"])


class Store:
    """Every object, in memory and in files. A manifest that was handed out is never changed, only replaced."""

    def __init__(self, folder: StateFolder, clock: Clock) -> None:
        self._folder, self._clock = folder, clock
        self._objects: dict[ObjectKey, Manifest] = {key_of(one): one for one in read_objects(folder)}
        self._subscribers: list[Subscriber] = []

    def subscribe(self, subscriber: Subscriber) -> None:
        """Call `subscriber` at every later change, after it is on the disk."""
        self._subscribers.append(subscriber)

    def get(self, key: ObjectKey) -> Manifest | None:
        return self._objects.get(key)

    def all(self, *kinds: str) -> tuple[Manifest, ...]:
        """Return the objects of these kinds, in order of key; every object when no kind is given."""
        return tuple(self._objects[key] for key in sorted(self._objects) if not kinds or key.kind in kinds)

    def owned_by(self, uid: str, kind: str) -> tuple[Manifest, ...]:
        """Return the objects of `kind` whose controller has this uid, oldest first."""
        found = [one for key, one in self._objects.items() if key.kind == kind and controller_uid(one) == uid]
        return tuple(sorted(found, key=_age_order))

    def apply(self, manifest: Manifest) -> Manifest:
        """Create the object, or make its content and metadata what `manifest` says; return it as it then is.

        Its generation grows when its spec changes. Raises Rejected when its name is none, or an owner is gone.
        """
        key = key_of(manifest)
        self._check(key, manifest)
        live = self._objects.get(key)
        content = {field: manifest[field] for field in _CONTENT if field in manifest}
        written = {field: manifest["metadata"][field] for field in _WRITTEN_METADATA if manifest["metadata"].get(field)}
        identity = self._new_identity(key) if live is None else _identity(live)
        if live is not None and live.get("spec") != manifest.get("spec"):
            identity["generation"] += 1
        fresh: Manifest = {
            "apiVersion": manifest.get("apiVersion", "v1"),
            "kind": key.kind,
            "metadata": {**identity, **written},
            **content,
        }
        if live is not None and "status" in live:
            fresh["status"] = live["status"]
        return self._keep(key, fresh)

    def set_status(self, key: ObjectKey, status: Manifest) -> None:
        """Make `status` the object's; raises NotFound when it is gone."""
        self._keep(key, {**self._living(key), "status": status})

    def annotate(self, key: ObjectKey, annotations: dict[str, str]) -> None:
        """Add annotations to the object; raises NotFound when it is gone."""
        live = self._living(key)
        metadata = live["metadata"]
        merged = {**metadata.get("annotations", {}), **annotations}
        self._keep(key, {**live, "metadata": {**metadata, "annotations": merged}})

    def set_finalizers(self, key: ObjectKey, finalizers: Iterable[str]) -> None:
        """Make these the object's finalizers; without any, an object that is being deleted goes."""
        live = self._living(key)
        kept = sorted(finalizers)
        metadata = {name: value for name, value in live["metadata"].items() if name != "finalizers"}
        self._keep(key, {**live, "metadata": {**metadata, **({"finalizers": kept} if kept else {})}})
        if metadata.get("deletionTimestamp") and not kept:
            self.remove(key)

    def delete(self, key: ObjectKey, *, uid: str | None = None) -> None:
        """Delete the object and what it owns; gone, or of another uid, is success.

        A Pod, or an object with finalizers, only gets its deletionTimestamp: the node, or their owner, ends it.
        """
        live = self._objects.get(key)
        if live is None or (uid is not None and live["metadata"]["uid"] != uid):
            return
        if key.kind != "Pod" and not live["metadata"].get("finalizers"):
            self.remove(key)
        elif "deletionTimestamp" not in live["metadata"]:
            metadata = {**live["metadata"], "deletionTimestamp": rfc3339(self._clock())}
            self._keep(key, {**live, "metadata": metadata})

    def remove(self, key: ObjectKey) -> None:
        """Remove the object at once, and delete what it owned."""
        gone = self._objects.pop(key, None)
        if gone is None:
            return
        remove_whole(self._folder.object_file(key.kind, key.namespace, key.name))
        self._tell(Change(gone, is_gone=True))
        self.delete_orphans()

    def delete_orphans(self) -> None:
        """Delete what an owner left behind, also one that went just before a crash."""
        living = {one["metadata"]["uid"] for one in self._objects.values()}
        for key, one in list(self._objects.items()):
            owners = one["metadata"].get("ownerReferences") or []
            if owners and not any(owner["uid"] in living for owner in owners):
                self.delete(key)

    def record(self, event: Manifest) -> None:
        """Keep an event; the same one again is success. The oldest go beyond KEPT_EVENTS."""
        key = key_of(event)
        if key in self._objects:
            return
        self._keep(key, {**event, "metadata": {**event["metadata"], "uid": str(uuid.uuid4())}})
        events = [one for one in self._objects.values() if one["kind"] == "Event"]
        for old in sorted(events, key=lambda one: str(one["firstTimestamp"]))[:-KEPT_EVENTS]:
            self.remove(key_of(old))

    def missing_files(self) -> tuple[ObjectKey, ...]:
        """Return the objects whose file somebody else removed: that is how another process deletes one."""
        return tuple(
            key for key in self._objects if not self._folder.object_file(key.kind, key.namespace, key.name).is_file()
        )

    def _check(self, key: ObjectKey, manifest: Manifest) -> None:
        for word in (key.namespace, key.name):
            if not isinstance(word, str) or len(word) > 253 or not _NAME.match(word):
                raise Rejected(
                    f"{key.kind} {word!r}: a name has lower-case letters, digits, '-' and '.', 253 characters at most"
                )
        living = {one["metadata"]["uid"] for one in self._objects.values()}
        owners = manifest["metadata"].get("ownerReferences") or []
        if owners and not any(owner["uid"] in living for owner in owners):
            raise NotFound(f"the owner of {key} is gone: {owners[0]['kind']} {owners[0]['name']}")

    def _new_identity(self, key: ObjectKey) -> dict[str, Any]:
        return {
            "name": key.name,
            "namespace": key.namespace,
            "uid": str(uuid.uuid4()),
            "generation": 1,
            "creationTimestamp": rfc3339(self._clock()),
        }

    def _living(self, key: ObjectKey) -> Manifest:
        live = self._objects.get(key)
        if live is None:
            raise NotFound(f"{key} is gone")
        return live

    def _keep(self, key: ObjectKey, manifest: Manifest) -> Manifest:
        if manifest != self._objects.get(key):
            text = json.dumps(manifest, indent=1)
            write_whole(self._folder.object_file(key.kind, key.namespace, key.name), text)
            self._objects[key] = json.loads(text)  # nobody else holds a part of it
            self._tell(Change(self._objects[key]))
        return self._objects[key]

    def _tell(self, change: Change) -> None:
        for subscriber in self._subscribers:
            subscriber(change)


def controller_uid(manifest: Manifest) -> str | None:
    """Return the uid of the object that controls `manifest`, or None."""
    owners = manifest["metadata"].get("ownerReferences") or []
    return next((str(owner["uid"]) for owner in owners if owner.get("controller")), None)


def _identity(live: Manifest) -> dict[str, Any]:
    return {name: value for name, value in live["metadata"].items() if name not in _WRITTEN_METADATA}


def _age_order(manifest: Manifest) -> tuple[str, str]:
    metadata = manifest["metadata"]
    return metadata.get("creationTimestamp", ""), metadata["name"]
