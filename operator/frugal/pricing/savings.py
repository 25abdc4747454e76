"""What a service saves against what it asked for before Frugal's first change, with bounds, and what of it is realized.

Allocated is not saved: a smaller request frees money only when a node goes. Realized counts just that, and no more than
is allocated; capacity that somebody else's pods reuse is not seen and not counted.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from frugal.api.money import SavingsStatus
from frugal.api.status import Size
from frugal.pricing.cost import hours_between, rounded, whole_second
from frugal.units import parse_rfc3339, rfc3339

NODES_KEPT = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Surroundings:
    """What surrounds the service now: nodes that carry it, all nodes of the cluster, and its load where it is known."""

    own_nodes: Collection[str] = ()
    all_nodes: Collection[str] = ()
    requests_per_second: float | None = None


def first_savings(size: Size, *, hourly: Decimal, around: Surroundings, now: datetime) -> SavingsStatus:
    """Return savings of 0 that remember the counterfactual: the size that is about to be changed, and what it costs."""
    load = around.requests_per_second
    accelerator = f", {size.count} {size.accelerator}" if size.count else ""
    served = f", serving {load:.3g} requests/s" if load is not None else ""
    return SavingsStatus(
        since_creation=Decimal(0),
        low=Decimal(0),
        high=Decimal(0),
        reference_hourly=rounded(hourly),
        reference_requests_per_second=load,
        reference_nodes=sorted(around.own_nodes)[:NODES_KEPT],
        reference_node_count=len(around.all_nodes),
        counterfactual=(
            f"{size.replicas} x {size.cpu} CPU, {size.memory}{accelerator}, as asked for before the first change"
            f"{served}; "
            "kept at that size whatever the load. low and high: had it followed the load"
        ),
        observed_at=rfc3339(now),
    )


def accrue_savings(previous: SavingsStatus, *, hourly: Decimal, around: Surroundings, now: datetime) -> SavingsStatus:
    """Return the savings as of `now`. hourly: cost of the size that ran since `previous` was observed.

    The low bound lets the old size shrink with the load, the high one lets it grow; without a load both are the figure.
    """
    moment = whole_second(now)
    observed = parse_rfc3339(previous.observed_at)
    hours = hours_between(observed, moment)
    reference = previous.reference_hourly
    growth = _growth(previous, around)
    rate = reference - hourly
    low, high = reference * min(Decimal(1), growth) - hourly, reference * max(Decimal(1), growth) - hourly
    ratio = Decimal(str(previous.realized_ratio))
    before = previous.since_creation
    return previous.model_copy(
        update={
            "since_creation": rounded(before + rate * hours),
            "low": rounded((previous.low if previous.low is not None else before) + low * hours),
            "high": rounded((previous.high if previous.high is not None else before) + high * hours),
            "realized": rounded(previous.realized + max(Decimal(0), rate) * ratio * hours),
            "realized_ratio": realized_ratio(previous, around),
            "observed_at": rfc3339(max(moment, observed)),
        }
    )


def realized_ratio(savings: SavingsStatus, around: Surroundings) -> float:
    """Return the share of the saving that is no longer paid for: of the nodes that carried the old size, those gone.

    A node that another replaced saves nothing: no more count than the cluster has fewer. 0 where none was known.
    """
    carried = savings.reference_nodes
    if not carried or not around.all_nodes:
        return 0.0
    gone = sum(node not in around.all_nodes for node in carried)
    fewer = max(0, savings.reference_node_count - len(around.all_nodes))
    return round(min(gone, fewer) / len(carried), 4)


def _growth(savings: SavingsStatus, around: Surroundings) -> Decimal:
    """Return today's load over that of the reference; 1 where either is not known, or was nothing."""
    then, today = savings.reference_requests_per_second, around.requests_per_second
    return Decimal(str(today)) / Decimal(str(then)) if then and today is not None else Decimal(1)
