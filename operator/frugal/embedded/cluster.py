"""The loop's Cluster port over the store and the node of embedded mode. Decides nothing."""

from __future__ import annotations

import platform
import socket
import uuid
from collections.abc import Mapping

from frugal.cluster.events import event_manifest
from frugal.cluster.prices import PRICES_KEY
from frugal.decisions.plan import Event, ObjectRef, PodResize
from frugal.decisions.snapshot import Capabilities, Children, Manifest
from frugal.embedded.container_log import read_tail
from frugal.embedded.node import Node
from frugal.embedded.pod_environment import NODE_NAME
from frugal.embedded.state_folder import StateFolder
from frugal.embedded.store import Store, key_of
from frugal.errors import NotFound, Rejected
from frugal.loop.act import FINALIZER_PREFIX
from frugal.loop.ports import COMPRESSION_JOB, INFERENCE_DEPLOYMENT, Clock, ObjectKey
from frugal.resources.identity import UID_LABEL
from frugal.settings import Settings

OURS = (COMPRESSION_JOB, INFERENCE_DEPLOYMENT)
CHILD_KINDS = ("Job", "Deployment", "Service", "ConfigMap")
DEFAULT_NAMESPACE = "default"


class EmbeddedCluster:
    """This machine as the loop's cluster."""

    def __init__(self, store: Store, node: Node, folder: StateFolder, settings: Settings, clock: Clock) -> None:
        self._store, self._node, self._folder, self._settings, self._clock = store, node, folder, settings, clock
        self._ended_logs: dict[str, tuple[str, ...]] = {}  # by the pod's uid

    @property
    def capabilities(self) -> Capabilities:
        return Capabilities()

    def get(self, key: ObjectKey) -> Manifest | None:
        return self._store.get(key)

    def keys(self) -> tuple[ObjectKey, ...]:
        return tuple(key_of(one) for one in self._store.all(*OURS))

    def children(self, uid: str) -> Children:
        found: dict[str, list[Manifest]] = {kind: [] for kind in (*CHILD_KINDS, "Pod")}
        for one in self._store.all(*found):
            if (one["metadata"].get("labels") or {}).get(UID_LABEL) == uid:
                found[one["kind"]].append(one)
        return Children(
            jobs=tuple(found["Job"]),
            deployments=tuple(found["Deployment"]),
            services=tuple(found["Service"]),
            config_maps=tuple(found["ConfigMap"]),
            pods=tuple(found["Pod"]),
        )

    def target(self, namespace: str, name: str) -> Children:
        """Return nothing: every workload of embedded mode is of our own making."""
        return Children()

    def node_labels(self) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of this machine, the only node."""
        labels = {
            "kubernetes.io/hostname": socket.gethostname(),
            "kubernetes.io/os": platform.system().lower(),
            "kubernetes.io/arch": {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine()),
        }
        return {NODE_NAME: labels}

    def price_book(self) -> str | None:
        """Return the price book of the operator's namespace, or that of `default`: one person owns both here."""
        for namespace in (self._settings.operator_namespace, DEFAULT_NAMESPACE):
            found = self._store.get(ObjectKey("ConfigMap", namespace, self._settings.price_book))
            if found is not None:
                text = (found.get("data") or {}).get(PRICES_KEY)
                return str(text) if text is not None else None
        return None

    def progress_lines(self, pod: Manifest) -> tuple[str, ...]:
        running = self._node.lines(pod)
        if running is not None:
            return running
        metadata = pod["metadata"]
        if metadata["uid"] not in self._ended_logs:
            container = pod["spec"]["containers"][0]["name"]
            file = self._folder.log_file(metadata["namespace"], metadata["name"], container)
            self._ended_logs[metadata["uid"]] = read_tail(file)
        return self._ended_logs[metadata["uid"]]

    async def apply(self, manifest: Manifest) -> None:
        if manifest["kind"] not in CHILD_KINDS:
            raise Rejected(f"embedded mode has no {manifest['kind']}")
        live = self._store.get(key_of(manifest))
        wanted = (manifest["metadata"].get("labels") or {}).get(UID_LABEL)
        if live is not None and (live["metadata"].get("labels") or {}).get(UID_LABEL) != wanted:
            raise Rejected(f"{key_of(manifest)} exists and is not Frugal's: rename one of the two objects")
        self._store.apply(manifest)

    async def delete(self, ref: ObjectRef) -> None:
        self._store.delete(ObjectKey(ref.kind, ref.namespace, ref.name), uid=ref.uid)

    async def resize(self, pod: PodResize) -> None:
        raise Rejected(f"pod {pod.name}: embedded mode has no pods/resize")

    async def apply_status(self, key: ObjectKey, status: Manifest) -> None:
        try:
            self._store.set_status(key, status)
        except NotFound:
            return

    async def apply_finalizers(self, key: ObjectKey, finalizers: tuple[str, ...]) -> None:
        live = self._store.get(key)
        if live is not None:
            others = [one for one in live["metadata"].get("finalizers") or [] if not one.startswith(FINALIZER_PREFIX)]
            self._store.set_finalizers(key, [*others, *finalizers])

    async def record(self, manifest: Manifest, event: Event) -> None:
        made = event_manifest(manifest, event, now=self._clock(), reporter=f"frugal-run-{uuid.getnode():x}")
        self._store.record(made)
