"""One line of money for each object, as its status tells it, brought forward to one moment. Reads and prints nothing.

The same arithmetic as /metrics has: for the same moment both show the same cents.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from statistics import fmean
from typing import Any

from pydantic import ValidationError

from frugal.api.conditions import ConditionType
from frugal.api.money import CostStatus, DayCost, SavingsStatus
from frugal.api.status import CompressionJobStatus, InferenceDeploymentStatus
from frugal.decisions.tracked import TrackedRun
from frugal.pricing.cost import accrue, hours_between, month_start, next_month, rounded, spent_on, spent_since
from frugal.units import HOURS_PER_MONTH, parse_rfc3339

Manifest = Mapping[str, Any]
COMPRESSION_JOB = "CompressionJob"
INFERENCE_DEPLOYMENT = "InferenceDeployment"
NOTHING = Decimal(0)
IDLE_BELOW_RATIO = 0.05  # of everything that was measured, beside no request at all: idle by any account


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one object costs, has cost and has saved, in its own currency. None is "not known".

    spent: since the moment that was asked for. month_to_date, forecast_month: of the calendar month, UTC.
    idle_hourly: of hourly, what is requested and not used. utilization: used / requested by resource.
    """

    kind: str
    namespace: str
    name: str
    currency: str = ""
    labels: Mapping[str, str] = field(default_factory=dict)
    hourly: Decimal | None = None
    by_resource: Mapping[str, Decimal] = field(default_factory=dict)
    spent: Decimal | None = None
    month_to_date: Decimal | None = None
    forecast_month: Decimal | None = None
    budget: Decimal | None = None
    days: Mapping[str, Decimal] = field(default_factory=dict)
    savings: SavingsStatus | None = None
    utilization: Mapping[str, float] = field(default_factory=dict)
    requests_per_second: float | None = None
    idle_hourly: Decimal | None = None
    problem: str = ""

    @property
    def is_over_budget(self) -> bool:
        """Whether the month's forecast is over the object's budget."""
        return self.budget is not None and self.forecast_month is not None and self.forecast_month > self.budget

    @property
    def is_idle(self) -> bool:
        """Whether it runs for nobody: no request at the last look, or next to nothing used of what was measured."""
        if not self.hourly:
            return False
        if self.requests_per_second is not None:
            return self.requests_per_second == 0
        return bool(self.utilization) and max(self.utilization.values()) < IDLE_BELOW_RATIO


def lines_of(manifests: Iterable[Manifest], *, since: datetime, now: datetime) -> tuple[Line, ...]:
    """Return a line for each object of ours, in order of namespace and name; others are passed over."""
    made = [
        _inference(one, since, now) if one["kind"] == INFERENCE_DEPLOYMENT else _compression(one, since, now)
        for one in manifests
        if one["kind"] in (INFERENCE_DEPLOYMENT, COMPRESSION_JOB)
    ]
    return tuple(sorted(made, key=lambda one: (one.namespace, one.name, one.kind)))


def tracked_lines(runs: Iterable[TrackedRun], *, since: datetime, now: datetime) -> tuple[Line, ...]:
    """Return a line for each workload whose pods opted in: all pods of one controller together."""
    found: dict[tuple[str, str, str, str], list[TrackedRun]] = {}
    for run in runs:
        found.setdefault((run.namespace, run.name, run.kind, run.currency), []).append(run)
    return tuple(_tracked(ones, since, now) for _, ones in sorted(found.items()))


def idle_hourly(by_resource: Mapping[str, Decimal], utilization: Mapping[str, float]) -> Decimal | None:
    """Return what of the hourly cost nobody used; None where nothing was measured.

    A resource that was not measured, such as storage, counts as used.
    """
    if not any(name in utilization for name in by_resource):
        return None
    parts = (
        part * (1 - Decimal(str(min(1.0, max(0.0, utilization[name])))))
        for name, part in by_resource.items()
        if name in utilization
    )
    return rounded(sum(parts, start=NOTHING))


def scale_to_zero_monthly(line: Line) -> Decimal | None:
    """Return what running nothing would save a month; None for what is not idle."""
    return rounded(line.hourly * HOURS_PER_MONTH) if line.is_idle and line.hourly is not None else None


