"""From a price book to what an hour costs on a given node. A missing price raises PriceUnknown, it is no guess.

Prices that a node's own labels state come before the book's entry; a node's whole bill is split over what it has.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal, InvalidOperation

from frugal.api.accelerators import REPLICAS_LABEL, SHARING_LABEL, is_shared
from frugal.api.price_book import PriceBook, PriceEntry, Pricing, moment_of
from frugal.errors import PriceUnknown
from frugal.pricing.fraction import card_of_product, profile_of_resource, share
from frugal.units import GIB

GPU_PRODUCT_LABEL = "nvidia.com/gpu.product"
CPU_PRICE_LABEL = "frugal.dev/price-cpu-core-hour"
MEMORY_PRICE_LABEL = "frugal.dev/price-memory-gib-hour"
GPU_PRICE_LABEL = "frugal.dev/price-gpu-hour"
SHARING_LABELS = (REPLICAS_LABEL, SHARING_LABEL)
NO_MONEY = Decimal(0)
OLD_AFTER_DAYS = 90  # list prices of accelerators fell by 44 % within one year (AWS p5, June 2025)


@dataclass(frozen=True, slots=True, kw_only=True)
class HourlyCost:
    """Money an hour, by resource, in the price book's currency."""

    cpu: Decimal = NO_MONEY
    memory: Decimal = NO_MONEY
    gpu: Decimal = NO_MONEY
    storage: Decimal = NO_MONEY
    network: Decimal = NO_MONEY

    @property
    def total(self) -> Decimal:
        """All resources together."""
        return sum(self.by_resource().values(), start=NO_MONEY)

    def times(self, count: int | Decimal) -> HourlyCost:
        """Return the cost of `count` of it."""
        return HourlyCost(**{name: part * count for name, part in self.by_resource().items()})

    def by_resource(self) -> Mapping[str, Decimal]:
        """Return the parts under the names that the metrics use."""
        return {part.name: getattr(self, part.name) for part in fields(self)}


def hourly_price(
    book: PriceBook,
    *,
    node_labels: Mapping[str, str],
    pricing: Pricing | None = Pricing.ON_DEMAND,
    cores: Decimal,
    memory_bytes: Decimal,
    gpus: Mapping[str, int] | None = None,
    storage_bytes: Decimal = NO_MONEY,
    network_bytes_per_hour: Decimal = NO_MONEY,
) -> HourlyCost:
    """Return what an hour of these amounts costs on a node with these labels, after both discounts.

    pricing: how the node is paid; None where nothing says so: any way but spot.
    gpus: pieces by extended resource, such as nvidia.com/gpu or nvidia.com/mig-1g.10gb, or by product name.

    Raises:
        PriceUnknown: no entry for the node and the way it is paid, two entries that select it alike, or no price of a
            card or of storage in it. What is not asked for needs no price.
    """
    found = entry_for(book, node_labels=node_labels, pricing=pricing)
    entry = _as_labelled(found, node_labels)
    split = _split_of(found) if entry is found else Decimal(1)  # what a label states is no weight but a price
    cost = HourlyCost(
        cpu=entry.cpu_per_core_hour * cores,
        memory=entry.memory_per_gib_hour * memory_bytes / GIB,
        gpu=sum(
            (card_hour(entry, resource, node_labels) * count for resource, count in (gpus or {}).items() if count),
            start=NO_MONEY,
        ),
    ).times(split)
    beside = HourlyCost(
        storage=_part(entry.storage_per_gib_hour, "storage", storage_bytes, entry),
        network=_part(entry.network_per_gib, "network", network_bytes_per_hour, entry),
    )
    kept = kept_ratio(book, entry)
    return HourlyCost(
        cpu=cost.cpu * kept,
        memory=cost.memory * kept,
        gpu=cost.gpu * kept,
        storage=beside.storage * kept,
        network=beside.network * kept,
    )


def core_hour(book: PriceBook, *, node_labels: Mapping[str, str], pricing: Pricing | None) -> Decimal:
    """Return the price of one core for an hour; raises PriceUnknown."""
    return hourly_price(book, node_labels=node_labels, pricing=pricing, cores=Decimal(1), memory_bytes=NO_MONEY).cpu


def kept_ratio(book: PriceBook, entry: PriceEntry) -> Decimal:
    """Return what both discounts leave of a price."""
    return (1 - Decimal(str(book.discount_ratio))) * (1 - Decimal(str(entry.discount_ratio)))


def valid_at(book: PriceBook, moment: datetime) -> PriceBook:
    """Return the book as it held at `moment`: of entries with the same selector the one that began last.

    Raises PriceUnknown where no entry had begun.
    """
    begun: dict[tuple[object, ...], PriceEntry] = {}
    for entry in sorted(book.entries, key=lambda one: one.begins):
        if entry.begins <= moment:
            begun[(tuple(sorted(entry.node_labels.items())), entry.pricing)] = entry
    if not begun:
        first = min(entry.begins for entry in book.entries)
        raise PriceUnknown(resource=f"{moment:%Y-%m-%d}", known=(f"prices from {first:%Y-%m-%d} on",))
    if len(begun) == len(book.entries):
        return book
    return book.model_copy(update={"entries": list(begun.values())})


