"""What the loop needs from the outside, as Protocols: a cluster and its telemetry.

The operator fulfils them with the Kubernetes API and Prometheus, embedded mode with files and local processes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from frugal.api.inference_deployment import RuntimeMetrics
from frugal.decisions.plan import Event, ObjectRef, PodResize
from frugal.decisions.snapshot import Capabilities, Children, Manifest
from frugal.sizing.samples import Observation

COMPRESSION_JOB = "CompressionJob"
INFERENCE_DEPLOYMENT = "InferenceDeployment"

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True, order=True)
class ObjectKey:
    """Names one object of ours."""

    kind: str
    namespace: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.namespace}/{self.name}"


class Cluster(Protocol):
    """Where objects live. Reads come from a cache that a watch keeps fresh; writes raise ClusterError."""

    @property
    def capabilities(self) -> Capabilities:
        """What the server can do."""

    def get(self, key: ObjectKey) -> Manifest | None:
        """Return the object, or None when it is not there."""

    def keys(self) -> tuple[ObjectKey, ...]:
        """Return every object of ours that is known."""

    def children(self, uid: str) -> Children:
        """Return what carries the label `frugal.dev/uid: UID`."""

    def target(self, namespace: str, name: str) -> Children:
        """Return a Deployment that something else made, with its pods; nothing while it is not there.

        It is followed from the first call: whoever adopts it is told of its changes.
        """

    def node_labels(self) -> Mapping[str, Mapping[str, str]]:
        """Return the labels of every node by its name."""

    def price_book(self) -> str | None:
        """Return the text of the price book's ConfigMap (key prices.yaml), or None when there is none."""

    def progress_lines(self, pod: Manifest) -> tuple[str, ...]:
        """Return what this pod has printed so far, at most the newest 2,000 lines; follows it from the first call."""

    async def apply(self, manifest: Manifest) -> None:
        """Apply a child server-side with our field manager."""

    async def delete(self, ref: ObjectRef) -> None:
        """Delete a child and what it owns; already gone, or replaced by another uid, is success."""

    async def resize(self, pod: PodResize) -> None:
        """Give a running pod another size in place; a pod that is gone is success."""

    async def apply_status(self, key: ObjectKey, status: Manifest) -> None:
        """Apply the whole status; an object that is gone is success."""

    async def apply_finalizers(self, key: ObjectKey, finalizers: tuple[str, ...]) -> None:
        """Make `finalizers` the object's finalizers of ours; an object that is gone is success."""

    async def record(self, manifest: Manifest, event: Event) -> None:
        """Post an event about the object under a name made of its uid and content; already there is success."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """One InferenceDeployment to be measured, with the pods that serve it now."""

    key: ObjectKey
    pods: tuple[Manifest, ...]
    metrics: RuntimeMetrics | None = None  # the names that its user declares; None: one of the runtimes known by name


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What one tick of telemetry brought."""

    observations: Mapping[ObjectKey, Observation]
    problems: Mapping[ObjectKey, str]  # why there is no observation; a workload with no pods is in neither
    ages_seconds: Mapping[str, float]  # by input, such as prometheus or pods: age of the newest sample


History = tuple[Observation, ...]
"""What happened to one workload, oldest first."""


class Telemetry(Protocol):
    """Where measurements come from. Never raises for one workload's fault: that is a problem in the reading."""

    async def read(self, workloads: tuple[Workload, ...], *, now: datetime) -> Reading:
        """Return what happened since the last call, for every workload in bulk."""

    async def history(self, workloads: tuple[Workload, ...], *, now: datetime) -> Mapping[ObjectKey, History]:
        """Return what happened to workloads before `now`; one that is not in the answer could not be told of now."""
