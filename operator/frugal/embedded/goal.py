"""Whether what a script waits for is there: `--until CONDITION`. Looks at statuses only."""

from __future__ import annotations

from collections.abc import Iterable
from enum import Enum

from frugal.decisions.snapshot import Manifest


class Goal(Enum):
    """How far the objects are."""

    AHEAD = "ahead"
    REACHED = "reached"
    OUT_OF_REACH = "out of reach"


def goal_of(objects: Iterable[Manifest], condition: str) -> Goal:
    """Return whether every object says `condition` of its present spec; one that is stalled never will by itself."""
    objects = tuple(objects)
    if any(says(one, "Stalled") and not says(one, condition) for one in objects):
        return Goal.OUT_OF_REACH
    if objects and all(says(one, condition) for one in objects):
        return Goal.REACHED
    return Goal.AHEAD


def says(manifest: Manifest, condition: str) -> bool:
    """Return whether the condition (in any case of letters) is true of the object's present generation."""
    generation = manifest["metadata"]["generation"]
    return any(
        one["type"].lower() == condition.lower()
        and one["status"] == "True"
        and one.get("observedGeneration", generation) == generation
        for one in (manifest.get("status") or {}).get("conditions") or []
    )