def next_change(book: PriceBook, moment: datetime) -> datetime | None:
    """Return when an entry begins next after `moment`, or None."""
    return min((entry.begins for entry in book.entries if entry.begins > moment), default=None)


def warnings(book: PriceBook, moment: datetime) -> tuple[str, ...]:
    """Return what a person should look at: prices that are old, and spot that costs more than on demand."""
    found = []
    age = (moment - _noon(book.retrieved_at)).days
    if age > OLD_AFTER_DAYS:
        found.append(f"the prices were read on {book.retrieved_at}, {age} days ago: read them again")
    regular = {_selector(one): one for one in book.entries if one.pricing is Pricing.ON_DEMAND}
    for entry in book.entries:
        other = regular.get(_selector(entry))
        if entry.pricing is Pricing.SPOT and other and entry.cpu_per_core_hour > other.cpu_per_core_hour:
            found.append(f"a spot core costs more than one on demand ({_text(entry)}): is that a mistake?")
    return tuple(found)


def entry_for(book: PriceBook, *, node_labels: Mapping[str, str], pricing: Pricing | None) -> PriceEntry:
    """Return the entry that selects the node with the most labels; raises PriceUnknown for none, or for two alike."""
    matching = [
        entry
        for entry in book.entries
        if _is_paid(entry, pricing) and entry.node_labels.items() <= dict(node_labels).items()
    ]
    if not matching:
        how = f"a node that is paid {pricing.value}" if pricing is not None else "a node that is not spot"
        raise PriceUnknown(resource=how, known=_selectors(book.entries))
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
    if resource.startswith("nvidia.com/") and is_shared(label, node_labels):
        apart = {name: text for name, text in node_labels.items() if name not in SHARING_LABELS}
        apart[GPU_PRODUCT_LABEL] = label.removesuffix("-SHARED")
        return card_hour(entry, resource.removesuffix(".shared"), apart) / _pieces(node_labels)
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


def _part(price_per_gib: Decimal | None, what: str, size_bytes: Decimal, entry: PriceEntry) -> Decimal:
    if not size_bytes:
        return NO_MONEY
    if price_per_gib is None:
        raise PriceUnknown(resource=what, known=("cpu", "memory", *sorted(entry.gpu_per_hour)))
    return price_per_gib * size_bytes / GIB


def _split_of(entry: PriceEntry) -> Decimal:
    """Return by what the entry's prices are multiplied, so that those of the whole node add up to its bill."""
    node = entry.node
    if node is None:
        return Decimal(1)
    listed = entry.cpu_per_core_hour * node.cpu.value + entry.memory_per_gib_hour * node.memory.value / GIB
    listed += entry.gpu_per_hour[node.gpu_product] * node.gpus if node.gpus else NO_MONEY
    return node.hourly / listed


def _as_labelled(entry: PriceEntry, node_labels: Mapping[str, str]) -> PriceEntry:
    """Return the entry with the prices that the node's labels state; raises PriceUnknown for a label that is none."""
    update: dict[str, object] = {}
    if CPU_PRICE_LABEL in node_labels:
        update["cpu_per_core_hour"] = _labelled(node_labels, CPU_PRICE_LABEL)
    if MEMORY_PRICE_LABEL in node_labels:
        update["memory_per_gib_hour"] = _labelled(node_labels, MEMORY_PRICE_LABEL)
    if GPU_PRICE_LABEL in node_labels:
        product = node_labels.get(GPU_PRODUCT_LABEL, "nvidia.com/gpu").partition("-MIG-")[0].removesuffix("-SHARED")
        update["gpu_per_hour"] = {**entry.gpu_per_hour, product: _labelled(node_labels, GPU_PRICE_LABEL)}
    return entry.model_copy(update=update) if update else entry


def _labelled(node_labels: Mapping[str, str], label: str) -> Decimal:
    try:
        price = Decimal(node_labels[label])
    except InvalidOperation:
        price = Decimal(-1)
    if not price.is_finite() or price < 0:
        raise PriceUnknown(resource=f"{label}={node_labels[label]}", known=("a number such as 0.0335 in that label",))
    return price


def _pieces(node_labels: Mapping[str, str]) -> int:
    """Return as how many pieces each shared card is advertised; raises PriceUnknown where no label says so."""
    text = node_labels.get(REPLICAS_LABEL, "")
    if not text.isdigit() or int(text) < 1:
        raise PriceUnknown(resource=f"a shared card ({REPLICAS_LABEL}={text})", known=("a number from 1 on there",))
    return int(text)


def _is_paid(entry: PriceEntry, pricing: Pricing | None) -> bool:
    return entry.pricing is pricing if pricing is not None else entry.pricing is not Pricing.SPOT


def _selector(entry: PriceEntry) -> tuple[tuple[str, str], ...]:
    return tuple(sorted(entry.node_labels.items()))


def _noon(date: str) -> datetime:
    return moment_of(f"{date}T12:00:00Z")


def _text(entry: PriceEntry) -> str:
    labels = ",".join(f"{key}={value}" for key, value in _selector(entry))
    return f"{entry.pricing.value} for {labels or 'any node'}"


def _selectors(entries: list[PriceEntry]) -> tuple[str, ...]:
    return tuple(map(_text, entries[:8]))
