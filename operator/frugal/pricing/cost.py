"""What a size costs and what it has cost: per hour, by day, this month and at the month's end.

Accruing is exact over any number of steps, up to the six decimal places that status keeps. Months are UTC.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_EVEN, Decimal

from frugal.api.money import DAYS_KEPT, CostStatus, DayCost, JobCost, Saving
from frugal.api.price_book import PriceBook, Pricing
from frugal.api.result import Usage
from frugal.api.status import Size
from frugal.errors import PriceUnknown
from frugal.pricing.allocation import divide
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


def accrue(
    previous: CostStatus | None,
    *,
    hourly: Decimal,
    now: datetime,
    currency: str,
    by_resource: Mapping[str, Decimal] | None = None,
) -> CostStatus:
    """Return the cost as of `now`: the month so far, with `previous.hourly` since it was observed, and its forecast.

    hourly: what it costs from now on. by_resource: its parts, where they are known; they are kept so that they add up.
    A new month, or another currency, starts at 0. Clocks going back add nothing.
    """
    moment = whole_second(now)
    so_far, days = NO_MONEY, list[DayCost]()
    if previous is not None and previous.currency == currency:
        observed = parse_rfc3339(previous.observed_at)
        days = _days(previous, observed, moment)
        start = month_start(moment)
        so_far = previous.month_to_date if observed >= start else NO_MONEY
        so_far += previous.hourly * hours_between(max(observed, start), moment)
    forecast = so_far + hourly * hours_between(moment, next_month(moment))
    return CostStatus(
        hourly=rounded(hourly),
        hourly_by_resource=_parts(rounded(hourly), by_resource or {}),
        month_to_date=rounded(so_far),
        forecast_month=rounded(forecast),
        currency=currency,
        days=days,
        observed_at=rfc3339(max(moment, parse_rfc3339(previous.observed_at)) if previous else moment),
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
    except PriceUnknown as unknown:
        return measured.model_copy(update={"problem": str(unknown)[:512]})
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


def spent_since(cost: CostStatus, *, since: datetime, now: datetime) -> Decimal:
    """Return what was spent from `since` to `now`, as far back as the days are kept; whole days exactly.

    Of the day in which `since` lies, the part after it is taken in proportion to time.
    """
    running = accrue(cost, hourly=cost.hourly, now=now, currency=cost.currency)
    return spent_on(running.days, since=since, now=now)


def spent_on(days: Iterable[DayCost], *, since: datetime, now: datetime) -> Decimal:
    """Return what of these days was spent from `since` on; see `spent_since`."""
    total = NO_MONEY
    for one in days:
        start = datetime.fromisoformat(one.day).replace(tzinfo=UTC)
        end = min(start + timedelta(days=1), now)
        length = hours_between(start, end)
        total += one.amount * hours_between(max(start, since), end) / length if length else NO_MONEY
    return rounded(total)


def _days(previous: CostStatus, observed: datetime, now: datetime) -> list[DayCost]:
    """Return the days as of `now`: each gets what `previous.hourly` cost on it."""
    amounts = {one.day: one.amount for one in previous.days}
    while observed < now:
        midnight = observed.replace(hour=0, minute=0, second=0) + timedelta(days=1)
        day = f"{observed:%Y-%m-%d}"
        amounts[day] = amounts.get(day, NO_MONEY) + previous.hourly * hours_between(observed, min(midnight, now))
        observed = max(midnight, now - timedelta(days=DAYS_KEPT)) if midnight < now else now
    return [DayCost(day=day, amount=rounded(amount)) for day, amount in sorted(amounts.items())][-DAYS_KEPT:]


def _parts(hourly: Decimal, by_resource: Mapping[str, Decimal]) -> dict[str, Decimal]:
    """Return the parts that cost something, rounded so that they add up to the rounded sum."""
    costing = {name: part for name, part in by_resource.items() if part > 0}
    return {name: part for name, part in zip(costing, divide(hourly, list(costing.values())), strict=True) if part > 0}


def whole_second(moment: datetime) -> datetime:
    """Return the moment as status can name it: what lies after its second is accrued the next time."""
    return moment.astimezone(UTC).replace(microsecond=0)
