"""What pods say about themselves: how they ended, what they wait for, in words with a remedy. Decides nothing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from frugal.api.conditions import Reason
from frugal.decisions.snapshot import Manifest
from frugal.units import parse_rfc3339

_IMAGE_REASONS = ("ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable")
_MISSING = re.compile(r'(secret|configmap|persistentvolumeclaim|serviceaccount) "?[^ ]+"? not found', re.IGNORECASE)
_LAST_WORDS_CHARACTERS = 600


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a pod does not do its work."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Termination:
    """How a container ended; `finished_at` as the kubelet wrote it, empty when it did not."""

    exit_code: int
    reason: str
    message: str
    finished_at: str


def by_age(pods: Iterable[Manifest]) -> tuple[Manifest, ...]:
    """Return the pods, oldest first."""
    return tuple(sorted(pods, key=lambda pod: (str(pod["metadata"].get("creationTimestamp", "")), _name(pod))))


def is_being_deleted(manifest: Manifest) -> bool:
    """Whether the object is on its way out."""
    return bool(manifest["metadata"].get("deletionTimestamp"))


def phase_of(pod: Manifest) -> str:
    """Return the pod's phase; a pod without a status is Pending."""
    return str((pod.get("status") or {}).get("phase", "Pending"))


def is_ready(pod: Manifest) -> bool:
    """Whether the pod takes traffic."""
    conditions = (pod.get("status") or {}).get("conditions") or []
    return any(one.get("type") == "Ready" and one.get("status") == "True" for one in conditions)


def termination_of(pod: Manifest, container: str) -> Termination | None:
    """Return how the container ended last, or None when it never did."""
    status = _container_status(pod, container)
    ended = (status.get("state") or {}).get("terminated") or (status.get("lastState") or {}).get("terminated")
    if not ended:
        return None
    return Termination(
        exit_code=int(ended.get("exitCode", 0)),
        reason=str(ended.get("reason", "")),
        message=str(ended.get("message", "")),
        finished_at=str(ended.get("finishedAt") or ""),
    )


def waiting_trouble(pod: Manifest) -> Trouble | None:
    """Return why the pod cannot start, or None when it only takes its time."""
    return _unschedulable(pod) or next(
        (trouble for status in _every_status(pod) if (trouble := _waiting(pod, status)) is not None), None
    )


def waiting_since(pod: Manifest, now: datetime) -> float:
    """Return for how many seconds no node has had room for the pod; 0 when it has a node."""
    for one in (pod.get("status") or {}).get("conditions") or []:
        if one.get("type") == "PodScheduled" and one.get("reason") == "Unschedulable":
            since = str(one.get("lastTransitionTime") or pod["metadata"].get("creationTimestamp") or "")
            return max(0.0, (now - parse_rfc3339(since)).total_seconds()) if since else 0.0
    return 0.0


def crash_trouble(pod: Manifest, container: str, *, memory_field: str) -> Trouble | None:
    """Return how the container failed, or None when it did not.

    memory_field: the field of the spec that gives the container its memory, for the remedy.
    """
    ended = termination_of(pod, container)
    if ended is None or (ended.exit_code == 0 and ended.reason != "OOMKilled"):
        return _evicted(pod)
    if ended.reason == "OOMKilled":
        limit = memory_limit_of(pod, container) or "its node's free memory"
        return Trouble(
            Reason.OUT_OF_MEMORY,
            f"pod {_name(pod)} was killed: it needed more memory than {limit}; raise {memory_field}",
        )
    words = last_words(ended.message)
    said = f": {words}" if words else f"; `kubectl logs {_name(pod)}` shows more"
    return Trouble(Reason.POD_FAILED, f"pod {_name(pod)} ended with exit status {ended.exit_code}{said}")


def memory_limit_of(pod: Manifest, container: str) -> str:
    """Return the container's memory limit as it is written; empty when it has none."""
    containers = (pod.get("spec") or {}).get("containers") or []
    mine: Mapping[str, Any] = next((one for one in containers if one.get("name") == container), {})
    return str(((mine.get("resources") or {}).get("limits") or {}).get("memory", ""))


def last_words(message: str) -> str:
    """Return the end of a container's message, in one line: the last line of a traceback says most."""
    line = " / ".join(part.strip() for part in message.splitlines() if part.strip())
    return line if len(line) <= _LAST_WORDS_CHARACTERS else f"...{line[-_LAST_WORDS_CHARACTERS:]}"


def _unschedulable(pod: Manifest) -> Trouble | None:
    for one in (pod.get("status") or {}).get("conditions") or []:
        if one.get("type") == "PodScheduled" and one.get("reason") == "Unschedulable":
            said = str(one.get("message", ""))
            if _MISSING.search(said):
                return Trouble(Reason.REFERENCE_MISSING, f"pod {_name(pod)} waits: {said}; create what is missing")
            return Trouble(
                Reason.UNSCHEDULABLE,
                f"no node fits pod {_name(pod)}: {said or 'the scheduler does not say why'}; "
                "ask for less, or add a node",
            )
    return None


def _waiting(pod: Manifest, status: Mapping[str, Any]) -> Trouble | None:
    waiting = (status.get("state") or {}).get("waiting") or {}
    reason, said = str(waiting.get("reason", "")), str(waiting.get("message", ""))
    if reason in _IMAGE_REASONS:
        image = status.get("image", "")
        return Trouble(Reason.IMAGE_UNAVAILABLE, f"pod {_name(pod)} cannot get image {image}: {said or reason}")
    if reason in ("CreateContainerConfigError", "CreateContainerError", "RunContainerError"):
        kind = Reason.REFERENCE_MISSING if reason == "CreateContainerConfigError" else Reason.POD_FAILED
        return Trouble(kind, f"pod {_name(pod)} cannot start: {said or reason}; it starts as soon as that is mended")
    return None


def _evicted(pod: Manifest) -> Trouble | None:
    status = pod.get("status") or {}
    if status.get("phase") != "Failed":
        return None
    said = ": ".join(str(status[key]) for key in ("reason", "message") if status.get(key))
    return Trouble(Reason.POD_FAILED, f"pod {_name(pod)} was lost: {said or 'its node does not say why'}")


def _every_status(pod: Manifest) -> list[Mapping[str, Any]]:
    status = pod.get("status") or {}
    return [*(status.get("initContainerStatuses") or []), *(status.get("containerStatuses") or [])]


def _container_status(pod: Manifest, container: str) -> Mapping[str, Any]:
    return next((one for one in _every_status(pod) if one.get("name") == container), {})


def _name(pod: Manifest) -> str:
    return str(pod["metadata"]["name"])
