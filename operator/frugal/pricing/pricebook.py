"""From a price book to what an hour costs on a given node. A missing price raises PriceUnknown, it is no guess."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal

from frugal.api.price_book import PriceBook, PriceEntry, Pricing
from frugal.errors import PriceUnknown
from frugal.pricing.fraction import card_of_product, profile_of_resource, share
from frugal.units import GIB

GPU_PRODUCT_LABEL = "nvidia.com/gpu.product"
NO_MONEY = Decimal(0)


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyCost:
    """Money an hour, by resource, in the price book's currency."""

    cpu: Decimal = NO_MONEY
    memory: Decimal = NO_MONEY
    gpu: Decimal = NO_MONEY
    storage: Decimal = NO_MONEY

    @property
    def total(self) -> Decimal:
        """All resources together."""
        return self.cpu + self.memory + self.gpu + self.storage

    def times(self, count: int | Decimal) -> HourlyCost:
        """Return the cost of `count` of it."""
        return HourlyCost(
            cpu=self.cpu * count, memory=self.memory * count, gpu=self.gpu * count, storage=self.storage * count
        )

    def by_resource(self) -> Mapping[str, Decimal]:
        """Return the parts under the names that the metrics use."""
        return {"cpu": self.cpu, "memory": self.memory, "gpu": self.gpu, "storage": self.storage}


def hourly_price(
    book: PriceBook,
    *,
    node_labels: Mapping[str, str],
    pricing: Pricing = Pricing.ON_DEMAND,
    cores: Decimal,
    memory_bytes: Decimal,
    gpus: Mapping[str, int] | None = None,
    storage_bytes: Decimal = NO_MONEY,
) -> HourlyCost:
    """Return what an hour of these amounts costs on a node with these labels, after the book's discount.

    gpus: pieces by extended resource, such as nvidia.com/gpu or nvidia.com/mig-1g.10gb, or by product name.

    Raises:
        PriceUnknown: no entry for the node and the way it is paid, two entries that select it alike, or no price of a
            card or of storage in it. What is not asked for needs no price.
    """
    entry = entry_for(book, node_labels=node_labels, pricing=pricing)
    cost = HourlyCost(
        cpu=entry.cpu_per_core_hour * cores,
        memory=entry.memory_per_gib_hour * memory_bytes / GIB,
        gpu=sum(
            (card_hour(entry, resource, node_labels) * count for resource, count in (gpus or {}).items() if count),
            start=NO_MONEY,
        ),
        storage=_storage_hour(entry) * storage_bytes / GIB if storage_bytes else NO_MONEY,
    )
    return cost.times(1 - Decimal(str(book.discount_ratio)))


def entry_for(book: PriceBook, *, node_labels: Mapping[str, str], pricing: Pricing) -> PriceEntry:
    """Return the entry that selects the node with the most labels; raises PriceUnknown for none, or for two alike."""
    matching = [
        entry
        for entry in book.entries
        if entry.pricing is pricing and entry.node_labels.items() <= dict(node_labels).items()
    ]
    if not matching:
        raise PriceUnknown(resource=f"a node that is paid {pricing.value}", known=_selectors(book.entries))
    most = max(len(entry.node_labels) for entry in matching)
    best = [entry for entry in matching if len(entry.node_labels) == most]
    if len(best) > 1:
        raise PriceUnknown(
            resource=f"a node that {len(best)} entries select with {most} labels each", known=_selectors(best)
        )
    return best[0]


def card_hour(entry: PriceEntry, resource: str, node_labels: Mapping[str, str]) -> Decimal:
    """Return the price of one piece of `resource` for an hour, before the discount.

    The resource's own price comes first, then its card's by the node's product label, cut for a MIG profile.
    """
    prices = entry.gpu_per_hour
    label = node_labels.get(GPU_PRODUCT_LABEL, "")
    product, _, labelled_profile = label.partition("-MIG-")
    profile = profile_of_resource(resource) or (labelled_profile if resource == "nvidia.com/gpu" else None)
    if profile:
        return _slice_hour(prices, resource, label, product, profile)
    for name in (product, resource):
        if name in prices:
            return prices[name]
    raise PriceUnknown(resource=product or resource, known=tuple(sorted(prices)))


def _slice_hour(prices: Mapping[str, Decimal], resource: str, label: str, product: str, profile: str) -> Decimal:
    for name in (label, f"{product}-MIG-{profile}", f"nvidia.com/mig-{profile}"):
        if name in prices and "mig-" in name.lower():
            return prices[name]
    card = card_of_product(product)
    charged = share(card, profile) if card else None
    if product not in prices or charged is None:
        raise PriceUnknown(resource=f"{resource} of {product or 'an unlabelled card'}", known=tuple(sorted(prices)))
    return prices[product] * charged


def _storage_hour(entry: PriceEntry) -> Decimal:
    if entry.storage_per_gib_hour is None:
        raise PriceUnknown(resource="storage", known=("cpu", "memory", *sorted(entry.gpu_per_hour)))
    return entry.storage_per_gib_hour


def _selectors(entries: list[PriceEntry]) -> tuple[str, ...]:
    def text(entry: PriceEntry) -> str:
        labels = ",".join(f"{key}={value}" for key, value in sorted(entry.node_labels.items()))
        return f"{entry.pricing.value} for {labels or 'any node'}"

    return tuple(text(entry) for entry in entries[:8])
