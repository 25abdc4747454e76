from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from frugal.api.price_book import PriceBook, Pricing
from frugal.errors import PriceUnknown
from frugal.pricing.pricebook import HourlyCost, hourly_price

A100 = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB"}
SLICED = {"nvidia.com/gpu.product": "NVIDIA-A100-SXM4-80GB-MIG-1g.10gb"}


def entry(**more: Any) -> dict[str, Any]:
    return {"cpuPerCoreHour": "0.04", "memoryPerGiBHour": "0.005", **more}


def book(*entries: dict[str, Any], discount: float = 0) -> PriceBook:
    return PriceBook.model_validate(
        {
            "currency": "USD",
            "source": "a test",
            "retrievedAt": "2026-03-01",
            "discountRatio": discount,
            "entries": list(entries) or [entry()],
        }
    )


def price(prices: PriceBook, labels: dict[str, str] | None = None, **more: Any) -> HourlyCost:
    asked = {"cores": Decimal(2), "memory_bytes": Decimal(4 * 2**30), **more}
    return hourly_price(prices, node_labels=labels or {}, **asked)


def test_cores_and_gibibytes_are_what_an_hour_costs() -> None:
    cost = price(book())

    assert cost == HourlyCost(cpu=Decimal("0.08"), memory=Decimal("0.020"))  # 2 * 0.04, 4 * 0.005
    assert cost.total == Decimal("0.10")


def test_the_entry_with_the_most_matching_labels_wins() -> None:
    prices = book(
        entry(),
        entry(nodeLabels={"zone": "a"}, cpuPerCoreHour="0.05"),
        entry(nodeLabels={"zone": "a", "type": "big"}, cpuPerCoreHour="0.06"),
    )

    assert price(prices, {"zone": "b"}).cpu == Decimal("0.08")
    assert price(prices, {"zone": "a"}).cpu == Decimal("0.10")
    assert price(prices, {"zone": "a", "type": "big", "other": "x"}).cpu == Decimal("0.12")


def test_two_entries_that_select_alike_are_no_price() -> None:
    prices = book(entry(nodeLabels={"zone": "a"}), entry(nodeLabels={"type": "big"}, cpuPerCoreHour="0.05"))

    with pytest.raises(PriceUnknown, match="2 entries select with 1 labels each"):
        price(prices, {"zone": "a", "type": "big"})


def test_spot_is_not_billed_on_demand() -> None:
    prices = book(entry(), entry(pricing="spot", cpuPerCoreHour="0.01"))

    assert price(prices, pricing=Pricing.SPOT).cpu == Decimal("0.02")
    with pytest.raises(PriceUnknown, match=r"a node that is paid reserved.*on_demand for any node"):
        price(prices, pricing=Pricing.RESERVED)


def test_the_discount_holds_for_every_part() -> None:
    assert price(book(discount=0.25)).total == Decimal("0.075")


def test_a_card_costs_what_its_product_costs() -> None:
    prices = book(entry(gpuPerHour={"NVIDIA-A100-SXM4-80GB": "4.42", "nvidia.com/gpu": "1"}))

    assert price(prices, A100, gpus={"nvidia.com/gpu": 2}).gpu == Decimal("8.84")
    assert price(prices, {}, gpus={"nvidia.com/gpu": 2}).gpu == Decimal(2)  # no label: the resource's own price


def test_an_unknown_card_has_no_price_and_no_card_needs_none() -> None:
    prices = book(entry(gpuPerHour={"NVIDIA-A100-SXM4-80GB": "4.42"}))

    with pytest.raises(PriceUnknown, match="'NVIDIA-L4'; the price book has NVIDIA-A100-SXM4-80GB"):
        price(prices, {"nvidia.com/gpu.product": "NVIDIA-L4"}, gpus={"nvidia.com/gpu": 1})
    assert price(prices, gpus={"nvidia.com/gpu": 0}).gpu == 0


def test_a_slice_costs_its_share_of_the_card() -> None:
    prices = book(entry(gpuPerHour={"NVIDIA-A100-SXM4-80GB": "4.48"}))

    mixed = price(prices, A100, gpus={"nvidia.com/mig-3g.40gb": 1}).gpu
    single = price(prices, SLICED, gpus={"nvidia.com/gpu": 1}).gpu  # MIG strategy "single": plain name, cut product

    assert mixed == pytest.approx(Decimal("4.48") * (Decimal(3) / 7 + Decimal(4) / 8) / 2)
    assert single == pytest.approx(Decimal("4.48") * (Decimal(1) / 7 + Decimal(1) / 8) / 2)


def test_a_slice_with_a_price_of_its_own_costs_that() -> None:
    prices = book(entry(gpuPerHour={"nvidia.com/mig-1g.10gb": "0.5", "NVIDIA-A100-SXM4-80GB": "4.48"}))

    assert price(prices, A100, gpus={"nvidia.com/mig-1g.10gb": 1}).gpu == Decimal("0.5")


def test_a_slice_that_the_table_does_not_know_has_no_price() -> None:
    prices = book(entry(gpuPerHour={"NVIDIA-A100-SXM4-80GB": "4.48"}))

    with pytest.raises(PriceUnknown):
        price(prices, A100, gpus={"nvidia.com/mig-5g.55gb": 1})


def test_storage_without_a_price_is_said() -> None:
    gibibytes = Decimal(10 * 2**30)

    assert price(book(entry(storagePerGiBHour="0.0001")), storage_bytes=gibibytes).storage == Decimal("0.001")
    with pytest.raises(PriceUnknown, match="storage"):
        price(book(), storage_bytes=gibibytes)
