"""What pods on one card take of it: a MIG slice its charged share, a time-slice its declared part, both of capacity 1.

Also how a card's measured activity is parted among pods that share it: exporters repeat the card's figure for each pod
(dcgm-exporter#582), so summing would multiply the card.
"""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from frugal.errors import InvalidAmount, PriceUnknown
from frugal.pricing.fraction import MIG_CARDS, share

WHOLE_CARD = Decimal(1)


def slice_of_card(card: str, profile: str) -> Decimal:
    """Return what a MIG profile takes of its card, in (0, 1]; raises PriceUnknown where the table has no such slice."""
    charged = share(card, profile)
    if charged is None:
        known = tuple(sorted(MIG_CARDS[card].profiles)) if card in MIG_CARDS else tuple(sorted(MIG_CARDS))
        raise PriceUnknown(resource=f"profile {profile} of {card}", known=known)
    return charged


def time_slice(replicas: int) -> Decimal:
    """Return what one of the pieces takes that a card is advertised as (`nvidia.com/gpu.replicas`, time-slicing, MPS).

    Pieces that no pod holds are idle: they are billed to nobody.
    """
    if replicas < 1:
        raise InvalidAmount(what="nvidia.com/gpu.replicas", field="value", value=Decimal(replicas))
    return WHOLE_CARD / replicas


def parted_activity(card_activity: Decimal, measured: Mapping[str, Decimal | None]) -> dict[str, Decimal]:
    """Return the busy share of a card by pod; the parts never exceed what the card itself was busy.

    card_activity: busy ratio of the whole card, in [0, 1]; more is a fault of the exporter (DCGM#152) and counts as 1.
    measured: each pod's own activity, None where no per-process source exists. Pods without one share what is left
    alike: the stated fallback.
    """
    busy = min(WHOLE_CARD, max(Decimal(0), card_activity))
    own = {pod: max(Decimal(0), activity) for pod, activity in measured.items() if activity is not None}
    unmeasured = [pod for pod in measured if pod not in own]
    known = sum(own.values(), start=Decimal(0))
    if known > busy or (known and not unmeasured):
        own = {pod: activity * busy / known for pod, activity in own.items()}
        known = busy
    left = (busy - known) / len(unmeasured) if unmeasured else Decimal(0)
    return {pod: own.get(pod, left) for pod in measured}
