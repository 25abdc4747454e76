from __future__ import annotations

import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml

from frugal.api.accelerators import card_named
from frugal.api.price_book import PriceBook, Pricing
from frugal.api.validation import parse_model
from frugal.errors import InvalidObject, PriceUnknown
from frugal.pricing.node import node_supplies
from frugal.pricing.pricebook import entry_for, hourly_price, next_change, valid_at, warnings
from frugal.units import GIB

PARTS = {"cpuPerCoreHour": "0.04", "memoryPerGiBHour": "0.005"}
GPUS = {"gpuPerHour": {"NVIDIA-L4": "0.56"}}


def book(*entries: dict[str, Any], **more: Any) -> PriceBook:
    base = {"currency": "EUR", "source": "a test", "retrievedAt": "2026-03-01", "entries": list(entries)}
    return parse_model(PriceBook, {**base, **more})


def price(prices: PriceBook, labels: dict[str, str] | None = None, **more: Any) -> Decimal:
    asked: dict[str, Any] = {"cores": Decimal(1), "memory_bytes": Decimal(0), "pricing": None, **more}
    return hourly_price(prices, node_labels=labels or {}, **asked).total


def test_a_nodes_bill_is_split_in_the_ratio_of_its_parts() -> None:
    bill = {"perHour": "2.00", "cpu": "16", "memory": "64Gi"}  # listed: 16 * 0.04 + 64 * 0.005 = 0.96
    prices = book({**PARTS, "node": bill})

    assert round(price(prices), 20) == round(Decimal("0.04") * 2 / Decimal("0.96"), 20)
    whole = price(prices, cores=Decimal(16), memory_bytes=Decimal(64 * GIB))
    assert round(whole, 20) == 2


def test_own_hardware_costs_its_capital_and_its_power() -> None:
    owned = {"purchasePrice": "35040", "years": 4, "powerWatts": 500, "pricePerKWh": "0.30", "pue": 1.2}
    prices = book({**PARTS, "pricing": "owned", "node": {"owned": owned, "cpu": "16", "memory": "64Gi"}})

    whole = price(prices, cores=Decimal(16), memory_bytes=Decimal(64 * GIB))

    assert round(whole, 20) == Decimal("1.18")  # 35040 / (4 * 8760) = 1.00; 0.5 kW * 1.2 * 0.30 = 0.18


def test_cards_weigh_by_their_price_in_a_nodes_bill() -> None:
    bill = {"perHour": "3.04", "cpu": "16", "memory": "64Gi", "gpus": 1, "gpuProduct": "NVIDIA-L4"}
    prices = book({**PARTS, **GPUS, "node": bill})  # listed: 0.96 + 0.56 = 1.52, half of the bill

    assert price(prices, {"nvidia.com/gpu.product": "NVIDIA-L4"}, cores=Decimal(0), gpus={"nvidia.com/gpu": 1}) == (
        Decimal("1.12")
    )


@pytest.mark.parametrize(
    ("node", "said"),
    [
        ({"cpu": "1", "memory": "1Gi"}, "exactly one of perHour and owned"),
        ({"perHour": "1", "cpu": "0", "memory": "1Gi"}, "above 0"),
        ({"perHour": "1", "cpu": "1", "memory": "1Gi", "gpus": 1}, "gpuProduct"),
        ({"perHour": "1", "cpu": "1", "memory": "1Gi", "gpus": 1, "gpuProduct": "NVIDIA-T4"}, "a key of gpuPerHour"),
    ],
)
def test_a_nodes_bill_that_cannot_be_split_is_refused(node: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidObject, match=said):
        book({**PARTS, **GPUS, "node": node})


def test_a_price_holds_from_its_day_on() -> None:
    prices = book(PARTS, {**PARTS, "cpuPerCoreHour": "0.05", "validFrom": "2026-06-01"})
    may, june = datetime(2026, 5, 31, 23, 59, 59, tzinfo=UTC), datetime(2026, 6, 1, tzinfo=UTC)

    assert price(valid_at(prices, may)) == Decimal("0.04")
    assert price(valid_at(prices, june)) == Decimal("0.05")
    assert (next_change(prices, may), next_change(prices, june)) == (june, None)


def test_before_the_first_day_there_is_no_price() -> None:
    with pytest.raises(PriceUnknown, match="prices from 2026-06-01 on"):
        valid_at(book({**PARTS, "validFrom": "2026-06-01"}), datetime(2026, 5, 1, tzinfo=UTC))


@pytest.mark.parametrize("text", ["soon", "2026-13-01", "2026-06-01T25:00:00Z"])
def test_a_day_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(InvalidObject, match="validFrom"):
        book({**PARTS, "validFrom": text})


def test_both_discounts_are_taken_off() -> None:
    assert price(book({**PARTS, "discountRatio": 0.5}, discountRatio=0.1)) == Decimal("0.04") * Decimal("0.45")


