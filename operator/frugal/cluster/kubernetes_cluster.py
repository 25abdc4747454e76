"""The Cluster port on the Kubernetes API: reads come from the cache, writes go to the server and into the cache.

Holds no watch of its own kinds: `handlers/` feeds the cache with what kopf's watches bring.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from frugal.cluster.cache import Cache
from frugal.cluster.client import FIELD_MANAGER, Api
from frugal.cluster.events import event_manifest
from frugal.cluster.kinds import EVENTS, NODES, PODS, Resource, resource_of
from frugal.cluster.logs import LogFollowers
from frugal.cluster.prices import PriceBookWatch
from frugal.cluster.targets import Targets
from frugal.decisions.plan import Event, ObjectRef, PodResize
from frugal.decisions.snapshot import Capabilities, Children, Manifest
from frugal.errors import Conflict, NotFound
from frugal.loop.ports import Clock, ObjectKey
from frugal.loop.references import target_of
from frugal.settings import Settings

PAGE = 500  # objects in one answer, as client-go's reflectors


class KubernetesCluster:
    """One cluster. `wake` is called with a manifest of ours or of a child that changed, `wake_all` with new prices."""

    def __init__(
        self,
        api: Api,
        settings: Settings,
        capabilities: Capabilities,
        watched: tuple[Resource, ...],
        clock: Clock,
        *,
        wake: Callable[[Manifest], None],
        wake_all: Callable[[], None],
    ) -> None:
        self._api, self._settings, self._clock = api, settings, clock
        self._capabilities, self.watched = capabilities, watched
        self._wake, self._wake_all = wake, wake_all
        self.is_synced = False  # everything was listed once
        self.cache = Cache()
        self.logs = LogFollowers(api, wake)
        self.targets = Targets(api, wake=self._wake_adopters)
        self.prices = PriceBookWatch(
            api, namespace=settings.operator_namespace, name=settings.price_book, wake=wake_all
        )

    @property
    def capabilities(self) -> Capabilities:
        return self._capabilities

    def take(self, manifest: Manifest, *, is_deleted: bool) -> None:
        """Take what a watch or the answer to a write brought into the cache, and wake who must look at it.

        Whichever of the two comes first wakes, because the other one changes nothing any more.
        """
        changed = self.cache.remove(manifest) if is_deleted else self.cache.update(manifest)
        if is_deleted and manifest["kind"] == "Pod":
            self.logs.forget(manifest["metadata"]["uid"])
        if changed:
            self._announce(manifest)

    async def resync(self) -> None:
        """List everything anew: what a watch missed while it was disconnected comes right. Raises ClusterError."""
        for resource in self.watched:
            for namespace in (self._settings.namespaces if resource.is_namespaced else ()) or (None,):
                await self._relist(resource, namespace)
        await self.prices.read()
        self.is_synced = True
        self.logs.forget_all_but(self.cache.pods())
        ours = (self.cache.get(key) for key in self.cache.keys())  # noqa: SIM118 (a method, no mapping)
        adopted = (target_of(manifest) for manifest in ours if manifest is not None)
        self.targets.forget_all_but([target for target in adopted if target is not None])

    def get(self, key: ObjectKey) -> Manifest | None:
        return self.cache.get(key)

    def keys(self) -> tuple[ObjectKey, ...]:
        return self.cache.keys()

    def children(self, uid: str) -> Children:
        return self.cache.children(uid)

    def target(self, namespace: str, name: str) -> Children:
        return self.targets.look(namespace, name)

    def node_labels(self) -> Mapping[str, Mapping[str, str]]:
        return self.cache.node_labels()

    def price_book(self) -> str | None:
        return self.prices.text

    def progress_lines(self, pod: Manifest) -> tuple[str, ...]:
        return self.logs.lines(pod)

    async def apply(self, manifest: Manifest) -> None:
        metadata = manifest["metadata"]
        path = resource_of(manifest["kind"]).path(metadata["namespace"], metadata["name"])
        self.take(await self._api.apply(path, manifest), is_deleted=False)

    async def delete(self, ref: ObjectRef) -> None:
        path = resource_of(ref.kind).path(ref.namespace, ref.name)
        try:
            await self._api.delete(path, uid=ref.uid)
        except (NotFound, Conflict):  # gone, or another object has its name now
            return

    async def resize(self, pod: PodResize) -> None:
        path = PODS.path(pod.namespace, pod.name) + "/resize"
        container = {"name": pod.container, "resources": pod.resources}
        try:
            self.take(await self._api.patch(path, {"spec": {"containers": [container]}}), is_deleted=False)
        except NotFound:
            return

    async def apply_status(self, key: ObjectKey, status: Manifest) -> None:
        await self._apply_part(key, "/status", FIELD_MANAGER, {"status": status})

    async def apply_finalizers(self, key: ObjectKey, finalizers: tuple[str, ...]) -> None:
        # A field manager of its own: what one manager applies later without a field, the server takes away.
        await self._apply_part(key, "", f"{FIELD_MANAGER}-finalizers", {"metadata": {"finalizers": list(finalizers)}})

    async def record(self, manifest: Manifest, event: Event) -> None:
        body = event_manifest(manifest, event, now=self._clock(), reporter=self._settings.identity)
        try:
            await self._api.create(EVENTS.collection(manifest["metadata"]["namespace"]), body)
        except Conflict:  # it was posted before
            return

    def _wake_adopters(self, namespace: str, name: str) -> None:
        """Wake every object that adopts this Deployment."""
        for key in self.cache.keys():  # noqa: SIM118 (a method of the cache, which is no mapping)
            manifest = self.cache.get(key)
            if manifest is not None and target_of(manifest) == (namespace, name):
                self._wake(manifest)

    async def _apply_part(self, key: ObjectKey, subresource: str, manager: str, part: Manifest) -> None:
        """Apply a part of an object of ours to exactly the object that is known, never to a successor of its name."""
        known = self.cache.get(key)
        if known is None:
            return
        resource = resource_of(key.kind)
        metadata = {"name": key.name, "namespace": key.namespace, "uid": known["metadata"]["uid"]}
        body = {"apiVersion": resource.api_version, "kind": key.kind, "metadata": metadata | part.pop("metadata", {})}
        path = resource.path(key.namespace, key.name) + subresource
        try:
            self.take(await self._api.apply(path, body | part, manager=manager), is_deleted=False)
        except NotFound:
            return
        except Conflict:  # this is how the server says that the uid is another's, or nobody's
            if await self._stands(resource.path(key.namespace, key.name), metadata["uid"]):
                raise

    async def _stands(self, path: str, uid: str) -> bool:
        try:
            found: Manifest = await self._api.get(path)
        except NotFound:
            return False
        return bool(found["metadata"]["uid"] == uid)

    async def _relist(self, resource: Resource, namespace: str | None) -> None:
        listed: list[Manifest] = []
        query = {"limit": str(PAGE)} | ({"labelSelector": resource.selector} if resource.selector else {})
        while True:
            page = await self._api.get(resource.collection(namespace), **query)
            listed += [{"apiVersion": resource.api_version, "kind": resource.kind, **item} for item in page["items"]]
            query["continue"] = page["metadata"].get("continue", "")
            if not query["continue"]:
                break
        for changed in self.cache.replace(resource, namespace, listed, page["metadata"]["resourceVersion"]):
            self._announce(changed)

    def _announce(self, manifest: Manifest) -> None:
        if manifest["kind"] == NODES.kind:
            self._wake_all()
        else:
            self._wake(manifest)
