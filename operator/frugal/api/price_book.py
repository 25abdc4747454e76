"""The price book as a platform team writes it (chart values or a ConfigMap). Arithmetic with it stands in pricing/."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated

from pydantic import Field

from frugal.api.base import ApiModel, Money, Name, Rule
from frugal.api.inference_deployment import OnExceed
from frugal.units import Quantity, parse_rfc3339

DATE_PATTERN = r"^\d{4}-\d{2}-\d{2}(T\d{2}:\d{2}:\d{2}Z)?$"
HOURS_PER_YEAR = 8760


class Pricing(StrEnum):
    """How capacity is paid."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"
    OWNED = "owned"


class OwnedHardware(ApiModel):
    """Hardware of one's own: what it cost, how long it lasts, and what it draws."""

    purchase_price: Annotated[Money, Field(description="Of the whole node, installed.")]
    years: Annotated[float, Field(gt=0, le=30, description="Over how many years it is written off.")]
    power_watts: Annotated[float, Field(ge=0, le=1_000_000, description="Measured mean draw of the node.")] = 0
    price_per_kwh: Annotated[Money, Field(alias="pricePerKWh", description="Tariff of a kilowatt-hour.")] = Decimal(0)
    pue: Annotated[
        float, Field(ge=1, le=5, description="Power of the building / power of its machines; 1 leaves cooling out.")
    ] = 1

    @property
    def per_hour(self) -> Decimal:
        """Capital and power of an hour, running day and night."""
        capital = self.purchase_price / (Decimal(str(self.years)) * HOURS_PER_YEAR)
        return capital + Decimal(str(self.power_watts)) / 1000 * Decimal(str(self.pue)) * self.price_per_kwh


class NodePrice(ApiModel):
    """The price of a whole node, split over what it has in the ratio of the entry's prices."""

    per_hour: Annotated[Money | None, Field(description="The whole node for an hour.")] = None
    owned: Annotated[OwnedHardware | None, Field(description="Or what it cost to buy and what it draws.")] = None
    cpu: Annotated[Quantity, Field(description="Cores of the node.")]
    memory: Annotated[Quantity, Field(description="Memory of the node.")]
    gpus: Annotated[int, Field(ge=0, le=1024, description="Whole cards of the node.")] = 0
    gpu_product: Annotated[
        str, Field(max_length=253, description="Which price of gpuPerHour its cards weigh with.")
    ] = ""
    RULES = (
        Rule(
            cel="",
            check=lambda self: (self.per_hour is None) != (self.owned is None),
            field="perHour",
            message="give exactly one of perHour and owned",
        ),
        Rule(
            cel="",
            check=lambda self: self.cpu.value > 0 and self.memory.value > 0,
            field="cpu",
            message="a node has cores and memory: both are above 0",
        ),
        Rule(
            cel="",
            check=lambda self: (self.gpus > 0) == bool(self.gpu_product),
            field="gpuProduct",
            message="a node with gpus names their price by gpuProduct, one without has none",
        ),
    )

    @property
    def hourly(self) -> Decimal:
        """The whole node for an hour, before any discount."""
        if self.owned is not None:
            return self.owned.per_hour
        assert self.per_hour is not None, "exactly one of the two is given"
        return self.per_hour


