from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from frugal.api.compression_job import CostBenefit
from frugal.api.money import Verdict
from frugal.api.result import Best
from frugal.pricing.cost_benefit import (
    ServingCost,
    expected_serving_cost,
    verdict_after,
    verdict_before,
)
from frugal.pricing.speedup import Speedup
from frugal.units import Duration

GUESS = Speedup(low=1.4, expected=2.2, high=3.4)
SERVING = ServingCost(hourly=Decimal("1.00"), requests_per_second=100.0)


def terms(**more: Any) -> CostBenefit:
    horizon = Duration(f"{more.pop('horizon_days', 90)}d")
    return CostBenefit(horizon=horizon, labour_hours=2, labour_rate=Decimal(60), **more)


def best(latency_ratio: float = 4.0) -> Best:
    return Best(loss=0.2, size_ratio=4, latency_ratio=latency_ratio)


def test_a_measured_gain_pays_back() -> None:
    verdict = verdict_after(terms(), serving=SERVING, best=best(), compute_cost=Decimal(6), currency="USD")

    assert verdict.worth_it is True
    assert verdict.monthly_saving == Decimal("547.50")  # 1.00 * (1 - 1/4) * 730
    assert verdict.payback_days == pytest.approx(7.0)  # 126 / (0.75 * 24)
    assert verdict.break_even_requests_per_second == pytest.approx(7.778, abs=1e-3)  # 100 * 126 / (0.75 * 2160)
    assert verdict.explanation == (
        "pays within 90d: measured 4x faster, which saves 547.50 USD a month where replicas are bound by computing, "
        "against 126.00 USD once; net 1494.00, paid back in 7 days, from 7.78 req/s on"
    )


def test_software_and_data_count_as_costs() -> None:
    dear = terms(software_cost=Decimal(1_000), data_cost=Decimal(500))

    verdict = verdict_after(dear, serving=SERVING, best=best(), compute_cost=Decimal(0), currency="USD")

    assert verdict.worth_it is False  # 0.75 * 2160 = 1620 against exactly 1620
    assert verdict.payback_days == pytest.approx(90)


def test_a_model_that_became_no_faster_never_pays() -> None:
    verdict = verdict_after(terms(), serving=SERVING, best=best(0.9), compute_cost=Decimal(0), currency="USD")

    assert (verdict.worth_it, verdict.payback_days, verdict.break_even_requests_per_second) == (False, None, None)
    assert verdict.monthly_saving is not None
    assert verdict.monthly_saving < 0
    assert "it never pays back" in verdict.explanation


def test_work_without_a_price_is_said() -> None:
    verdict = verdict_after(terms(), serving=SERVING, best=best(), compute_cost=None, currency="USD")

    assert "compute has no price and is left out" in verdict.explanation


@pytest.mark.parametrize(
    ("hourly", "worth_it"),
    [("1.00", True), ("0.01", False), ("0.10", None)],  # 120 once against 90 d of 0.23 to 0.75 of the hourly cost
)
def test_before_the_work_the_whole_interval_must_agree(hourly: str, worth_it: bool | None) -> None:
    verdict = verdict_before(
        terms(),
        serving=ServingCost(hourly=Decimal(hourly)),
        compute_cost=Decimal(0),
        currency="USD",
        speedup=Speedup(low=1.3, expected=2, high=4),
    )

    assert verdict.worth_it is worth_it
    assert "predicted 2x faster (1.3x to 4x)" in verdict.explanation
    assert ("at 1.3x it would not pay" in verdict.explanation) is (worth_it is None)


def test_with_nothing_deployed_it_cannot_be_told() -> None:
    for verdict in (
        verdict_before(terms(), serving=None, compute_cost=None, currency="USD", speedup=GUESS),
        verdict_after(terms(), serving=None, best=best(), compute_cost=None, currency="USD"),
    ):
        assert verdict.worth_it is None
        assert verdict.explanation.startswith("cannot tell whether it pays: ")


def test_an_expected_load_costs_the_cores_that_it_keeps_busy() -> None:
    serving = expected_serving_cost(700, latency_seconds=0.002, price_per_core_hour=Decimal("0.04"))

    assert serving.hourly == Decimal("0.08")  # 700 * 0.002 / 0.7 = 2 cores
    assert serving.requests_per_second == 700


def after(serving: ServingCost = SERVING, compute: str = "6", **more: Any) -> Verdict:
    return verdict_after(terms(**more), serving=serving, best=best(), compute_cost=Decimal(compute), currency="USD")


def test_the_net_value_is_the_benefit_less_what_is_spent_once() -> None:
    verdict = after()

    assert verdict.once == 126
    assert verdict.net_present_value == Decimal("1494.00")  # 0.75 * 24 * 90 - 126


def test_later_money_counts_less() -> None:
    plain = after(horizon_days=365).net_present_value
    discounted = after(horizon_days=365, discount_rate=10).net_present_value

    assert plain == Decimal("6444.00")  # 0.75 * 8760 - 126
    # 6570 * (1 - 1/1.1) / ln(1.1) = 6266.6
    assert discounted == pytest.approx(Decimal("6140.6"), abs=Decimal("0.2"))


def test_everything_that_is_bought_is_on_the_one_side() -> None:
    assert after(hardware_cost=Decimal(100), software_cost=Decimal(10), data_cost=Decimal(1)).once == 237


def test_avoided_spend_is_on_the_other_side() -> None:
    verdict = after(serving=ServingCost(hourly=Decimal("0.01")), avoided_cost=Decimal(500))

    assert verdict.worth_it is True
    assert verdict.payback_days == 0
    assert "and 500.00 avoided" in verdict.explanation


def test_answers_that_come_sooner_are_worth_what_the_terms_say() -> None:
    slow = ServingCost(hourly=Decimal(0), latency_seconds=0.040)

    verdict = after(serving=slow, latency_worth=Decimal(10))

    # 30 of 40 ms less at 10 a month each, over 2160 of 730 hours, less 126
    assert verdict.net_present_value == pytest.approx(Decimal("761.671"), abs=Decimal("0.001"))
    assert "beside 300.00 for answers that come sooner" in verdict.explanation


def test_the_three_figures_that_matter_most_are_told_the_most_first() -> None:
    verdict = verdict_before(terms(), serving=SERVING, compute_cost=Decimal(6), currency="USD", speedup=GUESS)

    assert [one.figure for one in verdict.sensitivity] == ["horizon", "load", "speed-up"]
    widths = [one.net_at_high - one.net_at_low for one in verdict.sensitivity]
    assert widths == sorted(widths, reverse=True)
    assert (verdict.sensitivity[2].low, verdict.sensitivity[2].high) == ("1.4x", "3.4x")
    # 1.00 * (1 - 1/1.4) * 2160 - 126
    assert verdict.sensitivity[2].net_at_low == pytest.approx(Decimal("491.142857"))


def test_a_measured_speed_up_is_no_longer_uncertain() -> None:
    assert "speed-up" not in [one.figure for one in after().sensitivity]


def test_earlier_jobs_are_named_as_grounds() -> None:
    known = Speedup(low=2.0, expected=2.2, high=2.4, jobs=5)

    verdict = verdict_before(terms(), serving=SERVING, compute_cost=Decimal(0), currency="USD", speedup=known)

    assert "predicted 2.2x faster (2x to 2.4x, from 5 earlier jobs)" in verdict.explanation
