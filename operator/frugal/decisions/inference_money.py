"""What serving costs and has saved, as the status keeps it. Figures move with a decision, else every 15 minutes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from frugal.api.conditions import ConditionType, Reason
from frugal.api.inference_deployment import Budget, InferenceDeploymentSpec
from frugal.api.money import CostStatus, SavingsStatus
from frugal.api.status import InferenceDeploymentStatus, Size
from frugal.decisions.conditions import Told
from frugal.decisions.snapshot import InferenceSnapshot
from frugal.pricing.budget import allowance
from frugal.pricing.cost import accrue, rounded
from frugal.pricing.savings import Surroundings, accrue_savings, first_savings

REFRESH_SECONDS = 900.0  # api: figures in status, at most every 15 minutes without a decision


@dataclass(frozen=True, slots=True, kw_only=True)
class Account:
    """Cost and savings now; None where a price is missing, or where nothing was changed yet."""

    cost: CostStatus | None
    savings: SavingsStatus | None


def accounted(
    before: InferenceDeploymentStatus,
    *,
    hourly: Decimal | None,
    by_resource: Mapping[str, Decimal],
    present: Size,
    present_hourly: Decimal | None,
    around: Surroundings,
    is_changed: bool,
    is_due: bool,
    currency: str,
    now: datetime,
) -> Account:
    """Return cost and savings as of now, or as they stand where nothing is due.

    hourly: of the size that runs from now on. present, present_hourly: the one that ran until now.
    is_changed: whether right-sizing changes the size with this plan: its first change makes the reference.
    """
    cost, savings = before.cost, before.savings
    if hourly is None:
        return Account(cost=cost, savings=savings)
    if cost is not None and cost.currency == currency and cost.hourly == rounded(hourly) and not is_due:
        return Account(cost=cost, savings=savings)
    if savings is not None:
        ran = cost.hourly if cost is not None else hourly
        savings = accrue_savings(savings, hourly=ran, around=around, now=now)
    elif is_changed and present_hourly is not None:
        savings = first_savings(present, hourly=present_hourly, around=around, now=now)
    running = accrue(cost, hourly=hourly, by_resource=by_resource, now=now, currency=currency)
    return Account(cost=running, savings=savings)


def surroundings(seen: InferenceSnapshot) -> Surroundings:
    """Return the nodes and the load of a service as they are seen now."""
    nodes = {str((pod.get("spec") or {}).get("nodeName") or "") for pod in seen.children.pods}
    load = seen.measured.load if seen.measured is not None else None
    return Surroundings(
        own_nodes=nodes - {""},
        all_nodes=tuple(seen.environment.node_labels),
        requests_per_second=load.rate if load is not None else None,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Limit:
    """The budget that binds a service: its own, or its part of its namespace's, which is then named."""

    budget: Budget
    namespace: str = ""

    def __str__(self) -> str:
        part = f"its part, of the budget of namespace {self.namespace}," if self.namespace else "the budget of"
        return f"{part} {self.budget.monthly:.2f}"


def limit_of(spec: InferenceDeploymentSpec, seen: InferenceSnapshot, cost: CostStatus | None) -> Limit | None:
    """Return the tighter of a service's own budget and its part of its namespace's; None where there is neither."""
    own = Limit(budget=spec.budget) if spec.budget is not None else None
    part = _part_of_namespace(seen, cost)
    if own is None or part is None:
        return own or part
    return part if part.budget.monthly < own.budget.monthly else own


def _part_of_namespace(seen: InferenceSnapshot, cost: CostStatus | None) -> Limit | None:
    prices, namespace = seen.environment.prices, seen.manifest["metadata"]["namespace"]
    if prices is None or seen.namespace_forecast is None or cost is None or cost.currency != prices.currency:
        return None
    shared = next(one for one in prices.budgets if one.namespace == namespace)
    total = max(seen.namespace_forecast, cost.forecast_month)
    part = rounded(allowance(shared.monthly, own=cost.forecast_month, total=total))
    return Limit(budget=Budget(monthly=part, currency=prices.currency, on_exceed=shared.on_exceed), namespace=namespace)


def told_budget(
    limit: Limit | None, cost: CostStatus | None, *, problem: str, has_prices: bool, capped_from: int | None
) -> Told:
    """Return `WithinBudget` with its figures.

    problem: why the cost is not known. has_prices: whether there is a price book at all: then a price that is missing
    in it is said without a budget too. capped_from: replicas that were wanted before the budget cut them.
    """
    kind = ConditionType.WITHIN_BUDGET
    if limit is None and problem and has_prices:
        return Told(kind, None, Reason.PRICE_MISSING, problem)
    if limit is None:
        return Told(kind, None, Reason.NO_BUDGET, "the spec has no budget")
    if cost is None or problem:
        return Told(kind, None, Reason.PRICE_MISSING, problem or "the cost is not known yet")
    budget = limit.budget
    if cost.currency != budget.currency:
        message = f"spec.budget.currency is {budget.currency}, the price book has {cost.currency}; give both the same"
        return Told(kind, None, Reason.PRICE_MISSING, message)
    cut = f"; {capped_from} replicas were wanted, onExceed: Cap" if capped_from is not None else ""
    within = cost.forecast_month <= budget.monthly
    words = "within" if within else "over"
    message = f"forecast {cost.forecast_month:.2f} {cost.currency} is {words} {limit}{cut}"
    return Told(kind, within, Reason.WITHIN_BUDGET if within else Reason.OVER_BUDGET, message)
