"""When not to act: a restart that only saves money waits for its time, everything else goes at once. Computes no size.

Held back are smaller requests and another accelerator. Never held back: replicas, growth, memory after a kill.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

from frugal.api.conditions import Reason
from frugal.api.inference_deployment import change_window_parts
from frugal.api.status import Size
from frugal.units import Quantity, duration_text, rfc3339

DEAD_BAND_RATIO = 0.1  # VPA: pod-update-threshold
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """Why a change must wait."""

    reason: Reason
    message: str


@dataclass(frozen=True, slots=True, kw_only=True)
class ProposedChange:
    """A change of size, and what speaks for and against making it now.

    kept_hourly: cost of `proposed.replicas` replicas as they are; proposed_hourly: cost of `proposed`; both None where
        a price is missing. Their difference is what the restart alone saves.
    last_change: when the present size was applied; None when it never changed.
    """

    now: datetime
    applied: Size
    proposed: Size
    kept_hourly: Decimal | None = None
    proposed_hourly: Decimal | None = None
    last_change: datetime | None = None
    cooldown_seconds: float = 1_800.0
    min_saving_percent: float = 5.0
    change_windows: tuple[str, ...] = ()


def urgent_part(applied: Size, proposed: Size) -> Size:
    """Return `applied` with everything in it that must not wait: the proposed replicas, and what grows.

    A limit that grows while its request shrinks belongs to the shrinking: it is no reason for a restart of its own.
    """
    memory_shrinks = proposed.memory.value < applied.memory.value
    limit = applied.memory_limit if memory_shrinks else _larger_limit(applied.memory_limit, proposed.memory_limit)
    return applied.model_copy(
        update={
            "replicas": proposed.replicas,
            "cpu": _larger(applied.cpu, proposed.cpu),
            "memory": _larger(applied.memory, proposed.memory),
            "memory_limit": limit,
        }
    )


def hold(change: ProposedChange) -> Objection | None:
    """Return the first objection to the part of the change that can wait; None when there is no such part, or none."""
    if urgent_part(change.applied, change.proposed) == change.proposed:
        return None
    return next((found for check in HOLD_CHECKS if (found := check(change)) is not None), None)


def within_dead_band(change: ProposedChange) -> Objection | None:
    """Object when no request changes by a tenth: that is noise, not news."""
    applied, proposed = change.applied, change.proposed
    if (applied.accelerator, applied.count) != (proposed.accelerator, proposed.count):
        return None
    moved = max(_relative(applied.cpu, proposed.cpu), _relative(applied.memory, proposed.memory))
    if moved >= DEAD_BAND_RATIO:
        return None
    message = f"requests would change by {moved:.0%}, less than {DEAD_BAND_RATIO:.0%}"
    return Objection(reason=Reason.WITHIN_DEAD_BAND, message=message)


def saves_too_little(change: ProposedChange) -> Objection | None:
    """Object when the restart alone saves less than `min_saving_percent`; without prices nothing is compared."""
    if change.kept_hourly is None or change.proposed_hourly is None or change.kept_hourly <= 0:
        return None
    percent = float((change.kept_hourly - change.proposed_hourly) / change.kept_hourly * 100)
    if percent >= change.min_saving_percent:
        return None
    message = f"the change would save {percent:.1f} %, less than minSaving {change.min_saving_percent:g} %"
    return Objection(reason=Reason.WITHIN_DEAD_BAND, message=message)


def cooling_down(change: ProposedChange) -> Objection | None:
    """Object within the cooldown after the last change."""
    if change.last_change is None:
        return None
    age = (change.now - change.last_change).total_seconds()
    if age >= change.cooldown_seconds:
        return None
    message = f"the last change was {duration_text(age)} ago, the cooldown is {duration_text(change.cooldown_seconds)}"
    return Objection(reason=Reason.COOLING_DOWN, message=message)


def outside_change_window(change: ProposedChange) -> Objection | None:
    """Object outside of every change window, when there are any."""
    if change_window_open(change.change_windows, change.now):
        return None
    listed = ", ".join(change.change_windows)
    message = f"{rfc3339(change.now)} is outside of the change windows {listed}"
    return Objection(reason=Reason.OUTSIDE_CHANGE_WINDOW, message=message)


HOLD_CHECKS = (within_dead_band, saves_too_little, cooling_down, outside_change_window)


def change_window_open(windows: tuple[str, ...], now: datetime) -> bool:
    """Tell whether `now` lies in one of `windows`, such as "Mon-Fri 02:00-05:00 UTC"; always when there are none.

    Times are wall time in the window's zone: on the day when clocks go forward a window inside the missing hour does
    not open, when they go back it is open in both of the repeated hours. One that ends at or before its start ends on
    the next day; its days are those on which it starts. The end is not part of it.
    """
    return not windows or any(_is_open(window, now) for window in windows)


def _is_open(window: str, now: datetime) -> bool:
    first, last, start, end, zone = change_window_parts(window)
    local = now.astimezone(ZoneInfo(zone))
    minute = f"{local.hour:02}:{local.minute:02}"
    if start < end:
        return start <= minute < end and _covers(first, last, local)
    return (minute >= start and _covers(first, last, local)) or (
        minute < end and _covers(first, last, local - timedelta(days=1))
    )


def _covers(first: str, last: str, local: datetime) -> bool:
    """Tell whether the weekday lies in the range, which may go round the end of the week (Fri-Mon)."""
    start, end, day = DAYS.index(first), DAYS.index(last), local.weekday()
    return (day - start) % 7 <= (end - start) % 7


def _larger(one: Quantity, other: Quantity) -> Quantity:
    return other if other.value > one.value else one


def _larger_limit(applied: Quantity | None, proposed: Quantity | None) -> Quantity | None:
    return None if applied is None or proposed is None else _larger(applied, proposed)


def _relative(applied: Quantity, proposed: Quantity) -> float:
    if not applied.value:
        return 0.0 if not proposed.value else 1.0
    return float(abs(proposed.value - applied.value) / applied.value)
