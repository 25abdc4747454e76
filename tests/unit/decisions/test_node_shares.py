from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest

from frugal.api.price_book import PriceBook
from frugal.decisions.node_shares import share_node
from frugal.errors import PriceUnknown

A100 = "NVIDIA-A100-SXM4-80GB"
BOOK = PriceBook.model_validate(
    {
        "currency": "USD",
        "source": "a test",
        "retrievedAt": "2026-11-01",
        "entries": [{"cpuPerCoreHour": "0", "memoryPerGiBHour": "0", "gpuPerHour": {A100: "4.48"}}],
    }
)


def node(capacity: dict[str, str], **labels: str) -> dict[str, Any]:
    named = {f"nvidia.com/gpu.{name}": value for name, value in labels.items()}
    return {"metadata": {"name": "n", "labels": named}, "status": {"capacity": {"cpu": "8", **capacity}}}


def pod(name: str, resource: str, count: int = 1, phase: str = "Running") -> dict[str, Any]:
    requests = {"cpu": "1", resource: str(count)}
    return {
        "metadata": {"name": name, "namespace": "ml"},
        "spec": {"containers": [{"resources": {"requests": requests}}]},
        "status": {"phase": phase},
    }


def test_whole_cards_are_borne_by_who_has_them() -> None:
    shared = share_node(
        node({"nvidia.com/gpu": "4"}, product=A100), [pod("a", "nvidia.com/gpu", 3)], book=BOOK, used={}
    )

    assert shared.total == Decimal("17.92")
    assert shared.of("ml/a") == Decimal("13.44")
    assert shared.idle["gpu"] == Decimal("4.48")


def test_slices_bear_their_share_and_the_stranded_rest_is_idle() -> None:
    seven = [pod(f"p{number}", "nvidia.com/mig-1g.10gb") for number in range(7)]

    shared = share_node(node({}, product=A100, count="1"), seven, book=BOOK, used={})

    assert shared.of("ml/p0") == pytest.approx(Decimal("0.6"))  # (1/7 + 1/8) / 2 of 4.48
    assert shared.idle["gpu"] == pytest.approx(Decimal("0.28"))  # the eighth memory slice
    assert shared.total == Decimal("4.48")


def test_pieces_of_a_shared_card_add_up_to_it() -> None:
    labels = {"product": f"{A100}-SHARED", "count": "1", "replicas": "4"}
    three = [pod(f"p{number}", "nvidia.com/gpu") for number in range(3)]

    shared = share_node(node({"nvidia.com/gpu": "4"}, **labels), three, book=BOOK, used={})

    assert [shared.of(f"ml/p{number}") for number in range(3)] == [Decimal("1.12")] * 3
    assert shared.total == Decimal("4.48")


def test_a_pod_that_ended_holds_nothing() -> None:
    ended = pod("a", "nvidia.com/gpu", phase="Succeeded")

    shared = share_node(node({"nvidia.com/gpu": "1"}, product=A100), [ended], book=BOOK, used={})

    assert shared.charges == ()


def test_a_slice_of_a_card_that_no_label_names_has_no_price() -> None:
    with pytest.raises(PriceUnknown, match="unlabelled card"):
        share_node(node({}), [pod("a", "nvidia.com/mig-1g.10gb")], book=BOOK, used={})
