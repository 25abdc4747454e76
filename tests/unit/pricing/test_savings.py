from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

from frugal.api.money import SavingsStatus
from frugal.api.status import Size
from frugal.pricing.savings import Surroundings, accrue_savings, first_savings

NOON = datetime(2026, 3, 10, 12, tzinfo=UTC)
SIZE = Size.model_validate({"cpu": "2", "memory": "4Gi", "replicas": 3})
NODES = ("n1", "n2", "n3", "n4")


def around(load: float | None = 10.0, nodes: tuple[str, ...] = NODES) -> Surroundings:
    return Surroundings(own_nodes=("n1", "n2"), all_nodes=nodes, requests_per_second=load)


def after(hours: int, *looks: Surroundings, hourly: str = "0.20") -> SavingsStatus:
    savings = first_savings(SIZE, hourly=Decimal("0.50"), around=around(), now=NOON)
    for number, look in enumerate(looks, start=1):
        moment = NOON + timedelta(hours=hours * number)
        savings = accrue_savings(savings, hourly=Decimal(hourly), around=look, now=moment)
    return savings


def test_savings_are_what_the_reference_would_have_cost_less_what_ran() -> None:
    savings = after(10, around())

    assert savings.since_creation == 3
    assert savings.low == savings.high == 3
    assert savings.realized == 0


def test_running_more_than_the_reference_is_a_loss() -> None:
    savings = after(10, around(), hourly="0.70")

    assert savings.since_creation == -2
    assert savings.realized == 0


def test_the_counterfactual_is_written_down() -> None:
    savings = after(10)

    assert savings.counterfactual == (
        "3 x 2 CPU, 4Gi, as asked for before the first change, serving 10 requests/s; kept at that size whatever the "
        "load. low and high: had it followed the load"
    )
    assert (savings.reference_nodes, savings.reference_node_count) == (["n1", "n2"], 4)


def test_twice_the_load_widens_the_saving_upwards() -> None:
    savings = after(10, around(load=20.0))

    assert savings.low == savings.since_creation == 3
    assert savings.high == 8  # the old size would be 1.00 an hour


def test_half_of_the_load_widens_it_downwards() -> None:
    savings = after(10, around(load=5.0))

    assert savings.low == Decimal("0.50")
    assert savings.since_creation == savings.high == 3


def test_an_unknown_load_leaves_the_figure_alone() -> None:
    savings = after(10, around(load=None))

    assert savings.low == savings.high == 3


def test_a_smaller_slice_saves_nothing_while_the_node_is_still_paid_for() -> None:
    savings = after(10, around(), around())

    assert savings.since_creation == 6
    assert savings.realized == savings.realized_ratio == 0


def test_a_node_that_is_gone_makes_its_part_of_the_saving_real() -> None:
    savings = after(10, around(nodes=("n2", "n3", "n4")), around(nodes=("n2", "n3", "n4")))

    assert savings.realized_ratio == 0.5  # one of the two that carried the old size
    assert savings.realized == Decimal("1.50")  # half of 0.30 an hour, for the ten hours since it was seen


def test_a_node_that_another_replaced_saves_nothing() -> None:
    savings = after(10, around(nodes=("n2", "n3", "n4", "n5")), around(nodes=("n2", "n3", "n4", "n5")))

    assert savings.realized_ratio == savings.realized == 0
