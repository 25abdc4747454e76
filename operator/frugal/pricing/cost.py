"""What a size costs and what it has cost: per hour, this month, at the month's end, and against what ran before.

Accruing is exact over any number of steps, up to the six decimal places that status keeps. Months are UTC.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from frugal.api.price_book import PriceBook, Pricing
from frugal.api.result import Usage
from frugal.api.status import CostStatus, JobCost, Saving, SavingsStatus, Size
from frugal.errors import PriceUnknown
from frugal.pricing.pricebook import NO_MONEY, HourlyCost, hourly_price
from frugal.units import HOURS_PER_MONTH, Quantity, parse_rfc3339, rfc3339

SMALLEST = Decimal("0.000001")  # what status keeps of money
MICROSECONDS_PER_HOUR = 3_600_000_000
NODE_RESOURCES = frozenset({"cpu", "memory", "ephemeral-storage"})


def size_hourly(
    book: PriceBook,
    size: Size,
    *,
    node_labels: Mapping[str, str] | None = None,
    pricing: Pricing | None = Pricing.ON_DEMAND,
) -> HourlyCost:
    """Return what all replicas of a size cost an hour on nodes with these labels; raises PriceUnknown."""
    replica = hourly_price(
        book,
        node_labels=node_labels or {},
        pricing=pricing,
        cores=size.cpu.value,
        memory_bytes=size.memory.value,
        gpus={size.accelerator: size.count} if size.count else {},
    )
    return replica.times(size.replicas)


def accrue(previous: CostStatus | None, *, hourly: Decimal, now: datetime, currency: str) -> CostStatus:
    """Return the cost as of `now`: the month so far, with `previous.hourly` since it was observed, and its forecast.

    hourly: what it costs from now on. A new month, or another currency, starts at 0. Clocks going back add nothing.
    """
    moment = _whole_second(now)
    so_far = NO_MONEY
    if previous is not None and previous.currency == currency:
        observed = parse_rfc3339(previous.observed_at)
        start = month_start(moment)
        so_far = previous.month_to_date if observed >= start else NO_MONEY
        so_far += previous.hourly * hours_between(max(observed, start), moment)
    forecast = so_far + hourly * hours_between(moment, next_month(moment))
    return CostStatus(
        hourly=rounded(hourly),
        month_to_date=rounded(so_far),
        forecast_month=rounded(forecast),
        currency=currency,
        observed_at=rfc3339(max(moment, parse_rfc3339(previous.observed_at)) if previous else moment),
    )


def accrue_savings(
    previous: SavingsStatus | None, *, reference_hourly: Decimal, hourly: Decimal, now: datetime
) -> SavingsStatus:
    """Return the savings as of `now`: what the reference would have cost since the last time, less what ran.

    reference_hourly: cost of the size before Frugal's first change, at today's prices.
    hourly: cost of the size that ran since `previous` was observed.
    """
    moment = _whole_second(now)
    saved, observed = NO_MONEY, moment
    if previous is not None:
        observed = parse_rfc3339(previous.observed_at)
        saved = previous.since_creation + (previous.reference_hourly - hourly) * hours_between(observed, moment)
    return SavingsStatus(
        since_creation=rounded(saved),
        reference_hourly=rounded(reference_hourly),
        observed_at=rfc3339(max(moment, observed)),
    )


def saving(current_hourly: Decimal, recommended_hourly: Decimal) -> Saving:
    """Return what a change saves a month of 730 hours, and in percent of the present cost (0 where that is nothing)."""
    difference = current_hourly - recommended_hourly
    percent = float(difference / current_hourly * 100) if current_hourly else 0.0
    return Saving(monthly=rounded(difference * HOURS_PER_MONTH), percent=round(percent, 1))


def job_cost(
    usage: Usage,
    *,
    requests: Mapping[str, Quantity],
    wall_seconds: float,
    book: PriceBook | None,
    node_labels: Mapping[str, str] | None = None,
    pricing: Pricing | None = Pricing.ON_DEMAND,
) -> JobCost:
    """Return what a pod cost over `wall_seconds`: of CPU and memory what it requested or used, whichever is more.

    The amount is absent where there is no price book or a price is missing.
    """
    gpus = {name: amount.whole for name, amount in requests.items() if name not in NODE_RESOURCES}
    measured = JobCost(cpu_seconds=usage.cpu_seconds, gpu_seconds=sum(gpus.values()) * wall_seconds)
    if book is None or wall_seconds <= 0:
        return measured
    hours = Decimal(str(wall_seconds)) / 3600
    used_cores = Decimal(str(usage.cpu_seconds)) / Decimal(str(wall_seconds))
    try:
        hourly = hourly_price(
            book,
            node_labels=node_labels or {},
            pricing=pricing,
            cores=max(requests.get("cpu", Quantity(0)).value, used_cores),
            memory_bytes=max(requests.get("memory", Quantity(0)).value, Decimal(usage.peak_memory_bytes)),
            gpus=gpus,
        )
    except PriceUnknown:
        return measured
    return measured.model_copy(update={"amount": rounded(hourly.total * hours), "currency": book.currency})


def rounded(amount: Decimal) -> Decimal:
    """Return money with the six decimal places that status keeps, without trailing zeros beyond the second."""
    exact = amount.quantize(SMALLEST, rounding=ROUND_HALF_EVEN)
    cents = exact.quantize(Decimal("0.01"), rounding=ROUND_HALF_EVEN)
    return cents if cents == exact else exact.normalize()


def hours_between(start: datetime, end: datetime) -> Decimal:
    """Return the hours from `start` to `end`, exactly; 0 when `end` is earlier."""
    microseconds = (end - start) // timedelta(microseconds=1)
    return Decimal(max(0, microseconds)) / MICROSECONDS_PER_HOUR


def month_start(moment: datetime) -> datetime:
    """Return the first moment of the month, in UTC."""
    return moment.astimezone(UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def next_month(moment: datetime) -> datetime:
    """Return the first moment of the next month, in UTC."""
    return month_start(month_start(moment) + timedelta(days=31))


def _whole_second(moment: datetime) -> datetime:
    """Status names whole seconds: what lies after them is accrued the next time."""
    return moment.astimezone(UTC).replace(microsecond=0)
