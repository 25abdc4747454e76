"""What a decision answers: the whole desired state, applied as a difference by the loop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from frugal.api.conditions import Reason
from frugal.decisions.snapshot import Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectRef:
    """A child to delete. `uid` guards against deleting a successor of the same name."""

    api_version: str
    kind: str
    namespace: str
    name: str
    uid: str


def ref_of(manifest: Manifest) -> ObjectRef:
    """Return the reference by which exactly this child is deleted."""
    metadata = manifest["metadata"]
    return ObjectRef(
        api_version=manifest["apiVersion"],
        kind=manifest["kind"],
        namespace=metadata["namespace"],
        name=metadata["name"],
        uid=metadata.get("uid", ""),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """A Kubernetes event about the object. The shell posts it under a name made of its content, so only once."""

    reason: Reason
    message: str
    type: Literal["Normal", "Warning"] = "Normal"


@dataclass(frozen=True, slots=True, kw_only=True)
class PodResize:
    """A running pod whose container gets other requests and limits where it runs."""

    namespace: str
    name: str
    container: str
    resources: Manifest


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The desired state of one object's world.

    apply: children as they shall be, whole; the loop applies those that differ.
    delete: children that shall not be; already gone is success.
    resize: pods that get another size in place, on a server that can.
    status: the whole status; None when the object is being deleted and nothing may be said any more.
    finalizers: finalizers of ours that the object shall carry; the loop adds and removes only `frugal.dev/` ones.
    requeue_seconds: look again after this long even if nothing happens; None when only an event can change the plan.
    """

    apply: tuple[Manifest, ...] = ()
    delete: tuple[ObjectRef, ...] = ()
    resize: tuple[PodResize, ...] = ()
    status: Manifest | None
    events: tuple[Event, ...] = ()
    finalizers: tuple[str, ...] = ()
    requeue_seconds: float | None = None
