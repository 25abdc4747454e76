"""How a size reaches the pods: in place where the server can, else by a rollout that keeps the capacity. No size here.

In place the template keeps its requests until the next rollout, and pods made meanwhile are resized when they appear.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from frugal.api.inference_deployment import InferenceDeployment
from frugal.api.status import ServedModelStatus, Size
from frugal.decisions.plan import PodResize
from frugal.decisions.pods import is_being_deleted, is_ready, waiting_since
from frugal.decisions.snapshot import InferenceSnapshot, Manifest
from frugal.resources.identity import is_contained
from frugal.resources.inference import SURGE, TAKE_AND_GIVE, render_deployment, resources_of, server_name, size_in
from frugal.units import parse_rfc3339

DEFERRED_SECONDS = 300.0  # VPA, InPlaceOrRecreate: what a node has no room for after 5 minutes needs another node
NO_ROOM_SECONDS = 120.0  # the scheduler has then looked several times, and a node group that grows has ordered
PENDING, INFEASIBLE = "PodResizePending", "Infeasible"


@dataclass(frozen=True, slots=True, kw_only=True)
class Application:
    """The Deployment as it shall be, and the pods whose requests change where they run."""

    deployment: Manifest
    resizes: tuple[PodResize, ...] = ()


def application_of(
    deployment: InferenceDeployment,
    seen: InferenceSnapshot,
    *,
    live: Manifest | None,
    model: ServedModelStatus,
    size: Size,
    needed_replicas: int,
    failed_version: str,
) -> Application:
    """Return how `size` is applied; `needed_replicas` are those that the load needs at this moment."""

    def rendered(one: Size) -> Manifest:
        return render_deployment(
            deployment,
            model=model,
            size=one,
            image=seen.environment.serve_image,
            image_pull_policy=seen.environment.image_pull_policy,
            failed_version=failed_version,
            strategy=_strategy(seen, size, needed_replicas),
        )

    standing = size_in(live) if live is not None else None
    if live is not None and standing is not None and _can_resize(seen, standing, size):
        kept = rendered(standing.model_copy(update={"replicas": size.replicas}))
        if is_contained(kept["spec"]["template"], live["spec"]["template"]):
            return Application(deployment=kept, resizes=_resizes(deployment, seen, size))
    return Application(deployment=rendered(size))


def _can_resize(seen: InferenceSnapshot, standing: Size, size: Size) -> bool:
    """Whether every pod can get `size` where it runs: the same accelerator, as many threads, and room on its node."""
    if not seen.environment.capabilities.pod_resize:
        return False
    same_kind = (standing.accelerator, standing.product, standing.count) == (size.accelerator, size.product, size.count)
    same_threads = max(1, math.floor(standing.cpu.value)) == max(1, math.floor(size.cpu.value))
    same_limits = (standing.memory_limit is None) == (size.memory_limit is None)
    refused = any(_is_refused(pod, seen.environment.now) for pod in seen.children.pods)
    return same_kind and same_threads and same_limits and not refused


def _is_refused(pod: Manifest, now: datetime) -> bool:
    """Whether the node can never give the pod what was asked for, or could not for five minutes."""
    for one in (pod.get("status") or {}).get("conditions") or []:
        if one.get("type") == PENDING and one.get("status") == "True":
            since = str(one.get("lastTransitionTime") or "")
            waited = (now - parse_rfc3339(since)).total_seconds() if since else 0.0
            return one.get("reason") == INFEASIBLE or waited >= DEFERRED_SECONDS
    return False


def _resizes(deployment: InferenceDeployment, seen: InferenceSnapshot, size: Size) -> tuple[PodResize, ...]:
    container, wanted = server_name(deployment.spec), resources_of(size)
    return tuple(
        PodResize(
            namespace=pod["metadata"]["namespace"],
            name=pod["metadata"]["name"],
            container=container,
            resources=wanted,
        )
        for pod in seen.children.pods
        if not is_being_deleted(pod) and not is_contained(wanted, _asked(pod, container))
    )


def _asked(pod: Manifest, container: str) -> dict[str, Any]:
    containers = (pod.get("spec") or {}).get("containers") or []
    return next((one.get("resources") or {} for one in containers if one.get("name") == container), {})


def _strategy(seen: InferenceSnapshot, size: Size, needed_replicas: int) -> Manifest:
    """Return the strategy: a new pod before an old one goes, but one by one in its place where nothing has room.

    The exception is made only while the load needs fewer replicas than there are: capacity comes first.
    """
    ready = sum(map(is_ready, seen.children.pods))
    waited = max((waiting_since(pod, seen.environment.now) for pod in seen.children.pods), default=0.0)
    may_give_one = ready > 1 and needed_replicas < size.replicas
    return dict(TAKE_AND_GIVE if waited >= NO_ROOM_SECONDS and may_give_one else SURGE)
