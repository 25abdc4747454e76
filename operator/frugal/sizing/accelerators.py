"""What a replica may run on, as node labels tell of it, and how much slower another kind would be. Chooses nothing.

A kind is so many pieces of one extended resource of one product; a slice has its share of compute and of memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from frugal.api.accelerators import (
    AMD_GPU_RESOURCE,
    AMD_PRODUCT_LABEL,
    CPU,
    GPU_RESOURCE,
    PRODUCT_LABEL,
    REPLICAS_LABEL,
    Card,
    card_named,
    is_shared,
    product_label,
    profile_of_product,
    profile_of_resource,
    reported_bytes,
)
from frugal.api.status import Size
from frugal.units import size_text

MEMORY_ROOM_RATIO = 0.9  # of a card's memory may be needed: the driver and fragmentation take some of it
_MIG_PREFIX = "nvidia.com/mig-"


@dataclass(frozen=True, slots=True, kw_only=True)
class Kind:
    """What each replica gets. Figures are of all its pieces together, None where nothing is published or reported.

    product: as the node label has it; empty where it is not known. compute: dense FP16 operations a second.
    bandwidth: bytes a second to its memory.
    """

    accelerator: str = CPU
    product: str = ""
    count: int = 0
    memory_bytes: float | None = None
    compute: float | None = None
    bandwidth: float | None = None

    @property
    def key(self) -> str:
        """Return the name under which what was measured on this kind is kept."""
        return kind_key(self.accelerator, self.product, self.count)

    def __str__(self) -> str:
        if not self.count:
            return CPU
        what = f"{self.count} {self.accelerator}"
        return f"{what} of {self.product}" if self.product else what


CPU_KIND = Kind()


def kind_key(accelerator: str, product: str, count: int) -> str:
    """Return the name of a kind; the product counts, because a T4 and an H100 are the same resource."""
    return f"{count}x{accelerator}@{product}" if count else CPU


def offered(labels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the accelerators that a node with these labels offers, in order of name.

    NVIDIA's feature discovery counts whole cards in gpu.count, slices of mixed cards in mig-PROFILE.count; AMD's
    labeller only names the product.
    """
    found = {label.removesuffix(".count") for label in labels if _is_slice_count(label) and labels[label] != "0"}
    if PRODUCT_LABEL in labels and labels.get("nvidia.com/gpu.count", "1") != "0":
        found.add(GPU_RESOURCE)
    if AMD_PRODUCT_LABEL in labels:
        found.add(AMD_GPU_RESOURCE)
    return tuple(sorted(found))


def kind_on(labels: Mapping[str, str], accelerator: str, count: int) -> Kind:
    """Return the kind that `count` pieces of `accelerator` are on a node with these labels."""
    if not count:
        return CPU_KIND
    product = labels.get(product_label(accelerator), "")
    profile = profile_of_resource(accelerator) or (profile_of_product(product) if accelerator == GPU_RESOURCE else None)
    card = card_named(product, memory_bytes=None if profile_of_product(product) else reported_bytes(labels))
    compute, bandwidth = _shares(card, profile)
    memory = _memory(labels, accelerator, profile, card, bandwidth)
    pieces = count / _pods_on_a_piece(product, labels)
    return Kind(
        accelerator=accelerator,
        product=product,
        count=count,
        memory_bytes=None if memory is None else memory * pieces,
        compute=card.fp16 * compute * pieces if card is not None and compute else None,
        bandwidth=card.bandwidth * bandwidth * pieces if card is not None and bandwidth else None,
    )


def kind_of(size: Size, labels: Mapping[str, str]) -> Kind:
    """Return the kind of a size on a node with these labels; what they do not tell stays unknown."""
    if size.product and labels.get(product_label(size.accelerator)) != size.product:
        labels = {product_label(size.accelerator): size.product}
    return kind_on(labels, size.accelerator, size.count)


def slowdown(present: Kind, other: Kind) -> float | None:
    """Return how many times longer a request takes on `other`, by the scarcer of compute and bandwidth.

    Not every model uses a whole card, so on a smaller one this is the most that it can be. None where either is not
    published.
    """
    if present.key == other.key:
        return 1.0
    if not present.compute or not other.compute or not present.bandwidth or not other.bandwidth:
        return None
    return max(present.compute / other.compute, present.bandwidth / other.bandwidth)


def misfit(kind: Kind, needed_bytes: float) -> str:
    """Return why a replica that needs so much accelerator memory does not fit; empty when it does."""
    if not kind.count:
        return ""
    if kind.memory_bytes is None:
        return "how much memory it has is not known"
    room = kind.memory_bytes * MEMORY_ROOM_RATIO
    if needed_bytes <= room:
        return ""
    return f"a replica needs {size_text(needed_bytes)}, {size_text(room)} of it may be used"


def _is_slice_count(label: str) -> bool:
    return label.startswith(_MIG_PREFIX) and label.endswith(".count")


def _shares(card: Card | None, profile: str | None) -> tuple[float, float]:
    """Return the share of the card's compute and of its memory; (0, 0) for a slice that the table does not know."""
    if profile is None:
        return 1.0, 1.0
    taken = card.mig.profiles.get(profile) if card is not None and card.mig is not None else None
    if card is None or card.mig is None or taken is None:
        return 0.0, 0.0
    return taken.compute / card.mig.compute, taken.memory / card.mig.memory


def _pods_on_a_piece(product: str, labels: Mapping[str, str]) -> int:
    """Return by how many pods a piece is shared; nothing keeps them apart, so each counts on its part alone."""
    replicas = labels.get(REPLICAS_LABEL, "1")
    return max(1, int(replicas)) if is_shared(product, labels) and replicas.isdigit() else 1


def _memory(
    labels: Mapping[str, str], accelerator: str, profile: str | None, card: Card | None, share: float
) -> float | None:
    """Return the memory of a piece: as its node reports it, else its share of the data sheet's."""
    published = card.memory_bytes * share if card is not None and share else None
    if accelerator == GPU_RESOURCE:  # where every card is cut alike, the label is of a slice
        return reported_bytes(labels) or published
    return (reported_bytes(labels, f"{accelerator}.memory") if profile else None) or published
