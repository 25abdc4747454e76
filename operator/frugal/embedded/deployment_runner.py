"""The Deployment controller of the node: rolling updates without a gap, and the status that Kubernetes would tell.

During a change more pods than wanted may run (maxSurge, rounded up), and never fewer (maxUnavailable 0).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import datetime

from frugal.decisions.snapshot import Manifest
from frugal.embedded.job_runner import is_ready
from frugal.embedded.pod import Ground
from frugal.embedded.pod_template import TEMPLATE_LABEL, Ports, new_pod, template_hash
from frugal.embedded.store import key_of
from frugal.units import parse_rfc3339, rfc3339

DEFAULT_SURGE = "25%"  # Kubernetes' maxSurge
DEFAULT_PROGRESS_SECONDS = 600  # Kubernetes' progressDeadlineSeconds


class DeploymentRunner:
    """Keeps the pods of Deployments."""

    def __init__(self, ground: Ground, ports: Ports) -> None:
        self._ground, self._ports = ground, ports

    def look(self, deployment: Manifest) -> float | None:
        """Do what the Deployment needs now; return the seconds after which to look again, or None."""
        revision = template_hash(deployment["spec"]["template"])
        wanted = int(deployment["spec"].get("replicas", 1))
        self._step(deployment, self._pods(deployment), revision, wanted)
        return self._tell(deployment, self._pods(deployment), revision, wanted)

    def _pods(self, deployment: Manifest) -> list[Manifest]:
        """Return its pods that shall stay, oldest first."""
        pods = self._ground.store.owned_by(deployment["metadata"]["uid"], "Pod")
        return [pod for pod in pods if "deletionTimestamp" not in pod["metadata"]]

    def _step(self, deployment: Manifest, pods: list[Manifest], revision: str, wanted: int) -> None:
        """Make and delete as many pods as may be at this moment."""
        fresh = [pod for pod in pods if _revision(pod) == revision]
        stale = [pod for pod in pods if _revision(pod) != revision]
        room = wanted + (_surge(deployment, wanted) if stale else 0) - len(pods)
        for _ in range(min(wanted - len(fresh), room)):
            pod = new_pod(deployment, deployment["spec"]["template"], self._ports, labels={TEMPLATE_LABEL: revision})
            self._ground.store.apply(pod)
        surplus = [pod for pod in stale if not is_ready(pod)]
        spare = sum(map(is_ready, pods)) - wanted
        surplus += [pod for pod in stale if is_ready(pod)][: max(spare, 0)]
        if wanted == 0:
            surplus = stale
        surplus += sorted(fresh, key=is_ready)[: max(len(fresh) - wanted, 0)]
        for pod in surplus:
            self._ground.store.delete(key_of(pod), uid=pod["metadata"]["uid"])

    def _tell(self, deployment: Manifest, pods: list[Manifest], revision: str, wanted: int) -> float | None:
        """Write the status; return when the progress deadline comes, or None when nothing is awaited."""
        key = key_of(deployment)
        before = deployment.get("status") or {}
        ready = sum(map(is_ready, pods))
        counts = {
            "replicas": len(pods),
            "updatedReplicas": sum(_revision(pod) == revision for pod in pods),
            "readyReplicas": ready,
            "availableReplicas": ready,
            "unavailableReplicas": max(wanted - ready, 0),
        }
        is_complete = counts["replicas"] == counts["updatedReplicas"] == ready == wanted
        now = self._ground.clock()
        moved = any(before.get(name) != value for name, value in counts.items())
        moved = moved or before.get("observedGeneration") != deployment["metadata"]["generation"]
        progressing, left = _progressing(deployment, before, is_complete=is_complete, moved=moved, now=now)
        conditions = [_available(before, ready >= wanted, now), progressing]
        generation = deployment["metadata"]["generation"]
        status = {"observedGeneration": generation, **counts, "conditions": conditions}
        self._ground.store.set_status(key, status)
        return left


def _available(before: Manifest, holds: bool, now: datetime) -> Manifest:
    return _carried(
        before,
        {
            "type": "Available",
            "status": str(holds),
            "reason": "MinimumReplicasAvailable" if holds else "MinimumReplicasUnavailable",
            "message": f"Deployment {'has' if holds else 'does not have'} minimum availability.",
        },
        now,
        moved=False,
    )


def _progressing(
    deployment: Manifest, before: Manifest, *, is_complete: bool, moved: bool, now: datetime
) -> tuple[Manifest, float | None]:
    """Return the condition, and the seconds left until it would turn false."""
    name = deployment["metadata"]["name"]
    if is_complete:
        words = ("True", "NewReplicaSetAvailable", f"Deployment {name} has successfully progressed.")
        return _progress_condition(before, words, now, moved=False), None
    allowed = float(deployment["spec"].get("progressDeadlineSeconds", DEFAULT_PROGRESS_SECONDS))
    old = _find(before, "Progressing")
    since = now if moved or not old else parse_rfc3339(old["lastUpdateTime"])
    left = allowed - (now - since).total_seconds()
    if left <= 0 or (old.get("reason") == "ProgressDeadlineExceeded" and not moved):
        words = ("False", "ProgressDeadlineExceeded", f"Deployment {name} has timed out progressing.")
        return _progress_condition(before, words, now, moved=False), None
    words = ("True", "ReplicaSetUpdated", f"Deployment {name} is progressing.")
    return _progress_condition(before, words, now, moved=moved), left


def _progress_condition(before: Manifest, words: Sequence[str], now: datetime, *, moved: bool) -> Manifest:
    status, reason, message = words
    condition = {"type": "Progressing", "status": status, "reason": reason, "message": message}
    return _carried(before, condition, now, moved=moved)


def _carried(before: Manifest, condition: Manifest, now: datetime, *, moved: bool) -> Manifest:
    """Return `condition` with its times: of the last change of status, and of the last change or movement."""
    old = _find(before, condition["type"])
    moment = rfc3339(now)
    is_same = all(old.get(name) == condition[name] for name in ("status", "reason"))
    return {
        **condition,
        "lastTransitionTime": old["lastTransitionTime"] if old.get("status") == condition["status"] else moment,
        "lastUpdateTime": old["lastUpdateTime"] if is_same and not moved else moment,
    }


def _find(status: Manifest, type_: str) -> Manifest:
    return next((one for one in status.get("conditions") or [] if one["type"] == type_), {})


def _surge(deployment: Manifest, wanted: int) -> int:
    """Return how many pods more than wanted a change may run, at least one."""
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = str(rolling.get("maxSurge", DEFAULT_SURGE))
    if surge.endswith("%"):
        return max(1, math.ceil(wanted * float(surge[:-1]) / 100))
    return max(1, int(surge))


def _revision(pod: Manifest) -> str:
    return str((pod["metadata"].get("labels") or {}).get(TEMPLATE_LABEL, ""))