def test_the_nodes_own_labels_come_first() -> None:
    labels = {"frugal.dev/price-cpu-core-hour": "0.031", "frugal.dev/price-gpu-hour": "0.7"}
    labels["nvidia.com/gpu.product"] = "NVIDIA-L40S"

    assert price(book(PARTS), labels) == Decimal("0.031")
    assert price(book(PARTS), labels, cores=Decimal(0), gpus={"nvidia.com/gpu": 2}) == Decimal("1.4")


@pytest.mark.parametrize("text", ["cheap", "-1", "NaN"])
def test_a_label_that_states_no_price_is_said(text: str) -> None:
    with pytest.raises(PriceUnknown, match=f"frugal.dev/price-cpu-core-hour={text}"):
        price(book(PARTS), {"frugal.dev/price-cpu-core-hour": text})


def test_a_node_that_says_nothing_is_paid_any_way_but_spot() -> None:
    prices = book({**PARTS, "pricing": "owned"}, {**PARTS, "pricing": "spot", "cpuPerCoreHour": "0.01"})

    assert entry_for(prices, node_labels={}, pricing=None).pricing is Pricing.OWNED


def test_a_shared_card_is_paid_by_the_piece() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-L4-SHARED", "nvidia.com/gpu.replicas": "4"}

    assert price(book({**PARTS, **GPUS}), labels, cores=Decimal(0), gpus={"nvidia.com/gpu": 1}) == Decimal("0.14")
    with pytest.raises(PriceUnknown, match=r"nvidia\.com/gpu\.replicas="):
        price(book({**PARTS, **GPUS}), {"nvidia.com/gpu.product": "NVIDIA-L4-SHARED"}, gpus={"nvidia.com/gpu": 1})


def test_the_network_has_a_price_where_it_is_asked_for() -> None:
    prices = book({**PARTS, "networkPerGiB": "0.09"})

    assert price(prices, cores=Decimal(0), network_bytes_per_hour=Decimal(2 * GIB)) == Decimal("0.18")
    with pytest.raises(PriceUnknown, match="network"):
        price(book(PARTS), network_bytes_per_hour=Decimal(1))


def test_old_prices_and_dear_spot_are_pointed_out() -> None:
    prices = book(PARTS, {**PARTS, "pricing": "spot", "cpuPerCoreHour": "0.05"})

    assert warnings(prices, datetime(2026, 5, 1, tzinfo=UTC)) == (
        "a spot core costs more than one on demand (spot for any node): is that a mistake?",
    )
    assert "184 days ago" in warnings(prices, datetime(2026, 9, 1, 12, tzinfo=UTC))[0]


def test_a_node_is_what_is_paid_for_on_it() -> None:
    labels = {"nvidia.com/gpu.product": "NVIDIA-L4-SHARED", "nvidia.com/gpu.replicas": "4"}

    supplies = node_supplies(
        book({**PARTS, **GPUS}),
        node_labels=labels,
        pricing=None,
        cores=Decimal(4),
        memory_bytes=Decimal(16 * GIB),
        cards=("GPU-0", "GPU-1"),
    )

    assert {one.name: one.hourly for one in supplies} == {
        "cpu": Decimal("0.16"),
        "memory": Decimal("0.080"),
        "GPU-0": Decimal("0.56"),  # however many pods share it
        "GPU-1": Decimal("0.56"),
    }


def test_the_published_list_prices_every_card_that_it_names_and_its_slices() -> None:
    file = Path(__file__).parents[3] / "manifests/prices/published/prices.yaml"
    prices = parse_model(PriceBook, yaml.safe_load(yaml.safe_load(file.read_text())["data"]["prices.yaml"]))

    known = {product: card_named(product) for product in prices.entries[0].gpu_per_hour}
    slices = {
        product: price(prices, {"nvidia.com/gpu.product": product}, cores=Decimal(0), gpus={f"nvidia.com/mig-{one}": 1})
        for product, card in known.items()
        if card is not None and card.mig is not None
        for one in list(card.mig.profiles)[-1:]
    }

    assert None not in known.values()
    assert slices["NVIDIA-H200"] == Decimal("7.912")  # 7g.141gb is the whole card
    assert warnings(prices, datetime(2026, 9, 1, tzinfo=UTC)) == ()


def test_the_books_of_the_guide_can_be_used() -> None:
    guide = (Path(__file__).parents[3] / "docs/how-to/prices.md").read_text()
    first, second = re.findall(r"```yaml\n(.*?)```", guide, flags=re.DOTALL)
    written = yaml.safe_load(first)

    prices = parse_model(PriceBook, written)
    more = parse_model(PriceBook, {**written, "entries": yaml.safe_load(second)})

    assert len(prices.entries) == 3
    owned = more.entries[1].node
    assert owned is not None
    assert round(owned.hourly, 4) == Decimal("1.1908")  # 31000 / 35040 + 0.812 * 1.3 * 0.29
