"""What serving costs and has saved, as the status keeps it. Figures move with a decision, else every 15 minutes."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from frugal.api.conditions import ConditionType, Reason
from frugal.api.inference_deployment import Budget
from frugal.api.status import CostStatus, InferenceDeploymentStatus, SavingsStatus
from frugal.decisions.conditions import Told
from frugal.pricing.cost import accrue, accrue_savings, rounded

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
    present_hourly: Decimal | None,
    is_changed: bool,
    is_due: bool,
    currency: str,
    now: datetime,
) -> Account:
    """Return cost and savings as of now, or as they stand where nothing is due.

    hourly: of the size that runs from now on. present_hourly: of the one that ran until now.
    is_changed: whether right-sizing changes the size with this plan: its first change makes the reference.
    """
    cost, savings = before.cost, before.savings
    if hourly is None:
        return Account(cost=cost, savings=savings)
    if cost is not None and cost.currency == currency and cost.hourly == rounded(hourly) and not is_due:
        return Account(cost=cost, savings=savings)
    if savings is not None:
        ran = cost.hourly if cost is not None else hourly
        savings = accrue_savings(savings, reference_hourly=savings.reference_hourly, hourly=ran, now=now)
    elif is_changed and present_hourly is not None:
        savings = accrue_savings(None, reference_hourly=present_hourly, hourly=present_hourly, now=now)
    return Account(cost=accrue(cost, hourly=hourly, now=now, currency=currency), savings=savings)


def told_budget(budget: Budget | None, cost: CostStatus | None, *, problem: str, capped_from: int | None) -> Told:
    """Return `WithinBudget` with its figures.

    problem: why the cost is not known. capped_from: replicas that were wanted before the budget cut them.
    """
    kind = ConditionType.WITHIN_BUDGET
    if budget is None:
        return Told(kind, None, Reason.NO_BUDGET, "the spec has no budget")
    if cost is None or problem:
        return Told(kind, None, Reason.PRICE_MISSING, problem or "the cost is not known yet")
    if cost.currency != budget.currency:
        message = f"spec.budget.currency is {budget.currency}, the price book has {cost.currency}; give both the same"
        return Told(kind, None, Reason.PRICE_MISSING, message)
    cut = f"; {capped_from} replicas were wanted, onExceed: Cap" if capped_from is not None else ""
    within = cost.forecast_month <= budget.monthly
    words = "within" if within else "over"
    message = f"forecast {cost.forecast_month:.2f} {cost.currency} is {words} the budget of {budget.monthly:.2f}{cut}"
    return Told(kind, within, Reason.WITHIN_BUDGET if within else Reason.OVER_BUDGET, message)