def _inference(manifest: Manifest, since: datetime, now: datetime) -> Line:
    try:
        status = InferenceDeploymentStatus.model_validate(manifest.get("status") or {})
    except ValidationError:
        status = InferenceDeploymentStatus()
    budget = ((manifest.get("spec") or {}).get("budget") or {}).get("monthly")
    figures = {} if status.cost is None else _money(status.cost, since, now)
    measured = status.utilization
    ratios = {"cpu": measured.cpu, "memory": measured.memory, "gpu": measured.gpu} if measured is not None else {}
    used = {name: ratio for name, ratio in ratios.items() if ratio is not None}
    return Line(
        **_identity(manifest),
        **figures,
        budget=Decimal(budget) if budget is not None else None,
        savings=status.savings,
        utilization=used,
        requests_per_second=measured.requests_per_second if measured is not None else None,
        idle_hourly=idle_hourly(status.cost.hourly_by_resource, used) if status.cost is not None else None,
        problem=_problem(manifest) if status.cost is None and status.applied is not None else "",
    )


def _money(cost: CostStatus, since: datetime, now: datetime) -> dict[str, Any]:
    running = accrue(cost, hourly=cost.hourly, now=now, currency=cost.currency)
    return {
        "currency": cost.currency,
        "hourly": cost.hourly,
        "by_resource": cost.hourly_by_resource or {"all": cost.hourly},
        "spent": running.month_to_date if since == month_start(now) else spent_since(cost, since=since, now=now),
        "month_to_date": running.month_to_date,
        "forecast_month": running.forecast_month,
        "days": {one.day: one.amount for one in running.days},
    }


def _compression(manifest: Manifest, since: datetime, now: datetime) -> Line:
    try:
        status = CompressionJobStatus.model_validate(manifest.get("status") or {})
    except ValidationError:
        status = CompressionJobStatus()
    used = status.utilization
    ratios = {"cpu": used.cpu, "memory": used.memory, "gpu": used.gpu} if used is not None else {}
    utilization = {name: ratio for name, ratio in ratios.items() if ratio is not None}
    cost = status.cost
    if status.finished_at is None or cost is None or cost.amount is None:
        missing = cost.problem or "no price for what it ran on" if cost is not None else ""
        return Line(**_identity(manifest), utilization=utilization, problem=missing)
    ended = parse_rfc3339(status.finished_at)
    this_month = cost.amount if ended >= month_start(now) else NOTHING
    return Line(
        **_identity(manifest),
        currency=cost.currency,
        hourly=NOTHING,
        spent=cost.amount if ended >= since else NOTHING,
        month_to_date=this_month,
        forecast_month=this_month,
        days={f"{ended:%Y-%m-%d}": cost.amount},
        utilization=utilization,
    )


def _tracked(runs: Sequence[TrackedRun], since: datetime, now: datetime) -> Line:
    first = runs[0]
    costing = [part for run in runs for part in run.hourly.by_resource().items() if part[1]]
    by_resource = {
        name: rounded(sum((part for key, part in costing if key == name), start=NOTHING)) for name, _ in costing
    }
    hourly = sum(by_resource.values(), start=NOTHING)
    days: dict[str, Decimal] = {}
    for one in (day for run in runs for day in run.days):
        days[one.day] = days.get(one.day, NOTHING) + one.amount
    month = sum((amount for day, amount in days.items() if day >= f"{month_start(now):%Y-%m-%d}"), start=NOTHING)
    measured = [run.utilization for run in runs if run.utilization]
    utilization = {
        name: fmean(one[name] for one in measured if name in one)
        for name in ("cpu", "memory")
        if any(name in one for one in measured)
    }
    is_priced = not first.problem
    return Line(
        kind=first.kind,
        namespace=first.namespace,
        name=first.name,
        labels=first.labels,
        currency=first.currency,
        hourly=hourly if is_priced else None,
        by_resource=by_resource,
        spent=_since(days, since, now) if is_priced else None,
        month_to_date=month if is_priced else None,
        forecast_month=month + rounded(hourly * hours_between(now, next_month(now))) if is_priced else None,
        days=days,
        utilization=utilization,
        idle_hourly=idle_hourly(by_resource, utilization),
        problem=first.problem,
    )


def _since(days: Mapping[str, Decimal], since: datetime, now: datetime) -> Decimal:
    """Return what the days cost from `since` on; of the first day in proportion to time."""
    kept = [DayCost(day=day, amount=amount) for day, amount in sorted(days.items())]
    return spent_on(kept, since=since, now=now)


def _identity(manifest: Manifest) -> dict[str, Any]:
    metadata = manifest["metadata"]
    return {
        "kind": manifest["kind"],
        "namespace": metadata.get("namespace", "default"),
        "name": metadata["name"],
        "labels": metadata.get("labels") or {},
    }


def _problem(manifest: Manifest) -> str:
    """Return why a running service has no cost, as its condition says."""
    for one in (manifest.get("status") or {}).get("conditions") or []:
        if one.get("type") == ConditionType.WITHIN_BUDGET.value and one.get("reason") == "PriceMissing":
            return str(one.get("message", ""))
    return "no price for what it runs on"
