"""A Cluster in memory: it keeps uids, generations and owners as an API server does, counts writes, and can fail."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field

from frugal.decisions.plan import Event, ObjectRef, PodResize
from frugal.decisions.snapshot import Capabilities, Children, Manifest
from frugal.loop.ports import ObjectKey
from frugal.resources.identity import UID_LABEL

Address = tuple[str, str, str]


class PowerCut(Exception):
    """The process ended in the middle of its work."""


@dataclass
class FakeCluster:
    """Everything is visible at once; a write can be refused by kind, or the process can end right after the n-th."""

    capabilities: Capabilities = field(default_factory=Capabilities)
    prices: str | None = None
    objects: dict[Address, Manifest] = field(default_factory=dict)
    events: dict[tuple[str, str, str], Event] = field(default_factory=dict)
    printed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    writes: list[str] = field(default_factory=list)
    refusals: dict[str, Exception] = field(default_factory=dict)
    power_cut_after: int | None = None
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def create(self, manifest: Manifest) -> ObjectKey:
        """Create an object of ours as a user does."""
        made = copy.deepcopy(manifest)
        made["metadata"] |= {"uid": f"uid-{next(self._numbers)}", "generation": 1}
        made.setdefault("status", {"observedGeneration": -1})
        self.objects[_address(made)] = made
        return ObjectKey(*_address(made))

    def change(self, key: ObjectKey, **spec: object) -> None:
        """Change fields of an object's spec as a user does."""
        made = copy.deepcopy(self.objects[_of(key)])
        made["spec"] |= spec
        made["metadata"]["generation"] += 1
        self.objects[_of(key)] = made

    def drop(self, key: ObjectKey) -> None:
        """Delete an object of ours and, as the garbage collector does, its children."""
        gone = self.objects.pop(_of(key))
        for address, child in list(self.objects.items()):
            if _owner(child) == gone["metadata"]["uid"]:
                del self.objects[address]

    def put_child(self, manifest: Manifest) -> None:
        """Let another controller make or change a child."""
        self.objects[_address(manifest)] = copy.deepcopy(manifest)

    def names(self, kind: str) -> list[str]:
        """Return the names of all objects of a kind."""
        return sorted(name for found, _, name in self.objects if found == kind)

    @contextmanager
    def refusing(self, what: str, error: Exception) -> Iterator[None]:
        """Refuse every write whose description begins with `what`."""
        self.refusals[what] = error
        try:
            yield
        finally:
            del self.refusals[what]

    def get(self, key: ObjectKey) -> Manifest | None:
        return self.objects.get(_of(key))

    def keys(self) -> tuple[ObjectKey, ...]:
        kinds = ("CompressionJob", "InferenceDeployment")
        return tuple(ObjectKey(*address) for address in self.objects if address[0] in kinds)

    def children(self, uid: str) -> Children:
        def of(kind: str) -> tuple[Manifest, ...]:
            return tuple(
                child for (found, _, _), child in self.objects.items() if found == kind and _owner(child) == uid
            )

        return Children(
            jobs=of("Job"),
            deployments=of("Deployment"),
            services=of("Service"),
            config_maps=of("ConfigMap"),
            pod_disruption_budgets=of("PodDisruptionBudget"),
            pods=of("Pod"),
        )

    def target(self, namespace: str, name: str) -> Children:
        found = self.objects.get(("Deployment", namespace, name))
        if found is None:
            return Children()
        wanted = found["spec"]["selector"]["matchLabels"].items()
        pods = [one for (kind, _, _), one in self.objects.items() if kind == "Pod"]
        mine = [one for one in pods if wanted <= (one["metadata"].get("labels") or {}).items()]
        return Children(deployments=(found,), pods=tuple(mine))

    def node_labels(self) -> Mapping[str, Mapping[str, str]]:
        return {}

    def price_book(self) -> str | None:
        return self.prices

    def progress_lines(self, pod: Manifest) -> tuple[str, ...]:
        return self.printed.get(pod["metadata"]["name"], ())

    async def apply(self, manifest: Manifest) -> None:
        with self._write(f"apply {manifest['kind']}"):
            made = copy.deepcopy(manifest)
            known = self.objects.get(_address(made))
            uid = known["metadata"]["uid"] if known else f"uid-{next(self._numbers)}"
            made["metadata"] |= {"uid": uid}
            self.objects[_address(made)] = {**(known or {}), **made}

    async def delete(self, ref: ObjectRef) -> None:
        with self._write(f"delete {ref.kind}"):
            known = self.objects.get((ref.kind, ref.namespace, ref.name))
            if known is not None and known["metadata"]["uid"] == ref.uid:
                del self.objects[ref.kind, ref.namespace, ref.name]

    async def resize(self, pod: PodResize) -> None:
        with self._write("resize Pod"):
            known = self.objects.get(("Pod", pod.namespace, pod.name))
            if known is not None:
                made = copy.deepcopy(known)
                (container,) = (one for one in made["spec"]["containers"] if one["name"] == pod.container)
                container["resources"] = copy.deepcopy(pod.resources)
                self.objects["Pod", pod.namespace, pod.name] = made

    async def apply_status(self, key: ObjectKey, status: Manifest) -> None:
        with self._write("status"):
            if _of(key) in self.objects:
                self.objects[_of(key)] = {**self.objects[_of(key)], "status": copy.deepcopy(status)}

    async def apply_finalizers(self, key: ObjectKey, finalizers: tuple[str, ...]) -> None:
        with self._write("finalizers"):
            if (known := self.objects.get(_of(key))) is not None:
                metadata = {**known["metadata"], "finalizers": list(finalizers)}
                self.objects[_of(key)] = {**known, "metadata": metadata}

    async def record(self, manifest: Manifest, event: Event) -> None:
        with self._write("event"):
            self.events[manifest["metadata"]["uid"], event.reason, event.message] = event

    @contextmanager
    def _write(self, what: str) -> Iterator[None]:
        for prefix, error in self.refusals.items():
            if what.startswith(prefix):
                raise error
        yield
        self.writes.append(what)
        if self.power_cut_after is not None and len(self.writes) >= self.power_cut_after:
            raise PowerCut(what)


def _of(key: ObjectKey) -> Address:
    return key.kind, key.namespace, key.name


def _address(manifest: Manifest) -> Address:
    return manifest["kind"], manifest["metadata"].get("namespace", ""), manifest["metadata"]["name"]


def _owner(manifest: Manifest) -> str | None:
    return (manifest["metadata"].get("labels") or {}).get(UID_LABEL)
