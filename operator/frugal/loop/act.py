"""From a plan to the cluster: what differs is applied, and a refusal becomes a condition. Decides nothing.

The order makes a crash between any two writes harmless: events first (their names are made of their content), then
children, then finalizers, and the status last, so that no status speaks of what was not done.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from frugal.api.conditions import Condition, ConditionType, Reason, carry_transitions, condition
from frugal.decisions.plan import Event, Plan
from frugal.decisions.snapshot import Children, Manifest
from frugal.errors import Forbidden, Rejected
from frugal.loop.ports import Cluster, ObjectKey
from frugal.resources.identity import differs

FINALIZER_PREFIX = "frugal.dev/"

_log = logging.getLogger(__name__)


async def carry_out(cluster: Cluster, key: ObjectKey, manifest: Manifest, children: Children, plan: Plan) -> None:
    """Make the cluster what `plan` says, writing only what differs; raises ClusterError at the first write that fails.

    manifest, children: what the plan was made from.
    """
    for event in plan.events:
        await _record(cluster, key, manifest, event)
    for ref in plan.delete:
        await cluster.delete(ref)
        _log.info("%s: deleted %s %s", key, ref.kind, ref.name)
    living = {(child["kind"], child["metadata"]["name"]): child for child in _all(children)}
    for desired in plan.apply:
        child = living.get((desired["kind"], desired["metadata"]["name"]))
        if child is None or differs(desired, child):
            await cluster.apply(desired)
            _log.info("%s: applied %s %s", key, desired["kind"], desired["metadata"]["name"])
    for pod in plan.resize:
        await cluster.resize(pod)
        _log.info("%s: resized pod %s in place", key, pod.name)
    if _our_finalizers(manifest) != sorted(plan.finalizers):
        await cluster.apply_finalizers(key, plan.finalizers)
    if plan.status is not None:
        await write_status(cluster, key, manifest, plan.status)


async def write_status(cluster: Cluster, key: ObjectKey, manifest: Manifest, status: Manifest) -> None:
    """Apply `status` if it says anything that the object's present status does not."""
    said = _without_empty_texts(status)
    if _comparable(said) != _comparable(manifest.get("status") or {}):
        await cluster.apply_status(key, said)


def refused_status(manifest: Manifest, refusal: Forbidden | Rejected, *, now: datetime) -> Manifest:
    """Return the object's present status with conditions that say what the server refused, in the server's words.

    All else stays as it was before the refused write, because nothing of the plan may be claimed.
    """
    reason = Reason.FORBIDDEN if isinstance(refusal, Forbidden) else Reason.INVALID_SPEC
    generation = int((manifest.get("metadata") or {}).get("generation", 0))
    status: dict[str, Any] = dict(manifest.get("status") or {})
    before: list[Mapping[str, Any]] = list(status.get("conditions") or [])
    message = f"the API server refused a write: {refusal}"
    said = [
        condition(kind, holds, reason, message, generation=generation, now=now)
        for kind, holds in (
            (ConditionType.READY, False),
            (ConditionType.RECONCILING, False),
            (ConditionType.STALLED, True),
        )
    ]
    replaced = {one.type for one in said}
    kept = [Condition.model_validate(one) for one in before if one.get("type") not in replaced]
    status["conditions"] = [one.to_json() for one in carry_transitions([*kept, *said], before)]
    status["observedGeneration"] = generation
    return status


async def _record(cluster: Cluster, key: ObjectKey, manifest: Manifest, event: Event) -> None:
    """Record an event; one that may not be written (no right, a full quota) must not stop the work."""
    try:
        await cluster.record(manifest, event)
    except Forbidden as refusal:
        _log.warning("%s: event %s not recorded: %s", key, event.reason, refusal)


def _all(children: Children) -> tuple[Manifest, ...]:
    return (
        *children.jobs,
        *children.deployments,
        *children.services,
        *children.config_maps,
        *children.pod_disruption_budgets,
    )


def _our_finalizers(manifest: Manifest) -> list[str]:
    finalizers = (manifest.get("metadata") or {}).get("finalizers") or []
    return sorted(name for name in finalizers if name.startswith(FINALIZER_PREFIX))


def _without_empty_texts(status: Any) -> Any:
    """Return `status` as Kubernetes writes it: a text that says nothing is left out.

    Server-side apply on a custom resource was seen to turn an empty text into null, which the schema then refuses.
    """
    if isinstance(status, dict):
        return {name: _without_empty_texts(value) for name, value in status.items() if value != ""}
    if isinstance(status, list):
        return [_without_empty_texts(value) for value in status]
    return status


def _comparable(status: Manifest) -> Manifest:
    """Return `status` with its conditions in order of type: in a list map the server keeps an order of its own."""
    conditions = sorted(status.get("conditions") or [], key=lambda one: str(one.get("type")))
    return {**status, "conditions": conditions}
