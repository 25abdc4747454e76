"""Whether compressing a model pays within its horizon, before the work and after it, in a sentence with its figures.

Assumption, said in every explanation: replicas are bound by computing, so a model that computes r times faster needs
1/r of them and the saving is the serving cost times (1 - 1/r). Costs are paid once: compute, labour, software and data.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal

from frugal.api.compression_job import CostBenefit
from frugal.api.money import Verdict
from frugal.api.result import Best
from frugal.pricing.cost import rounded
from frugal.units import HOURS_PER_MONTH, duration_text

HOURS_PER_DAY = 24
TARGET_UTILIZATION = Decimal("0.7")  # as right-sizing plans a service that has no objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Speedup:
    """Baseline's latency / the compressed model's: what is expected, and an interval that it should lie in."""

    low: float
    expected: float
    high: float


PREDICTED_SPEEDUP = Speedup(low=1.3, expected=2.2, high=4.0)
"""Before anything is measured, ONNX Runtime on one x86 core: little gain on the low side, static int8 of a small CNN,
and that CNN with half of its channels pruned as well (docs/benchmarks.md has this project's own)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServingCost:
    """What serving the model costs an hour now, or would; `requests_per_second` is the load that this cost carries."""

    hourly: Decimal
    requests_per_second: float | None = None


def expected_serving_cost(
    requests_per_second: float, *, latency_seconds: float, price_per_core_hour: Decimal
) -> ServingCost:
    """Return what a load would cost on CPU alone: cores = rate * compute time of a request / 70 % utilization."""
    cores = Decimal(str(requests_per_second)) * Decimal(str(latency_seconds)) / TARGET_UTILIZATION
    return ServingCost(hourly=cores * price_per_core_hour, requests_per_second=requests_per_second)


def verdict_before(
    terms: CostBenefit,
    *,
    serving: ServingCost | None,
    compute_cost: Decimal | None,
    currency: str,
    speedup: Speedup = PREDICTED_SPEEDUP,
) -> Verdict:
    """Return the verdict on a predicted speed-up; worthIt is absent when the ends of its interval disagree.

    serving: None where nothing is deployed and no load is given. compute_cost: of the work, None where it cannot be
    priced; it is then left out and said.
    """
    if serving is None:
        return _cannot_tell("neither a deployment with a known cost nor an expected load is given")
    at_low, expected, at_high = (
        _Account.of(terms, serving, compute_cost, ratio) for ratio in (speedup.low, speedup.expected, speedup.high)
    )
    worth_it = at_low.pays if at_low.pays == at_high.pays else None
    predicted = f"predicted {speedup.expected:.3g}x faster ({speedup.low:.3g}x to {speedup.high:.3g}x)"
    doubt = "" if worth_it is not None else f"; at {speedup.low:.3g}x it would not pay"
    return expected.verdict(worth_it, f"{predicted}{doubt}", currency)


def verdict_after(
    terms: CostBenefit, *, serving: ServingCost | None, best: Best, compute_cost: Decimal | None, currency: str
) -> Verdict:
    """Return the verdict on the measured speed-up of the published model."""
    if serving is None:
        return _cannot_tell("neither a deployment with a known cost nor an expected load is given")
    account = _Account.of(terms, serving, compute_cost, best.latency_ratio)
    return account.verdict(account.pays, f"measured {best.latency_ratio:.3g}x faster", currency)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Account:
    """Both sides of one case: saved an hour, spent once, and over how many hours it is counted."""

    saved_hourly: Decimal
    once: Decimal
    horizon_hours: Decimal
    requests_per_second: float | None
    is_compute_priced: bool

    @classmethod
    def of(cls, terms: CostBenefit, serving: ServingCost, compute_cost: Decimal | None, ratio: float) -> _Account:
        labour = Decimal(str(terms.labour_hours)) * terms.labour_rate
        return cls(
            saved_hourly=serving.hourly * (1 - 1 / Decimal(str(ratio))),
            once=(compute_cost or Decimal(0)) + labour + terms.software_cost + terms.data_cost,
            horizon_hours=Decimal(str(terms.horizon.seconds)) / 3600,
            requests_per_second=serving.requests_per_second,
            is_compute_priced=compute_cost is not None,
        )

    @property
    def pays(self) -> bool:
        """Whether the horizon's saving is more than what is spent; a case that saves nothing never pays."""
        return self.saved_hourly > 0 and self.saved_hourly * self.horizon_hours > self.once

    @property
    def payback_days(self) -> float | None:
        """When the saving has paid the cost; None when it never does."""
        return float(self.once / self.saved_hourly / HOURS_PER_DAY) if self.saved_hourly > 0 else None

    @property
    def break_even_requests_per_second(self) -> float | None:
        """The load at which it just pays within the horizon: saving grows with the load in proportion."""
        if not self.requests_per_second or self.saved_hourly <= 0 or self.horizon_hours <= 0:
            return None
        return float(Decimal(str(self.requests_per_second)) * self.once / (self.saved_hourly * self.horizon_hours))

    def verdict(self, worth_it: bool | None, speed: str, currency: str) -> Verdict:
        """Return the API's verdict with its sentence."""
        return Verdict(
            worth_it=worth_it,
            monthly_saving=rounded(self.saved_hourly * HOURS_PER_MONTH),
            payback_days=_short(self.payback_days),
            break_even_requests_per_second=_short(self.break_even_requests_per_second),
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
        return (
            f"{answer} within {horizon}: {speed}, which saves {monthly} a month where replicas are bound by computing, "
            f"against {self.once:.2f} {currency} once{unpriced}; {payback}{load}"
        )


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}")


def _cannot_tell(reason: str) -> Verdict:
    return Verdict(worth_it=None, explanation=f"cannot tell whether it pays: {reason}")
