"""A node as what is paid for on it: cores, memory and each card as a supply with its price. Allots none of it."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from frugal.api.accelerators import GPU_RESOURCE
from frugal.api.price_book import PriceBook, Pricing
from frugal.pricing.allocation import Supply
from frugal.pricing.pricebook import GPU_PRODUCT_LABEL, SHARING_LABELS, hourly_price

CPU = "cpu"
MEMORY = "memory"


def node_supplies(
    book: PriceBook,
    *,
    node_labels: Mapping[str, str],
    pricing: Pricing | None,
    cores: Decimal,
    memory_bytes: Decimal,
    cards: tuple[str, ...] = (),
) -> tuple[Supply, ...]:
    """Return what a node has, with its price an hour: the prices add up to the node's. Raises PriceUnknown.

    cards: a name for each whole card, such as its UUID, however it is cut or shared.
    """
    whole = {label: text for label, text in node_labels.items() if label not in SHARING_LABELS}
    product = node_labels.get(GPU_PRODUCT_LABEL, "").partition("-MIG-")[0].removesuffix("-SHARED")
    whole |= {GPU_PRODUCT_LABEL: product} if product else {}
    hourly = hourly_price(
        book,
        node_labels=whole,
        pricing=pricing,
        cores=cores,
        memory_bytes=memory_bytes,
        gpus={GPU_RESOURCE: 1} if cards else {},
    )
    return (
        Supply(name=CPU, capacity=cores, hourly=hourly.cpu),
        Supply(name=MEMORY, capacity=memory_bytes, hourly=hourly.memory),
        *(Supply(name=card, capacity=Decimal(1), hourly=hourly.gpu) for card in cards),
    )
