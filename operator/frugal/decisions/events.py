"""Which Kubernetes events an object's change of status is worth. Everything comes from the two statuses, no memory."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from frugal.api.conditions import ConditionType, Reason
from frugal.decisions.conditions import find
from frugal.decisions.plan import Event

_NORMAL = frozenset(
    {
        Reason.PENDING,
        Reason.SUSPENDED,
        Reason.QUEUED,
        Reason.ESTIMATING,
        Reason.SEARCHING,
        Reason.VERIFYING,
        Reason.PUBLISHING,
        Reason.SUCCEEDED,
        Reason.NOT_WORTH_IT,
        Reason.WAITING_FOR_ARTIFACT,
        Reason.PROGRESSING,
        Reason.SERVING,
        Reason.SCALED_TO_ZERO,
        Reason.APPLIED,
        Reason.OBJECTIVE_MET,
        Reason.WITHIN_BUDGET,
        Reason.TELEMETRY_FRESH,
    }
)

_EVENT_CHARACTERS = 1024  # the API server's bound on an event's message


def events_between(
    previous: Mapping[str, Any], status: Mapping[str, Any], *, watched: Iterable[ConditionType] = ()
) -> tuple[Event, ...]:
    """Return an event for a new reason of `Ready`, and one for each `watched` condition that turned true or false.

    The same statuses give none, so that a look that changes nothing says nothing.
    """
    before, after = _conditions(previous), _conditions(status)
    told = []
    if find(before, ConditionType.READY).get("reason") != find(after, ConditionType.READY).get("reason"):
        told.append(_event(find(after, ConditionType.READY)))
    for kind in watched:
        old, new = find(before, kind), find(after, kind)
        if {old.get("status"), new.get("status")} == {"True", "False"}:
            told.append(_event(new))
    return tuple(told)


def _event(condition: Mapping[str, Any]) -> Event:
    reason = Reason(condition["reason"])
    message = str(condition.get("message", ""))[:_EVENT_CHARACTERS]
    return Event(reason=reason, message=message, type="Normal" if reason in _NORMAL else "Warning")


def _conditions(status: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [one for one in status.get("conditions") or [] if isinstance(one, Mapping)]
