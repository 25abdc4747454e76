"""Out-of-memory kills as the pods' own statuses tell them, each told once. Fresher and more exact than any metric."""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

from frugal.decisions.snapshot import Manifest
from frugal.errors import InvalidQuantity
from frugal.units import Quantity


class Kills:
    """Remembers which kills were told, by pod and container: (its uid, container, when it ended)."""

    def __init__(self) -> None:
        self._told: set[tuple[str, str, str]] = set()

    def new(self, pods: Iterable[Manifest]) -> tuple[int, ...]:
        """Return the memory limits, in bytes, at which containers were killed since the last call."""
        limits = []
        for pod in pods:
            for name, ended in _killed(pod):
                kill = (pod["metadata"]["uid"], name, str(ended.get("finishedAt")))
                limit = _memory_limit(pod, name)
                if kill not in self._told and limit is not None:
                    limits.append(limit)
                self._told.add(kill)
        return tuple(limits)

    def keep_only(self, uids: Set[str]) -> None:
        """Forget pods that are gone."""
        self._told = {kill for kill in self._told if kill[0] in uids}


def _killed(pod: Manifest) -> Iterable[tuple[str, dict[str, Any]]]:
    """Yield each container whose newest end was an out-of-memory kill, with that end."""
    for status in (pod.get("status") or {}).get("containerStatuses") or []:
        for state in (status.get("state") or {}, status.get("lastState") or {}):
            ended = state.get("terminated")
            if ended and ended.get("reason") == "OOMKilled":
                yield status["name"], ended
                break


def _memory_limit(pod: Manifest, container: str) -> int | None:
    for one in pod["spec"]["containers"]:
        if one["name"] == container:
            limit = ((one.get("resources") or {}).get("limits") or {}).get("memory")
            try:
                return Quantity(limit).whole if limit is not None else None
            except InvalidQuantity:
                return None
    return None
