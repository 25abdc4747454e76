"""The Job controller of the node: one look at a Job makes or ends its pods and tells its status, as Kubernetes does.

Everything it knows stands in the store, so that a look may happen at any moment, any number of times.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from frugal.decisions.snapshot import Manifest
from frugal.embedded.events import node_event
from frugal.embedded.pod import Ground
from frugal.embedded.pod_template import Ports, new_pod
from frugal.embedded.store import key_of
from frugal.units import parse_rfc3339, rfc3339

DISRUPTED = "DisruptionTarget"  # the pod condition of an end that was not the pod's own fault: it counts for nothing
DEFAULT_BACKOFF_LIMIT = 6  # Kubernetes
STATUS_SECONDS = 1.0  # times in a status are whole seconds: what ended was alive up to so much longer


class JobRunner:
    """Brings Jobs to their end."""

    def __init__(self, ground: Ground, ports: Ports) -> None:
        self._ground, self._ports = ground, ports

    def look(self, job: Manifest) -> float | None:
        """Do what the Job needs now; return the seconds after which to look again, or None."""
        pods = self._ground.store.owned_by(job["metadata"]["uid"], "Pod")
        active = [pod for pod in pods if _phase(pod) in ("Pending", "Running")]
        if finished_at(job) is not None:
            self._end(active)
            return self._expire(job)
        now = self._ground.clock()
        started = parse_rfc3339(job.get("status", {}).get("startTime") or rfc3339(now))
        succeeded = [pod for pod in pods if _phase(pod) == "Succeeded"]
        failures = _failures(pods)
        verdict = self._verdict(job, len(succeeded), failures, elapsed=(now - started).total_seconds())
        self._tell(job, active, succeeded, failures, started=started, verdict=verdict)
        if verdict is not None:
            self._end(active)
            return self._expire(job)
        if job["spec"].get("suspend"):
            self._end(active)
            return None
        return self._run(job, active, succeeded, failures, now, left=_deadline(job) - (now - started).total_seconds())

    def _run(
        self,
        job: Manifest,
        active: list[Manifest],
        succeeded: list[Manifest],
        failures: int,
        now: datetime,
        left: float,
    ) -> float | None:
        """Make the pods that are missing, after the back-off; return when to look again."""
        wanted = min(job["spec"].get("parallelism", 1), job["spec"].get("completions", 1) - len(succeeded))
        again = left if left != float("inf") else None
        if len(active) >= wanted:
            return again
        wait = self._backoff(job, failures, now)
        if wait > 0:
            return min(wait, left)
        for _ in range(wanted - len(active)):
            template = {**job["spec"]["template"]}
            template["spec"] = {"restartPolicy": "Never", **template["spec"]}
            pod = new_pod(job, template, self._ports, labels={"job-name": job["metadata"]["name"]})
            self._ground.store.apply(pod)
            self._event(job, "Normal", "SuccessfulCreate", f"Created pod: {pod['metadata']['name']}")
        return again

    def _verdict(self, job: Manifest, succeeded: int, failures: int, *, elapsed: float) -> Manifest | None:
        """Return the condition that ends the Job, or None."""
        if succeeded >= job["spec"].get("completions", 1):
            return {"type": "Complete"}
        if failures > job["spec"].get("backoffLimit", DEFAULT_BACKOFF_LIMIT):
            message = "Job has reached the specified backoff limit"
            return {"type": "Failed", "reason": "BackoffLimitExceeded", "message": message}
        if elapsed >= _deadline(job):
            message = "Job was active longer than specified deadline"
            return {"type": "Failed", "reason": "DeadlineExceeded", "message": message}
        return None

    def _tell(
        self,
        job: Manifest,
        active: list[Manifest],
        succeeded: list[Manifest],
        failures: int,
        *,
        started: datetime,
        verdict: Manifest | None,
    ) -> None:
        status: dict[str, Any] = {
            "startTime": rfc3339(started),
            "active": 0 if verdict else len(active),
            "ready": 0 if verdict else sum(map(is_ready, active)),
            "succeeded": len(succeeded),
            "failed": failures + (len(active) if verdict and verdict["type"] == "Failed" else 0),
        }
        if verdict is not None:
            now = rfc3339(self._ground.clock())
            status["conditions"] = [{"status": "True", "lastProbeTime": now, "lastTransitionTime": now, **verdict}]
            if verdict["type"] == "Complete":
                status["completionTime"] = now
                self._event(job, "Normal", "Completed", "Job completed")
            else:
                self._event(job, "Warning", verdict["reason"], verdict["message"])
        self._ground.store.set_status(key_of(job), status)

    def _backoff(self, job: Manifest, failures: int, now: datetime) -> float:
        """Return the seconds left until the next pod may start: 10 s after the first failure, then doubled."""
        if not failures:
            return 0.0
        timing = self._ground.timing
        pods = self._ground.store.owned_by(job["metadata"]["uid"], "Pod")
        last = max((ended_at(pod) for pod in pods if _is_failure(pod)), default=now)
        pause = min(timing.job_backoff_seconds * 2 ** (failures - 1), timing.longest_job_backoff_seconds)
        return float(pause + STATUS_SECONDS - (now - last).total_seconds())

    def _expire(self, job: Manifest) -> float | None:
        """Delete a finished Job after its time to live."""
        lifetime = job["spec"].get("ttlSecondsAfterFinished")
        live = self._ground.store.get(key_of(job))
        ended = finished_at(live) if live is not None else None
        if lifetime is None or ended is None:
            return None
        left = lifetime - (self._ground.clock() - ended).total_seconds()
        if left <= 0:
            self._ground.store.delete(key_of(job), uid=job["metadata"]["uid"])
            return None
        return float(left)

    def _end(self, pods: list[Manifest]) -> None:
        for pod in pods:
            self._ground.store.delete(key_of(pod), uid=pod["metadata"]["uid"])

    def _event(self, job: Manifest, type_: str, reason: str, message: str) -> None:
        self._ground.store.record(node_event(job, type_, reason, message, now=self._ground.clock()))


def finished_at(job: Manifest) -> datetime | None:
    """Return when the Job got the condition that ends it, or None."""
    for condition in job.get("status", {}).get("conditions") or []:
        if condition["type"] in ("Complete", "Failed") and condition["status"] == "True":
            return parse_rfc3339(condition["lastTransitionTime"])
    return None


def is_ready(pod: Manifest) -> bool:
    """Return whether the pod is ready and stays."""
    conditions = pod.get("status", {}).get("conditions") or []
    holds = any(one["type"] == "Ready" and one["status"] == "True" for one in conditions)
    return holds and "deletionTimestamp" not in pod["metadata"]


def ended_at(pod: Manifest) -> datetime:
    """Return when the last of the pod's containers ended, or when the pod was made."""
    ends = [
        one["state"]["terminated"]["finishedAt"]
        for one in pod.get("status", {}).get("containerStatuses") or []
        if "terminated" in one.get("state", {})
    ]
    return parse_rfc3339(max(ends, default=pod["metadata"]["creationTimestamp"]))


def _phase(pod: Manifest) -> str:
    return str(pod.get("status", {}).get("phase", "Pending"))


def _is_failure(pod: Manifest) -> bool:
    conditions = pod.get("status", {}).get("conditions") or []
    is_disrupted = any(one["type"] == DISRUPTED and one["status"] == "True" for one in conditions)
    return _phase(pod) == "Failed" and not is_disrupted


def _failures(pods: tuple[Manifest, ...]) -> int:
    """Return how often a pod of the Job failed, restarts in place included."""
    return sum(_is_failure(pod) + _restarts(pod) for pod in pods)


def _restarts(pod: Manifest) -> int:
    return sum(one.get("restartCount", 0) for one in pod.get("status", {}).get("containerStatuses") or [])


def _deadline(job: Manifest) -> float:
    return float(job["spec"].get("activeDeadlineSeconds", "inf"))
