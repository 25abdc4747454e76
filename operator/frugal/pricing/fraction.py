"""The share of a card's price that a MIG profile is charged. It conserves: no legal layout exceeds the card.

A profile with c of C compute slices and m of M memory slices is charged (c/C + m/M) / 2. Charging the larger of the two
would bill 4g.40gb beside 3g.40gb, a legal layout, as 1.07 cards.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

MIG_RESOURCE = re.compile(r"^nvidia\.com/mig-(?P<profile>\d+g\.\d+gb)(?:\..*)?$")


@dataclass(frozen=True, slots=True)
class MigProfile:
    """Slices that a profile takes of its card."""

    compute: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MigCard:
    """A card that can be cut: how many slices it has, and its profiles by name."""

    compute: int
    memory: int
    profiles: Mapping[str, MigProfile]


def _seven_eighths(small: str, double: str, two: str, three: str, four: str, seven: str) -> MigCard:
    """Return a card of 7 compute and 8 memory slices, as all since the A100 are cut."""
    return MigCard(
        compute=7,
        memory=8,
        profiles={
            small: MigProfile(1, 1),
            double: MigProfile(1, 2),
            two: MigProfile(2, 2),
            three: MigProfile(3, 4),
            four: MigProfile(4, 4),
            seven: MigProfile(7, 8),
        },
    )


MIG_CARDS: Mapping[str, MigCard] = {
    # NVIDIA Multi-Instance GPU User Guide, "Supported MIG Profiles"
    "A30": MigCard(
        compute=4,
        memory=4,
        profiles={"1g.6gb": MigProfile(1, 1), "2g.12gb": MigProfile(2, 2), "4g.24gb": MigProfile(4, 4)},
    ),
    "A100-40GB": _seven_eighths("1g.5gb", "1g.10gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb"),
    "A100-80GB": _seven_eighths("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"),
    "H100-80GB": _seven_eighths("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb"),
    "H200-141GB": _seven_eighths("1g.18gb", "1g.35gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb"),
    "B200-180GB": _seven_eighths("1g.23gb", "1g.45gb", "2g.45gb", "3g.90gb", "4g.90gb", "7g.180gb"),
}


def share(card: str, profile: str) -> Decimal | None:
    """Return the share of `card` that `profile` is charged, in (0, 1]; None when the table does not know it."""
    cut = MIG_CARDS.get(card)
    taken = cut.profiles.get(profile) if cut else None
    if cut is None or taken is None:
        return None
    return (Decimal(taken.compute) / cut.compute + Decimal(taken.memory) / cut.memory) / 2


def card_of_product(product: str) -> str | None:
    """Return the card that a node's label nvidia.com/gpu.product names, such as NVIDIA-A100-SXM4-80GB.

    A label without a memory size is understood where its family has one size only; None when it is not sure.
    """
    words = product.upper().split("-")
    sizes = [word for word in words if re.fullmatch(r"\d+GB", word)]
    candidates = [
        card
        for card in MIG_CARDS
        for family, _, size in [card.partition("-")]
        if family in words and (not sizes or not size or size in sizes)
    ]
    return candidates[0] if len(candidates) == 1 else None


def profile_of_resource(resource: str) -> str | None:
    """Return the profile that an extended resource such as nvidia.com/mig-1g.10gb names, or None."""
    match = MIG_RESOURCE.match(resource)
    return match["profile"] if match else None