class PriceEntry(ApiModel):
    """Prices of the nodes that `nodeLabels` select; the entry with the most matching labels wins."""

    node_labels: Annotated[
        dict[str, str], Field(max_length=16, description="Labels that a node must carry; empty matches all.")
    ] = {}
    pricing: Annotated[Pricing, Field(description="on_demand | spot | reserved | owned")] = Pricing.ON_DEMAND
    cpu_per_core_hour: Annotated[Money, Field(description="One core for an hour.")]
    memory_per_gib_hour: Annotated[Money, Field(alias="memoryPerGiBHour", description="One GiB for an hour.")]
    storage_per_gib_hour: Annotated[
        Money | None, Field(alias="storagePerGiBHour", description="One GiB of volume for an hour.")
    ] = None
    gpu_per_hour: Annotated[
        dict[str, Money],
        Field(
            max_length=64,
            description="Price of an hour of a card by its product name (nvidia.com/gpu.product) or resource name.",
        ),
    ] = {}
    network_per_gib: Annotated[
        Money | None, Field(alias="networkPerGiB", description="One GiB that leaves the zone.")
    ] = None
    node: Annotated[
        NodePrice | None,
        Field(description="The bill of the whole node: the other prices then only say in what ratio it is split."),
    ] = None
    discount_ratio: Annotated[float, Field(ge=0, lt=1, description="Taken off this entry, then the book's.")] = 0
    valid_from: Annotated[
        str,
        Field(
            pattern=f"{DATE_PATTERN}|^$",
            description="From when it holds (a date, or RFC 3339 in UTC); the entry with the same selector that began "
            "last holds. Empty: since ever.",
        ),
    ] = ""
    RULES = (
        Rule(
            cel="",
            check=lambda self: _is_moment(self.valid_from),
            field="validFrom",
            message="validFrom is a date such as 2026-11-01, or a moment such as 2026-11-01T06:00:00Z",
        ),
        Rule(
            cel="",
            check=lambda self: self.node is None or not self.node.gpus or self.node.gpu_product in self.gpu_per_hour,
            field="node.gpuProduct",
            message="node.gpuProduct names a key of gpuPerHour: by its price the cards weigh in the split",
        ),
        Rule(
            cel="",
            check=lambda self: self.node is None or self.cpu_per_core_hour + self.memory_per_gib_hour > 0,
            field="cpuPerCoreHour",
            message="a node's price is split in the ratio of the entry's prices: at least one is above 0",
        ),
    )

    @property
    def begins(self) -> datetime:
        """From when it holds."""
        return moment_of(self.valid_from)


class NamespaceBudget(ApiModel):
    """How much the services of a namespace may cost together, in the price book's currency."""

    namespace: Annotated[Name, Field(description="The namespace.")]
    monthly: Annotated[Money, Field(description="In a calendar month, UTC.")]
    on_exceed: Annotated[
        OnExceed, Field(description="Alert, or Cap the replicas of each service in proportion to its forecast.")
    ] = OnExceed.ALERT


class PriceBook(ApiModel):
    """What capacity costs. A price that is missing is said, never guessed."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217.")]
    source: Annotated[str, Field(min_length=1, max_length=1024, description="Where the prices come from.")]
    retrieved_at: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="When they were read.")]
    discount_ratio: Annotated[float, Field(ge=0, lt=1, description="Negotiated discount on every price.")] = 0
    entries: Annotated[list[PriceEntry], Field(min_length=1, max_length=256, description="Prices by kind of node.")]
    budgets: Annotated[list[NamespaceBudget], Field(max_length=1024, description="Budgets by namespace.")] = []
    RULES = (
        Rule(
            cel="",  # a price book is a ConfigMap's text: no CEL reads it
            check=lambda self: (
                len({(tuple(sorted(e.node_labels.items())), e.pricing, e.begins) for e in self.entries})
                == len(self.entries)
            ),
            field="entries",
            message="two entries have the same nodeLabels, pricing and validFrom: which one holds would be a guess",
        ),
        Rule(
            cel="",
            check=lambda self: len({one.namespace for one in self.budgets}) == len(self.budgets),
            field="budgets",
            message="two budgets are of the same namespace",
        ),
    )


def moment_of(text: str) -> datetime:
    """Return the moment that a validFrom names; the first of all for none. Raises ValueError for no date."""
    if not text:
        return datetime.min.replace(tzinfo=UTC)
    return parse_rfc3339(text if "T" in text else f"{text}T00:00:00Z")


def _is_moment(text: str) -> bool:
    try:
        moment_of(text)
    except ValueError:
        return False
    return True
