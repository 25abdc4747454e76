from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from typing import Any

import pytest

from frugal.api.price_book import PriceBook
from frugal.api.status import InferenceDeploymentStatus, Size
from frugal.decisions.inference_money import told_budget
from frugal.decisions.running_cost import running_cost
from frugal.decisions.snapshot import Children, InferenceSnapshot, Manifest
from tests.unit.decisions.factories import NOW, environment, inference

SIZE = Size.model_validate({"cpu": "1", "memory": "0", "replicas": 2})
NODES = {"regular": {"zone": "a"}, "spot": {"karpenter.sh/capacity-type": "spot"}}
BOOK = PriceBook.model_validate(
    {
        "currency": "USD",
        "source": "a test",
        "retrievedAt": "2026-11-01",
        "entries": [
            {"cpuPerCoreHour": "0.04", "memoryPerGiBHour": "0"},
            {"cpuPerCoreHour": "0.01", "memoryPerGiBHour": "0", "pricing": "spot"},
        ],
    }
)


def pod(name: str, node: str, age_hours: int = 1, **metadata: Any) -> Manifest:
    created = f"{NOW - timedelta(hours=age_hours):%Y-%m-%dT%H:%M:%SZ}"
    return {"metadata": {"name": name, "creationTimestamp": created, **metadata}, "spec": {"nodeName": node}}


def seen(*pods: Manifest, prices: PriceBook | None = BOOK) -> InferenceSnapshot:
    surroundings = environment(prices=prices, prices_problem="no book", node_labels=NODES)
    return replace(inference(), children=Children(pods=pods), environment=surroundings)


def hourly(*pods: Manifest, before: InferenceDeploymentStatus | None = None) -> Decimal:
    cost, problem = running_cost(SIZE, seen(*pods), before or InferenceDeploymentStatus(), NODES["regular"])
    assert cost is not None, problem
    return cost.total


def before(cpu: float, size: Size = SIZE) -> InferenceDeploymentStatus:
    return InferenceDeploymentStatus.model_validate(
        {
            "applied": {"size": size.to_json(), "since": "x"},
            "utilization": {"cpu": cpu, "observedAt": "x"},
        }
    )


def test_each_replica_is_priced_where_it_is() -> None:
    assert hourly(pod("a", "regular"), pod("b", "spot")) == Decimal("0.05")  # 0.04 and 0.01


def test_a_replica_without_a_node_is_priced_at_the_newest_one() -> None:
    assert hourly(pod("a", "spot")) == Decimal("0.05")  # 0.01, and 0.04 for the one that has no pod yet
    assert hourly() == Decimal("0.08")


def test_a_pod_that_moves_is_counted_once() -> None:
    leaving = pod("old", "spot", age_hours=9, deletionTimestamp="2026-11-18T15:00:00Z")

    assert hourly(leaving, pod("new", "regular"), pod("b", "regular")) == Decimal("0.08")


def test_during_a_rollout_no_more_pods_are_paid_than_there_are_replicas() -> None:
    old = [pod("o1", "spot", age_hours=9), pod("o2", "spot", age_hours=9)]

    assert hourly(*old, pod("n1", "regular"), pod("n2", "regular")) == Decimal("0.08")


def test_a_spot_interruption_moves_the_price_with_the_pod() -> None:
    both = hourly(pod("a", "spot"), pod("b", "spot"))

    after = hourly(pod("b", "spot", age_hours=2), pod("c", "regular"))

    assert (both, after) == (Decimal("0.02"), Decimal("0.05"))


@pytest.mark.parametrize(("cpu", "expected"), [(0.2, "0.08"), (1.0, "0.08"), (1.5, "0.12")])
def test_what_is_used_beyond_the_request_is_paid_too(cpu: float, expected: str) -> None:
    pods = pod("a", "regular"), pod("b", "regular")

    assert hourly(*pods, before=before(cpu)) == Decimal(expected)


def test_what_another_size_used_tells_nothing() -> None:
    other = Size.model_validate({"cpu": "200m", "memory": "0", "replicas": 2})

    assert hourly(before=before(1.5, other)) == Decimal("0.08")


def test_without_prices_the_reason_is_told() -> None:
    status = InferenceDeploymentStatus()

    assert running_cost(SIZE, seen(prices=None), status, {}) == (None, "no book")
    gpu = SIZE.model_copy(update={"accelerator": "nvidia.com/gpu", "count": 1})
    assert "no price for 'nvidia.com/gpu'" in running_cost(gpu, seen(), status, {})[1]


def test_a_price_that_is_missing_in_the_book_is_said_without_a_budget_too() -> None:
    def reason(has_prices: bool) -> str:
        return told_budget(None, None, problem="no price", has_prices=has_prices, capped_from=None).reason.value

    assert (reason(True), reason(False)) == ("PriceMissing", "NoBudget")
