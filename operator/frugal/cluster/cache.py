"""What the watch and our own writes brought: the newest known version of every object of ours, child and node.

Updates may come late and in any order (a write's answer and its watch event race): the resource version decides.
"""

from __future__ import annotations

from collections import OrderedDict, defaultdict
from collections.abc import Iterable, Mapping

from frugal.cluster.kinds import CHILDREN, NODES, OURS, Resource, resource_of
from frugal.decisions.snapshot import Children, Manifest
from frugal.loop.ports import ObjectKey
from frugal.resources.identity import UID_LABEL

REMEMBERED_DELETIONS = 10_000  # a late update comes within seconds of the deletion that it lost against

_OURS = frozenset(resource.kind for resource in OURS)
_CHILDREN = frozenset(resource.kind for resource in CHILDREN)

_Address = tuple[str, str, str]  # kind, namespace, name


class Cache:
    """Objects by their address. Manifests in it are never changed, only replaced."""

    def __init__(self) -> None:
        self._objects: dict[_Address, Manifest] = {}
        self._children: defaultdict[str, set[_Address]] = defaultdict(set)
        self._node_labels: dict[str, Mapping[str, str]] = {}  # replaced, never changed: snapshots hold it
        self._deleted: OrderedDict[str, None] = OrderedDict()  # uids

    def update(self, manifest: Manifest) -> bool:
        """Keep `manifest` if it is newer than what is known; return whether anything that matters changed."""
        address, uid = _address(manifest), manifest["metadata"]["uid"]
        known = self._objects.get(address)
        if uid in self._deleted or (known is not None and not _is_newer(manifest, known)):
            return False
        if known is not None:
            self._unlink(address, known)
        self._objects[address] = _without_managed_fields(manifest)
        if owner := _owner_uid(manifest):
            self._children[owner].add(address)
        if address[0] == NODES.kind:
            self._node_labels = {**self._node_labels, address[2]: _labels(manifest)}
            return known is None or _labels(known) != _labels(manifest)
        return True

    def remove(self, manifest: Manifest) -> bool:
        """Forget an object that was deleted, for good; return whether it was known."""
        address, uid = _address(manifest), manifest["metadata"]["uid"]
        self._deleted[uid] = None
        while len(self._deleted) > REMEMBERED_DELETIONS:
            self._deleted.popitem(last=False)
        known = self._objects.get(address)
        if known is None or known["metadata"]["uid"] != uid:
            return False
        del self._objects[address]
        self._unlink(address, known)
        return True

    def replace(
        self, resource: Resource, namespace: str | None, listed: Iterable[Manifest], version: str
    ) -> list[Manifest]:
        """Take over a complete list, and return what changed by it, with what is gone.

        version: the resource version of the list; what is newer than the list may be missing in it.
        """
        changed, seen = [], set()
        for manifest in listed:
            seen.add(manifest["metadata"]["uid"])
            if self.update(manifest):
                changed.append(manifest)
        for (kind, where, _), manifest in list(self._objects.items()):
            is_covered = kind == resource.kind and (namespace is None or where == namespace)
            if is_covered and manifest["metadata"]["uid"] not in seen and _version(manifest) <= int(version):
                self.remove(manifest)
                changed.append(manifest)
        return changed

    def get(self, key: ObjectKey) -> Manifest | None:
        """Return an object of ours, or None."""
        return self._objects.get((key.kind, key.namespace, key.name))

    def keys(self) -> tuple[ObjectKey, ...]:
        """Return every object of ours."""
        return tuple(ObjectKey(*address) for address in self._objects if address[0] in _OURS)

    def children(self, uid: str) -> Children:
        """Return what carries the label of this owner, each kind in order of name."""
        found: defaultdict[str, list[Manifest]] = defaultdict(list)
        for address in sorted(self._children.get(uid, ())):
            found[address[0]].append(self._objects[address])
        return Children(
            jobs=tuple(found["Job"]),
            deployments=tuple(found["Deployment"]),
            services=tuple(found["Service"]),
            config_maps=tuple(found["ConfigMap"]),
            pod_disruption_budgets=tuple(found["PodDisruptionBudget"]),
            pods=tuple(found["Pod"]),
        )

    def node_labels(self) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of every node by its name."""
        return self._node_labels

    def pods(self) -> tuple[Manifest, ...]:
        """Return every pod of ours."""
        return tuple(manifest for address, manifest in self._objects.items() if address[0] == "Pod")

    def _unlink(self, address: _Address, manifest: Manifest) -> None:
        """Take a version of an object that is replaced or gone out of every index."""
        if owner := _owner_uid(manifest):
            self._children[owner].discard(address)
            if not self._children[owner]:
                del self._children[owner]
        if address[0] == NODES.kind:
            self._node_labels = {name: labels for name, labels in self._node_labels.items() if name != address[2]}


def _address(manifest: Manifest) -> _Address:
    resource, metadata = resource_of(manifest["kind"]), manifest["metadata"]
    return resource.kind, metadata.get("namespace", ""), metadata["name"]


def _version(manifest: Manifest) -> int:
    """Return the resource version as a number; comparing two of one resource is sound (KEP-5504)."""
    return int(manifest["metadata"].get("resourceVersion") or 0)


def _is_newer(manifest: Manifest, known: Manifest) -> bool:
    return _version(manifest) > _version(known)


def _labels(manifest: Manifest) -> Mapping[str, str]:
    return manifest["metadata"].get("labels") or {}


def _owner_uid(manifest: Manifest) -> str:
    return _labels(manifest).get(UID_LABEL, "") if manifest["kind"] in _CHILDREN else ""


def _without_managed_fields(manifest: Manifest) -> Manifest:
    """Return `manifest` without what nobody reads: half of an object's size."""
    metadata = {name: value for name, value in manifest["metadata"].items() if name != "managedFields"}
    return {**manifest, "metadata": metadata}
