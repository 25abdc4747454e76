from __future__ import annotations

from decimal import Decimal

import pytest

from frugal.errors import InvalidAmount, PriceUnknown
from frugal.pricing.allocation import Claim, SharingRule, Supply, allocate, divide
from frugal.pricing.sharing import parted_activity, slice_of_card, time_slice


def supply(capacity: str = "10", hourly: str = "1.00") -> Supply:
    return Supply(name="cpu", capacity=Decimal(capacity), hourly=Decimal(hourly))


def claim(workload: str, requested: str, used: str | None = None, *, overhead: bool = False) -> Claim:
    return Claim(
        workload=workload,
        namespace=workload[0],
        requested={"cpu": Decimal(requested)},
        used={} if used is None else {"cpu": Decimal(used)},
        is_overhead=overhead,
    )


def test_the_larger_of_requested_and_used_is_borne() -> None:
    shared = allocate([supply()], [claim("a", "2", "1"), claim("b", "1", "3")])

    assert shared.of("a") == Decimal("0.20")  # asked for 2 of 10
    assert shared.of("b") == Decimal("0.30")  # used 3 of 10
    assert shared.idle == {"cpu": Decimal("0.50")}
    assert (shared.charges[0].used, shared.charges[0].reserved) == (Decimal("0.10"), Decimal("0.10"))


def test_shares_that_exceed_the_node_are_scaled_down_and_nothing_is_idle() -> None:
    shared = allocate([supply()], [claim("a", "8"), claim("b", "12")])

    assert (shared.of("a"), shared.of("b")) == (Decimal("0.40"), Decimal("0.60"))
    assert shared.idle == {"cpu": 0}


@pytest.mark.parametrize(
    ("rule", "borne"),
    [
        # a1 and a2 ask for 1 each, b1 for 2; overhead takes 1, 5 are idle
        (SharingRule.APART, ("0.10", "0.10", "0.20")),
        (SharingRule.PROPORTIONAL, ("0.25", "0.25", "0.50")),  # 1.00 in the ratio 1 : 1 : 2
        (SharingRule.NAMESPACE, ("0.25", "0.25", "0.50")),  # 0.60 in halves, that of `a` in the ratio 1 : 1
    ],
)
def test_idle_and_overhead_are_borne_by_the_rule(rule: SharingRule, borne: tuple[str, ...]) -> None:
    claims = [claim("a1", "1"), claim("a2", "1"), claim("b1", "2"), claim("x", "1", overhead=True)]

    shared = allocate([supply()], claims, rule=rule)

    assert tuple(shared.of(name) for name in ("a1", "a2", "b1")) == tuple(map(Decimal, borne))
    assert shared.total == Decimal("1.00")


def test_namespaces_bear_alike_however_much_is_in_them() -> None:
    shared = allocate([supply()], [claim("a", "1"), claim("b", "3")], rule=SharingRule.NAMESPACE)

    assert [one.idle for one in shared.charges] == [Decimal("0.30"), Decimal("0.30")]


def test_what_nobody_runs_on_is_idle() -> None:
    assert allocate([supply()], [], rule=SharingRule.PROPORTIONAL).idle == {"cpu": Decimal("1.00")}


def test_a_pod_that_moves_is_paid_once() -> None:
    nodes = [supply(), supply()]

    before = [allocate([nodes[0]], [claim("a", "5")]), allocate([nodes[1]], [])]
    after = [allocate([nodes[0]], []), allocate([nodes[1]], [claim("a", "5")])]

    for moment in (before, after):
        assert sum(one.of("a") for one in moment) == Decimal("0.50")
        assert sum(one.total for one in moment) == Decimal("2.00")


@pytest.mark.parametrize("amount", ["-1", "NaN", "Infinity"])
def test_an_amount_that_is_none_is_refused_by_its_name(amount: str) -> None:
    with pytest.raises(InvalidAmount, match="a: cpu: used is"):
        allocate([supply()], [claim("a", "1", amount)])


def test_what_rounding_leaves_is_given_to_who_lost_most() -> None:
    parts = divide(Decimal("0.000010"), [Decimal(1), Decimal(1), Decimal(1)])

    assert sum(parts) == Decimal("0.000010")
    assert sorted(parts) == [Decimal("0.000003"), Decimal("0.000003"), Decimal("0.000004")]


def test_a_slice_takes_the_mean_of_its_compute_and_its_memory() -> None:
    assert slice_of_card("A100-80GB", "3g.40gb") == (Decimal(3) / 7 + Decimal(4) / 8) / 2
    with pytest.raises(PriceUnknown, match=r"profile 5g\.50gb of A100-80GB"):
        slice_of_card("A100-80GB", "5g.50gb")


def test_a_time_slice_takes_its_piece_and_free_pieces_are_idle() -> None:
    card = Supply(name="card", capacity=Decimal(1), hourly=Decimal(4))
    held = [Claim(workload=f"p{one}", namespace="n", requested={"card": time_slice(4)}) for one in range(3)]

    shared = allocate([card], held)

    assert [one.total for one in shared.charges] == [1, 1, 1]
    assert shared.idle["card"] == 1


def test_pods_that_report_the_whole_card_share_it() -> None:
    assert parted_activity(Decimal("0.8"), {"a": None, "b": None}) == {"a": Decimal("0.4"), "b": Decimal("0.4")}


def test_pods_that_are_measured_keep_their_own_and_the_others_share_the_rest() -> None:
    parts = parted_activity(Decimal("0.8"), {"a": Decimal("0.6"), "b": None, "c": None})

    assert parts == {"a": Decimal("0.6"), "b": Decimal("0.1"), "c": Decimal("0.1")}


def test_measured_pods_are_scaled_to_what_the_card_was_busy() -> None:
    parts = parted_activity(Decimal("0.5"), {"a": Decimal("0.9"), "b": Decimal("0.1")})

    assert parts == {"a": Decimal("0.45"), "b": Decimal("0.05")}
