"""Whether compressing a model pays within its horizon, before the work and after it, in a sentence with its figures.

Assumption, said in every explanation: replicas are bound by computing, so a model that computes r times faster needs
1/r of them and the saving is the serving cost times (1 - 1/r). What is spent is spent once, at the start.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from decimal import Decimal

from frugal.api.compression_job import CostBenefit
from frugal.api.money import Swing, Verdict
from frugal.api.result import Best
from frugal.pricing.cost import rounded
from frugal.pricing.speedup import Speedup
from frugal.units import HOURS_PER_MONTH, duration_text

HOURS_PER_DAY = 24
HOURS_PER_YEAR = 8760
TARGET_UTILIZATION = Decimal("0.7")  # as right-sizing plans a service that has no objective
SWINGS_TOLD = 3
UNCERTAIN = Decimal("0.5")  # load, labour and compute are rarely known better than by half
MILLISECONDS = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCost:
    """What serving the model costs an hour now, or would; `requests_per_second` is the load that this cost carries.

    latency_seconds: of a request now, where it is known; what of it goes away has the worth that the terms give it.
    """

    hourly: Decimal
    requests_per_second: float | None = None
    latency_seconds: float | None = None


def expected_serving_cost(
    requests_per_second: float, *, latency_seconds: float, price_per_core_hour: Decimal
) -> ServingCost:
    """Return what a load would cost on CPU alone: cores = rate * compute time of a request / 70 % utilization."""
    cores = Decimal(str(requests_per_second)) * Decimal(str(latency_seconds)) / TARGET_UTILIZATION
    return ServingCost(
        hourly=cores * price_per_core_hour, requests_per_second=requests_per_second, latency_seconds=latency_seconds
    )


def verdict_before(
    terms: CostBenefit,
    *,
    serving: ServingCost | None,
    compute_cost: Decimal | None,
    currency: str,
    speedup: Speedup,
) -> Verdict:
    """Return the verdict on a predicted speed-up; worthIt is absent when the ends of its interval disagree.

    serving: None where nothing is deployed and no load is given. compute_cost: of the work, None where it cannot be
    priced; it is then left out and said.
    """
    if serving is None:
        return _cannot_tell("neither a deployment with a known cost nor an expected load is given")
    case = _Case.of(terms, serving, compute_cost, speedup)
    at_low, at_high = replace(case, ratio=case.low), replace(case, ratio=case.high)
    worth_it = at_low.pays if at_low.pays == at_high.pays else None
    grounds = f", from {speedup.jobs} earlier jobs" if speedup.jobs else ""
    predicted = f"predicted {speedup.expected:.3g}x faster ({speedup.low:.3g}x to {speedup.high:.3g}x{grounds})"
    doubt = "" if worth_it is not None else f"; at {speedup.low:.3g}x it would not pay"
    return case.verdict(worth_it, f"{predicted}{doubt}", currency)


def verdict_after(
    terms: CostBenefit, *, serving: ServingCost | None, best: Best, compute_cost: Decimal | None, currency: str
) -> Verdict:
    """Return the verdict on the measured speed-up of the published model."""
    if serving is None:
        return _cannot_tell("neither a deployment with a known cost nor an expected load is given")
    ratio = best.latency_ratio
    case = _Case.of(terms, serving, compute_cost, Speedup(low=ratio, expected=ratio, high=ratio))
    return case.verdict(case.pays, f"measured {ratio:.3g}x faster", currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Case:
    """Every figure that the verdict rests on; a tornado moves one of them at a time.

    serving: money an hour. ratio: speed-up, with the ends of its interval. latency_worth: money a month for each
    millisecond less. avoided: spend that falls away at once. discount_rate: a year, as a share.
    """

    serving: Decimal
    ratio: Decimal
    low: Decimal
    high: Decimal
    horizon_hours: Decimal
    compute: Decimal
    labour: Decimal
    bought: Decimal
    avoided: Decimal
    latency_worth: Decimal
    latency_seconds: Decimal | None
    discount_rate: Decimal
    requests_per_second: float | None
    is_compute_priced: bool

    @classmethod
    def of(cls, terms: CostBenefit, serving: ServingCost, compute_cost: Decimal | None, speedup: Speedup) -> _Case:
        latency = serving.latency_seconds
        return cls(
            serving=serving.hourly,
            ratio=Decimal(str(speedup.expected)),
            low=Decimal(str(speedup.low)),
            high=Decimal(str(speedup.high)),
            horizon_hours=Decimal(str(terms.horizon.seconds)) / 3600,
            compute=compute_cost or Decimal(0),
            labour=Decimal(str(terms.labour_hours)) * terms.labour_rate,
            bought=terms.hardware_cost + terms.software_cost + terms.data_cost,
            avoided=terms.avoided_cost,
            latency_worth=terms.latency_worth,
            latency_seconds=Decimal(str(latency)) if latency is not None else None,
            discount_rate=Decimal(str(terms.discount_rate)) / 100,
            requests_per_second=serving.requests_per_second,
            is_compute_priced=compute_cost is not None,
        )

    @property
    def once(self) -> Decimal:
        """Spent at the start: compute, labour, and what is bought."""
        return self.compute + self.labour + self.bought

    @property
    def freed(self) -> Decimal:
        """Share of the computing that is no longer needed; negative for a model that became slower."""
        return 1 - 1 / self.ratio

    @property
    def saved_hourly(self) -> Decimal:
        """Serving cost that falls away an hour."""
        return self.serving * self.freed

    @property
    def gained_hourly(self) -> Decimal:
        """The worth of requests that are answered sooner, an hour; 0 where the latency is not known."""
        if self.latency_seconds is None:
            return Decimal(0)
        return self.latency_worth * self.latency_seconds * MILLISECONDS * self.freed / HOURS_PER_MONTH

    @property
    def benefit_hourly(self) -> Decimal:
        """Both."""
        return self.saved_hourly + self.gained_hourly

    @property
    def net(self) -> Decimal:
        """Net present value: benefits flow evenly over the horizon and are discounted continuously."""
        return self.benefit_hourly * self._hours_counted + self.avoided - self.once

    @property
    def _hours_counted(self) -> Decimal:
        rate = (1 + self.discount_rate).ln() / HOURS_PER_YEAR
        return (1 - (-rate * self.horizon_hours).exp()) / rate if rate else self.horizon_hours

    @property
    def pays(self) -> bool:
        """Whether more comes in than goes out; a case without any benefit never pays."""
        return self.net > 0 and (self.benefit_hourly > 0 or self.avoided > 0)

    @property
    def payback_days(self) -> float | None:
        """When the benefit, not discounted, has paid the cost; None when it never does."""
        open_amount = self.once - self.avoided
        if open_amount <= 0:
            return 0.0
        return float(open_amount / self.benefit_hourly / HOURS_PER_DAY) if self.benefit_hourly > 0 else None

    @property
    def break_even_requests_per_second(self) -> float | None:
        """The load at which it just pays within the horizon: saving grows with the load in proportion."""
        if not self.requests_per_second or self.saved_hourly <= 0 or self.horizon_hours <= 0:
            return None
        needed = self.once - self.avoided - self.gained_hourly * self._hours_counted
        share = max(Decimal(0), needed) / (self.saved_hourly * self._hours_counted)
        return float(Decimal(str(self.requests_per_second)) * share)

    def swings(self) -> list[Swing]:
        """Return the figures that move the net present value most, the most first: a tornado's top bars."""
        found = [swing for swing in map(self._swing, _MOVES) if swing.net_at_low != swing.net_at_high]
        found.sort(key=lambda one: (-abs(one.net_at_high - one.net_at_low), one.figure))
        return found[:SWINGS_TOLD]

    def _swing(self, move: _Move) -> Swing:
        low, high = move.ends(self)
        return Swing(
            figure=move.figure,
            low=move.shown(low),
            high=move.shown(high),
            net_at_low=rounded(low.net),
            net_at_high=rounded(high.net),
        )

    def verdict(self, worth_it: bool | None, speed: str, currency: str) -> Verdict:
        """Return the API's verdict with its sentence."""
        return Verdict(
            worth_it=worth_it,
            monthly_saving=rounded(self.saved_hourly * HOURS_PER_MONTH),
            once=rounded(self.once),
            net_present_value=rounded(self.net),
            payback_days=_short(self.payback_days),
            break_even_requests_per_second=_short(self.break_even_requests_per_second),
            sensitivity=self.swings(),
            explanation=self._sentence(worth_it, speed, currency),
        )

    def _sentence(self, worth_it: bool | None, speed: str, currency: str) -> str:
        answer = {True: "pays", False: "does not pay", None: "may or may not pay"}[worth_it]
        horizon = duration_text(float(self.horizon_hours) * 3600)
        monthly = f"{self.saved_hourly * HOURS_PER_MONTH:.2f} {currency}"
        payback = "it never pays back" if self.payback_days is None else f"paid back in {self.payback_days:.3g} days"
        break_even = self.break_even_requests_per_second
        load = "" if break_even is None else f", from {break_even:.3g} req/s on"
        unpriced = "" if self.is_compute_priced else " (the work's compute has no price and is left out)"
        gained = self.gained_hourly * HOURS_PER_MONTH
        sooner = f", beside {gained:.2f} for answers that come sooner" if gained else ""
        avoided = f" and {self.avoided:.2f} avoided" if self.avoided else ""
        return (
            f"{answer} within {horizon}: {speed}, which saves {monthly} a month where replicas are bound by computing"
            f"{sooner}, against {self.once:.2f} {currency} once{avoided}{unpriced}; net {self.net:.2f}, {payback}{load}"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Move:
    """One figure that a tornado moves, to its pessimistic and to its optimistic end."""

    figure: str
    ends: Callable[[_Case], tuple[_Case, _Case]]
    shown: Callable[[_Case], str]


def _load(case: _Case, factor: Decimal) -> _Case:
    return replace(case, serving=case.serving * factor)


_LESS, _MORE = 1 - UNCERTAIN, 1 + UNCERTAIN
_MOVES = (
    _Move(
        figure="speed-up",
        ends=lambda case: (replace(case, ratio=case.low), replace(case, ratio=case.high)),
        shown=lambda case: f"{case.ratio:.3g}x",
    ),
    _Move(
        figure="load",
        ends=lambda case: (_load(case, _LESS), _load(case, _MORE)),
        shown=lambda case: f"{case.serving:.4g} an hour of serving",
    ),
    _Move(
        figure="horizon",
        ends=lambda case: (
            replace(case, horizon_hours=case.horizon_hours * _LESS),
            replace(case, horizon_hours=case.horizon_hours * _MORE),
        ),
        shown=lambda case: duration_text(float(case.horizon_hours) * 3600),
    ),
    _Move(
        figure="labour",
        ends=lambda case: (replace(case, labour=case.labour * _MORE), replace(case, labour=case.labour * _LESS)),
        shown=lambda case: f"{case.labour:.2f}",
    ),
    _Move(
        figure="compute of the work",
        ends=lambda case: (replace(case, compute=case.compute * _MORE), replace(case, compute=case.compute * _LESS)),
        shown=lambda case: f"{case.compute:.2f}",
    ),
)


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _cannot_tell(reason: str) -> Verdict:
    return Verdict(worth_it=None, explanation=f"cannot tell whether it pays: {reason}")
