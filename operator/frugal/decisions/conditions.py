"""The conditions that both kinds share: the kstatus triple, and `Valid`. Chooses no reason; says which it is given.

kstatus (Flux, `kubectl apply --wait`, Argo CD's check): Reconciling=True is in progress, Stalled=True has failed,
Ready=True is current; at most one of the three is ever True here.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, auto
from typing import Any

from frugal.api.conditions import Condition, ConditionType, Reason, carry_transitions, condition
from frugal.errors import InvalidObject


class Standing(Enum):
    """Where an object stands."""

    READY = auto()  # everything is as it should be
    WORKING = auto()  # on the way there
    STALLED = auto()  # it will not get there unless somebody changes something
    RESTING = auto()  # neither there nor on the way, because that is what the spec asks for


@dataclass(frozen=True, slots=True)
class Told:
    """One condition as decided, before it gets its generation and time; `holds` None is Unknown."""

    type: ConditionType
    holds: bool | None
    reason: Reason
    message: str = ""


def triple(standing: Standing, reason: Reason, message: str) -> tuple[Told, ...]:
    """Return Ready, Reconciling and Stalled for an object that stands so."""
    return (
        Told(ConditionType.READY, standing is Standing.READY, reason, message),
        Told(ConditionType.RECONCILING, standing is Standing.WORKING, reason, message),
        Told(ConditionType.STALLED, standing is Standing.STALLED, reason, message),
    )


ACCEPTED = Told(ConditionType.VALID, True, Reason.ACCEPTED, "the spec keeps every rule")


def refused(fault: InvalidObject) -> tuple[Told, ...]:
    """Return the conditions of an object whose spec cannot be used; the message lists every field.

    What an earlier, valid spec started is neither stopped nor changed: a typing error must not end a service.
    """
    message = "; ".join(f"{error}" for error in fault.errors)
    return (
        Told(ConditionType.VALID, False, Reason.INVALID_SPEC, message),
        *triple(Standing.STALLED, Reason.INVALID_SPEC, f"{message}. What an earlier spec started goes on unchanged"),
    )


def written(
    told: Iterable[Told], previous: Iterable[Mapping[str, Any]], *, generation: int, now: datetime
) -> list[Condition]:
    """Return the conditions as they go into the status, in order of type.

    previous: those that stand in the status now. What is not told again stays, because it still holds.
    """
    before = [one for one in previous if isinstance(one, Mapping)]
    fresh = [condition(one.type, one.holds, one.reason, one.message, generation=generation, now=now) for one in told]
    known = {one.type for one in fresh}
    kept = [Condition.model_validate(one) for one in before if one.get("type") not in known]
    return carry_transitions([*fresh, *kept], before)


def find(conditions: Iterable[Mapping[str, Any]], kind: ConditionType) -> Mapping[str, Any]:
    """Return the condition of that type, or an empty one."""
    return next((one for one in conditions if one.get("type") == kind.value), {})


def retold(conditions: Iterable[Mapping[str, Any]], kind: ConditionType) -> Told | None:
    """Return a condition as it was told before, or None when it was not, or by a version with other reasons."""
    found = find(conditions, kind)
    try:
        reason = Reason(found.get("reason", ""))
    except ValueError:
        return None
    holds = {"True": True, "False": False}.get(str(found.get("status")))
    return Told(kind, holds, reason, str(found.get("message", "")))
