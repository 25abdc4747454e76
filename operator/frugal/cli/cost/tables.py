"""Money as text: aligned tables of at most 100 columns, CSV and JSON. Computes nothing."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any

from frugal.cli.cost.groups import Group, totals
from frugal.cli.cost.lines import Line, scale_to_zero_monthly
from frugal.units import rfc3339

WIDTH = 100
UNKNOWN = "-"

Cells = list[str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Table:
    """Headings, rows, and notes below. The first column is text and gives way where the table is too wide."""

    headings: Cells
    rows: list[Cells]
    notes: tuple[str, ...] = ()

    def text(self) -> str:
        """Return it aligned, within WIDTH columns."""
        if not self.rows:
            return "\n".join(["nothing to show", *self.notes])
        lines = [self.headings, *self.rows]
        widths = [max(len(line[column]) for line in lines) for column in range(len(self.headings))]
        widths[0] = max(4, min(widths[0], WIDTH - sum(widths[1:]) - 2 * (len(widths) - 1)))
        shown = [
            "  ".join(
                [
                    _cut(line[0], widths[0]),
                    *(cell.rjust(width) for cell, width in zip(line[1:], widths[1:], strict=True)),
                ]
            ).rstrip()
            for line in lines
        ]
        return "\n".join([*shown, *self.notes])

    def csv(self) -> str:
        """Return it as CSV with a heading."""
        out = io.StringIO()
        csv.writer(out, lineterminator="\n").writerows([self.headings, *self.rows])
        return out.getvalue()


def cost_table(groups: Sequence[Group], lines: Sequence[Line], *, since_text: str) -> Table:
    """Return what each group costs, and the total of each currency."""
    headings = ["WORKLOAD", "HOURLY", f"SINCE {since_text}", "MONTH", "FORECAST", "BUDGET", "CURRENCY"]
    rows = [_cost_row(one.key, one) for one in groups]
    rows += [_cost_row("TOTAL", one) for one in totals(lines)] if rows else []
    return Table(headings=headings, rows=rows, notes=_notes(lines))


def savings_table(lines: Sequence[Line]) -> Table:
    """Return what each service saved: allocated with its bounds, and what of it is realized."""
    headings = ["WORKLOAD", "BEFORE/H", "NOW/H", "ALLOCATED", "LOW", "HIGH", "REALIZED", "CURRENCY"]
    saved = [one for one in lines if one.savings is not None]
    rows = []
    for one in saved:
        assert one.savings is not None
        kept = one.savings
        amounts = (kept.since_creation, kept.low, kept.high, kept.realized)
        rows.append([_name(one), hourly(kept.reference_hourly), hourly(one.hourly), *map(money, amounts), one.currency])
    for total in totals(saved) if saved else ():
        rows.append(
            ["TOTAL", "", hourly(total.hourly), money(total.allocated), "", "", money(total.realized), total.currency]
        )
    notes = (
        "",
        "ALLOCATED: smaller requests, against the size before the first change. LOW, HIGH: had that size",
        "followed the load. REALIZED: of it, what is no longer paid for, because nodes went.",
    )
    return Table(headings=headings, rows=rows, notes=notes if rows else ("no size was changed yet",))


def idle_table(lines: Sequence[Line]) -> Table:
    """Return what is paid and not used, the most first, and what running nothing would save where nobody asks."""
    headings = ["WORKLOAD", "HOURLY", "IDLE/H", "CPU", "MEMORY", "GPU", "REQUESTS/S", "TO ZERO/MONTH", "CURRENCY"]
    known = [one for one in lines if one.idle_hourly is not None and one.hourly]
    known.sort(key=lambda one: (-(one.idle_hourly or Decimal(0)), one.namespace, one.name))
    rows = [
        [
            _name(one),
            hourly(one.hourly),
            hourly(one.idle_hourly),
            *(ratio(one.utilization.get(name)) for name in ("cpu", "memory", "gpu")),
            UNKNOWN if one.requests_per_second is None else f"{one.requests_per_second:.3g}",
            money(scale_to_zero_monthly(one)),
            one.currency,
        ]
        for one in known
    ]
    idle = [one for one in known if one.is_idle]
    notes = (f"\n{len(idle)} of {len(known)} serve nobody: `replicas.min: 0` lets them go to zero.",) if idle else ()
    return Table(headings=headings, rows=rows, notes=notes)


def as_json(lines: Sequence[Line], *, since: datetime, now: datetime) -> str:
    """Return every figure, money as decimal strings, with the moment of which it speaks."""
    content = {
        "observedAt": rfc3339(now),
        "since": rfc3339(since),
        "totals": [_total_json(one) for one in totals(lines)],
        "workloads": [_line_json(one) for one in lines],
    }
    return json.dumps(content, indent=2) + "\n"


def money(amount: Decimal | None) -> str:
    """Return an amount in cents."""
    return UNKNOWN if amount is None else f"{amount:.2f}"


def hourly(amount: Decimal | None) -> str:
    """Return an hourly rate, which is small: four places."""
    return UNKNOWN if amount is None else f"{amount:.4f}"


def ratio(share: float | None) -> str:
    """Return a share in percent."""
    return UNKNOWN if share is None else f"{share * 100:.0f} %"


def _cost_row(key: str, group: Group) -> Cells:
    return [
        key,
        hourly(group.hourly) if group.currency else UNKNOWN,
        *(
            money(amount if group.currency else None)
            for amount in (group.spent, group.month_to_date, group.forecast_month, group.budget)
        ),
        group.currency or UNKNOWN,
    ]


def _notes(lines: Sequence[Line]) -> tuple[str, ...]:
    notes = [
        f"over budget: {_name(one)}, forecast {money(one.forecast_month)} of {money(one.budget)} {one.currency}"
        for one in lines
        if one.is_over_budget
    ]
    unpriced = [one for one in lines if one.problem]
    if unpriced:
        notes.append(
            f"{len(unpriced)} without a price, left out of every sum: {_name(unpriced[0])}: {unpriced[0].problem}"
        )
    return ("", *(note if len(note) <= WIDTH else note[: WIDTH - 1] + "…" for note in notes)) if notes else ()


def _name(line: Line) -> str:
    return f"{line.namespace}/{line.name}"


def _cut(text: str, width: int) -> str:
    return text.ljust(width) if len(text) <= width else text[: width - 1] + "…"


def _total_json(group: Group) -> dict[str, Any]:
    return {
        "currency": group.currency,
        "hourly": str(group.hourly),
        "spent": str(group.spent),
        "monthToDate": str(group.month_to_date),
        "forecastMonth": str(group.forecast_month),
        "savingsAllocated": str(group.allocated),
        "savingsRealized": str(group.realized),
        "withoutPrice": group.unpriced,
    }


def _line_json(line: Line) -> dict[str, Any]:
    def text(amount: Decimal | None) -> str | None:
        return None if amount is None else str(amount)

    found: dict[str, Any] = {
        "kind": line.kind,
        "namespace": line.namespace,
        "name": line.name,
        "labels": dict(line.labels),
        "currency": line.currency,
        "hourly": text(line.hourly),
        "hourlyByResource": {name: str(part) for name, part in line.by_resource.items()},
        "spent": text(line.spent),
        "monthToDate": text(line.month_to_date),
        "forecastMonth": text(line.forecast_month),
        "budget": text(line.budget),
        "idleHourly": text(line.idle_hourly),
        "isIdle": line.is_idle,
        "utilization": dict(line.utilization),
        "savings": line.savings.to_json() if line.savings is not None else None,
        "days": {day: str(amount) for day, amount in line.days.items()},
        "problem": line.problem,
    }
    return {name: value for name, value in found.items() if value not in (None, "")}
