from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from typing import Any

import pytest

from frugal.api.money import CostStatus
from frugal.api.price_book import PriceBook
from frugal.api.validation import parse_inference_deployment, parse_model
from frugal.decisions.inference_money import limit_of, told_budget
from frugal.errors import InvalidObject
from frugal.pricing.budget import allowance
from tests.unit.decisions.factories import environment, inference, inference_spec


def prices(*budgets: dict[str, Any]) -> PriceBook:
    entry = {"cpuPerCoreHour": "0.04", "memoryPerGiBHour": "0.005"}
    base = {"currency": "USD", "source": "a test", "retrievedAt": "2026-11-01", "entries": [entry]}
    return parse_model(PriceBook, {**base, "budgets": list(budgets)})


def cost(forecast: str) -> CostStatus:
    return CostStatus.model_validate(
        {"hourly": "1", "monthToDate": "1", "forecastMonth": forecast, "currency": "USD", "observedAt": "x"}
    )


def said(
    monthly: str, *, forecast: str, total: str, own: str | None = None, on_exceed: str = "Alert"
) -> tuple[Any, str]:
    book = prices({"namespace": "ml", "monthly": monthly, "onExceed": on_exceed})
    spec = inference_spec(budget={"monthly": own}) if own else inference_spec()
    seen = replace(inference(spec), environment=environment(prices=book), namespace_forecast=Decimal(total))
    parsed = parse_inference_deployment(seen.manifest).spec
    limit = limit_of(parsed, seen, cost(forecast))
    told = told_budget(limit, cost(forecast), problem="", has_prices=True, capped_from=None)
    return told.holds, told.message


def test_while_all_are_within_one_may_take_what_the_others_leave() -> None:
    assert allowance(Decimal(100), own=Decimal(20), total=Decimal(60)) == 60


def test_over_the_budget_each_gives_way_in_proportion() -> None:
    parts = [allowance(Decimal(100), own=Decimal(own), total=Decimal(200)) for own in (150, 40, 10)]

    assert parts == [75, 20, 5]
    assert sum(parts) == 100


def test_a_service_is_held_to_its_part_of_its_namespaces_budget() -> None:
    holds, message = said("100", forecast="150", total="200")

    assert holds is False
    assert message == "forecast 150.00 USD is over its part, of the budget of namespace ml, 75.00"


def test_the_tighter_of_two_budgets_binds() -> None:
    assert said("1000", forecast="150", total="200", own="100") == (
        False,
        "forecast 150.00 USD is over the budget of 100.00",
    )
    assert said("100", forecast="60", total="80", own="500")[0] is True


def test_a_namespace_without_a_budget_binds_nobody() -> None:
    seen = replace(inference(), environment=environment(prices=prices()))

    assert limit_of(parse_inference_deployment(seen.manifest).spec, seen, cost("10")) is None


def test_two_budgets_of_a_namespace_are_refused() -> None:
    with pytest.raises(InvalidObject, match="same namespace"):
        prices({"namespace": "ml", "monthly": "1"}, {"namespace": "ml", "monthly": "2"})
