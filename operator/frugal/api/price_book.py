"""The price book as a platform team writes it (chart values or a ConfigMap). Arithmetic with it stands in pricing/."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import Field

from frugal.api.base import ApiModel, Money, Rule


class Pricing(StrEnum):
    """How capacity is paid."""

    ON_DEMAND = "on_demand"
    SPOT = "spot"
    RESERVED = "reserved"


class PriceEntry(ApiModel):
    """Prices of the nodes that `nodeLabels` select; the entry with the most matching labels wins."""

    node_labels: Annotated[
        dict[str, str], Field(max_length=16, description="Labels that a node must carry; empty matches all.")
    ] = {}
    pricing: Annotated[Pricing, Field(description="on_demand | spot | reserved")] = Pricing.ON_DEMAND
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


class PriceBook(ApiModel):
    """What capacity costs. A price that is missing is said, never guessed."""

    currency: Annotated[str, Field(pattern="^[A-Z]{3}$", description="ISO 4217.")]
    source: Annotated[str, Field(min_length=1, max_length=1024, description="Where the prices come from.")]
    retrieved_at: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="When they were read.")]
    discount_ratio: Annotated[float, Field(ge=0, lt=1, description="Negotiated discount on every price.")] = 0
    entries: Annotated[list[PriceEntry], Field(min_length=1, max_length=256, description="Prices by kind of node.")]
    RULES = (
        Rule(
            cel="",  # a price book is a ConfigMap's text: no CEL reads it
            check=lambda self: (
                len({(tuple(sorted(e.node_labels.items())), e.pricing) for e in self.entries}) == len(self.entries)
            ),
            field="entries",
            message="two entries have the same nodeLabels and pricing: which one holds would be a guess",
        ),
    )
