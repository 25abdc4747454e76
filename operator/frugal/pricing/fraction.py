"""The share of a card's price that a MIG profile is charged. It conserves: no legal layout exceeds the card.

A profile with c of C compute slices and m of M memory slices is charged (c/C + m/M) / 2. Charging the larger of the two
would bill 4g.40gb beside 3g.40gb, a legal layout, as 1.07 cards.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from frugal.api.accelerators import CARDS, MigCard, card_named, profile_of_resource

__all__ = ["MIG_CARDS", "MigCard", "card_of_product", "profile_of_resource", "share"]

MIG_CARDS: Mapping[str, MigCard] = {card.name: card.mig for card in CARDS if card.mig is not None}


def share(card: str, profile: str) -> Decimal | None:
    """Return the share of `card` that `profile` is charged, in (0, 1]; None when the table does not know it."""
    cut = MIG_CARDS.get(card)
    taken = cut.profiles.get(profile) if cut else None
    if cut is None or taken is None:
        return None
    return (Decimal(taken.compute) / cut.compute + Decimal(taken.memory) / cut.memory) / 2


def card_of_product(product: str) -> str | None:
    """Return the card that can be cut and that a node's product label names; None when it is not sure."""
    card = card_named(product)
    return card.name if card is not None and card.mig is not None else None
