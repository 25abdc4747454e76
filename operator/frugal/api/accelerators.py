"""What is published of accelerators: memory, slices, compute, bandwidth; and how node labels name them. Knows no price.

Sources, read 2026-11: NVIDIA data sheets of each card (dense figures, without sparsity), the NVIDIA Multi-Instance GPU
User Guide ("Supported MIG Profiles"), the AMD Instinct MI300X data sheet; labels: NVIDIA GPU feature discovery and
AMD GPU node labeller, their READMEs. What a list asks for a card stands in `LIST_PRICES`, as an example only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal

from frugal.units import MIB

CPU = "cpu"
GPU_RESOURCE = "nvidia.com/gpu"
AMD_GPU_RESOURCE = "amd.com/gpu"
PRODUCT_LABEL = "nvidia.com/gpu.product"
MEMORY_LABEL = "nvidia.com/gpu.memory"  # MiB of the whole card, or of the slice where every slice is alike
REPLICAS_LABEL = "nvidia.com/gpu.replicas"
SHARING_LABEL = "nvidia.com/gpu.sharing-strategy"  # none | time-slicing | mps
AMD_PRODUCT_LABEL = "amd.com/gpu.product-name"
MIG_RESOURCE = re.compile(r"^nvidia\.com/mig-(?P<profile>\d+g\.\d+gb)(?:\..*)?$")

_DECIMAL_GB = 10**9
_MEMORY_TOLERANCE = 0.1  # a driver reports up to a tenth less than the data sheet; 94 GB is no 80 GB


@dataclass(frozen=True, slots=True)
class MigProfile:
    """Slices that a profile takes of its card."""

    compute: int
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class MigCard:
    """How a card is cut: how many slices it has, and its profiles by name."""

    compute: int
    memory: int
    profiles: Mapping[str, MigProfile]


@dataclass(frozen=True, slots=True, kw_only=True)
class Card:
    """One whole card as its data sheet has it.

    words: all of them stand in its product label. memory_gb: decimal gigabytes. bandwidth: bytes per second.
    fp16, fp8, int8: dense tensor operations per second; 0 where the card has no such unit.
    """

    name: str
    words: tuple[str, ...]
    memory_gb: int
    bandwidth: float
    fp16: float
    int8: float
    fp8: float = 0.0
    mig: MigCard | None = None
    resource: str = GPU_RESOURCE
    not_words: tuple[str, ...] = field(default=())

    @property
    def memory_bytes(self) -> int:
        """Memory of the whole card."""
        return self.memory_gb * _DECIMAL_GB


def _seven_eighths(small: str, double: str, two: str, three: str, four: str, seven: str) -> MigCard:
    """Return a cut of 7 compute and 8 memory slices, as all since the A100 are cut."""
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


_EIGHTY = _seven_eighths("1g.10gb", "1g.20gb", "2g.20gb", "3g.40gb", "4g.40gb", "7g.80gb")
_GB_PER_SECOND = 1e9
_TERA = 1e12


def _card(name: str, words: str, gb: int, bandwidth: float, fp16: float, int8: float, **more: object) -> Card:
    """Return a card from a row of the table: GB, GB/s, and tera operations per second."""
    more["fp8"] = float(str(more.get("fp8", 0.0))) * _TERA
    return Card(
        name=name,
        words=tuple(words.split()),
        memory_gb=gb,
        bandwidth=bandwidth * _GB_PER_SECOND,
        fp16=fp16 * _TERA,
        int8=int8 * _TERA,
        **more,  # type: ignore[arg-type]
    )


CARDS: tuple[Card, ...] = (
    #     name          words        GB   GB/s  fp16  int8
    _card("A30", "A30", 24, 933, 165, 330, mig=MigCard(
        compute=4,
        memory=4,
        profiles={"1g.6gb": MigProfile(1, 1), "2g.12gb": MigProfile(2, 2), "4g.24gb": MigProfile(4, 4)},
    )),
    _card("A100-40GB", "A100", 40, 1555, 312, 624,
          mig=_seven_eighths("1g.5gb", "1g.10gb", "2g.10gb", "3g.20gb", "4g.20gb", "7g.40gb")),
    _card("A100-80GB", "A100", 80, 1935, 312, 624, mig=_EIGHTY),  # PCIe; SXM reads 5 % faster
    _card("H100-80GB", "H100", 80, 3350, 989, 1979, fp8=1979, mig=_EIGHTY, not_words=("NVL", "PCIE")),  # SXM
    _card("H100-PCIE-80GB", "H100 PCIE", 80, 2000, 756, 1513, fp8=1513, mig=_EIGHTY, not_words=("NVL",)),
    _card("H200-141GB", "H200", 141, 4800, 989, 1979, fp8=1979, not_words=("NVL",),
          mig=_seven_eighths("1g.18gb", "1g.35gb", "2g.35gb", "3g.71gb", "4g.71gb", "7g.141gb")),
    _card("B200-180GB", "B200", 180, 7700, 2250, 4500, fp8=4500,
          mig=_seven_eighths("1g.23gb", "1g.45gb", "2g.45gb", "3g.90gb", "4g.90gb", "7g.180gb")),
    _card("A10G", "A10G", 24, 600, 70, 140),
    _card("L4", "L4", 24, 300, 121, 242, fp8=242),
    _card("L40S", "L40S", 48, 864, 362, 733, fp8=733),
    _card("T4", "T4", 16, 320, 65, 130),
    _card("V100-16GB", "V100", 16, 900, 125, 63),
    _card("V100-32GB", "V100", 32, 900, 125, 63),
    _card("MI300X", "MI300X", 192, 5300, 1307, 2615, fp8=2615, resource=AMD_GPU_RESOURCE),
)  # fmt: skip

LIST_PRICES: Mapping[str, Decimal] = {
    # USD per card and hour on demand, list, orders of magnitude: public catalogues of 2026-05 to 2026-08 (AWS p4d, p5,
    # p5en, p6 and g5, g6e by eighth or by card; GCP for T4, L4, A100-80GB, V100). No default of anything: the same card
    # differs two- to fourfold by cloud and region, so money comes from the user's price book alone.
    "T4": Decimal("0.35"),
    "L4": Decimal("0.56"),
    "A10G": Decimal("1.01"),
    "L40S": Decimal("1.86"),
    "V100-16GB": Decimal("2.48"),
    "A100-40GB": Decimal("2.74"),
    "A100-80GB": Decimal("4.42"),
    "H100-80GB": Decimal("6.88"),
    "H200-141GB": Decimal("7.91"),
    "B200-180GB": Decimal("14.24"),
}


def card_named(product: str, *, memory_bytes: float | None = None) -> Card | None:
    """Return the card that a product label names, such as NVIDIA-A100-SXM4-80GB or Tesla-T4-SHARED.

    memory_bytes: of the whole card, as its driver reports it, where that is known; it tells sizes apart.
    None for a card that is not in the table, and where more than one could be meant.
    """
    words = re.split(r"[-_ ]", product.partition("-MIG-")[0].upper())
    sizes = {int(word[:-2]) for word in words if re.fullmatch(r"\d+GB", word)}
    found = [card for card in CARDS if _is_named(card, words) and _has_size(card, sizes, memory_bytes)]
    most = max((len(card.words) for card in found), default=0)
    best = [card for card in found if len(card.words) == most]
    return best[0] if len(best) == 1 else None


def product_label(accelerator: str) -> str:
    """Return the node label that names the product behind an extended resource."""
    return AMD_PRODUCT_LABEL if accelerator == AMD_GPU_RESOURCE else PRODUCT_LABEL


def profile_of_resource(resource: str) -> str | None:
    """Return the profile that an extended resource such as nvidia.com/mig-1g.10gb names, or None."""
    match = MIG_RESOURCE.match(resource)
    return match["profile"] if match else None


def profile_of_product(product: str) -> str | None:
    """Return the profile at the end of a product label, where every card of the node is cut alike, or None."""
    profile = product.partition("-MIG-")[2].removesuffix("-SHARED")
    return profile or None


def is_shared(product: str, labels: Mapping[str, str]) -> bool:
    """Whether several pods share a piece that this label names (time-slicing or MPS)."""
    return product.endswith("-SHARED") or labels.get(SHARING_LABEL, "none") not in ("none", "")


def reported_bytes(labels: Mapping[str, str], label: str = MEMORY_LABEL) -> float | None:
    """Return the memory that a label in MiB reports; None where it is not there or no number."""
    text = labels.get(label, "")
    return float(text) * MIB if text.isdigit() and int(text) else None


def _is_named(card: Card, words: list[str]) -> bool:
    return set(card.words) <= set(words) and not set(card.not_words) & set(words)


def _has_size(card: Card, sizes: set[int], memory_bytes: float | None) -> bool:
    if sizes and card.memory_gb not in sizes:
        return False
    if memory_bytes is None:
        return True
    return abs(memory_bytes / card.memory_bytes - 1) <= _MEMORY_TOLERANCE
