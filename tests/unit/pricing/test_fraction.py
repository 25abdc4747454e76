from __future__ import annotations

from decimal import Decimal

import pytest

from frugal.pricing.fraction import MIG_CARDS, card_of_product, profile_of_resource, share


def test_a_slice_is_charged_the_mean_of_its_compute_and_memory() -> None:
    assert share("A30", "2g.12gb") == Decimal("0.5")
    assert share("A100-80GB", "1g.20gb") == pytest.approx((Decimal(1) / 7 + Decimal(2) / 8) / 2)


def test_the_whole_card_as_one_slice_is_the_whole_card() -> None:
    assert [share(card, list(cut.profiles)[-1]) for card, cut in MIG_CARDS.items()] == [1] * len(MIG_CARDS)


def test_the_layout_that_the_larger_share_would_overbill_is_one_card() -> None:
    four, three = share("H100-80GB", "4g.40gb"), share("H100-80GB", "3g.40gb")

    assert four is not None
    assert three is not None
    assert four + three == pytest.approx(1)  # 0.536 + 0.464; by the larger of both shares 1.071


def test_what_the_table_does_not_know_has_no_share() -> None:
    assert share("L4", "1g.10gb") is None
    assert share("A30", "7g.80gb") is None


@pytest.mark.parametrize(
    ("product", "card"),
    [
        ("NVIDIA-A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA-A100-PCIE-40GB", "A100-40GB"),
        ("A100-SXM4-40GB", "A100-40GB"),
        ("NVIDIA-A30", "A30"),
        ("NVIDIA-H100-80GB-HBM3", "H100-80GB"),
        ("NVIDIA-H200", "H200-141GB"),
        ("NVIDIA-B200", "B200-180GB"),
        ("NVIDIA-A100", None),  # 40 or 80 GB: its slices differ
        ("NVIDIA-H100-NVL-94GB", None),  # cut otherwise than the 80 GB card
        ("NVIDIA-L4", None),
        ("", None),
    ],
)
def test_the_product_label_names_the_card(product: str, card: str | None) -> None:
    assert card_of_product(product) == card


@pytest.mark.parametrize(
    ("resource", "profile"),
    [
        ("nvidia.com/mig-1g.10gb", "1g.10gb"),
        ("nvidia.com/mig-1g.10gb.me", "1g.10gb"),
        ("nvidia.com/gpu", None),
        ("amd.com/gpu", None),
    ],
)
def test_a_resource_names_its_profile(resource: str, profile: str | None) -> None:
    assert profile_of_resource(resource) == profile
