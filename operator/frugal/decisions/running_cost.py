"""What a service costs an hour as it runs: each replica where it is, for what it requested or used, whichever is more.

A replica that moved is priced at its new node alone, and one that a spot node lost at the node that took it: nothing is
counted twice. Sizes that are only considered are priced in node_prices.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal

from frugal.api.price_book import PriceBook
from frugal.api.status import InferenceDeploymentStatus, Size, UtilizationStatus
from frugal.decisions.inventory import labels_for
from frugal.decisions.node_prices import pricing_of
from frugal.decisions.pods import by_age, is_being_deleted
from frugal.decisions.snapshot import InferenceSnapshot
from frugal.errors import PriceUnknown
from frugal.pricing.cost import size_hourly
from frugal.pricing.pricebook import HourlyCost
from frugal.units import cpu_quantity, memory_quantity

Labels = Mapping[str, str]


def running_cost(
    size: Size, seen: InferenceSnapshot, before: InferenceDeploymentStatus, node_labels: Labels
) -> tuple[HourlyCost | None, str]:
    """Return what a size costs an hour where its replicas are, or None and why that is not known.

    node_labels: of the node by which replicas are priced that have no pod yet.
    """
    environment = seen.environment
    if environment.prices is None:
        return None, environment.prices_problem
    billed = _billed(size, before)
    try:
        parts = [
            _replica(environment.prices, billed, labels_for(size, environment.node_labels, labels)).times(count)
            for labels, count in _nodes_of(size, seen, node_labels)
        ]
    except PriceUnknown as unknown:
        return None, str(unknown)
    return sum_of(parts), ""


def sum_of(parts: Sequence[HourlyCost]) -> HourlyCost:
    """Return several costs together."""
    names = HourlyCost().by_resource()
    return HourlyCost(**{name: sum((one.by_resource()[name] for one in parts), start=Decimal(0)) for name in names})


def _replica(prices: PriceBook, size: Size, labels: Labels) -> HourlyCost:
    return size_hourly(prices, size.model_copy(update={"replicas": 1}), node_labels=labels, pricing=pricing_of(labels))


def _nodes_of(size: Size, seen: InferenceSnapshot, node_labels: Labels) -> list[tuple[Labels, int]]:
    """Return the labels of each node with replicas, and how many: of the newest pods, which are those that stay."""
    known = seen.environment.node_labels
    names = [
        str((pod.get("spec") or {}).get("nodeName"))
        for pod in reversed(by_age(seen.children.pods))
        if not is_being_deleted(pod)
    ]
    found = Counter([name for name in names if name in known][: size.replicas])
    waiting = size.replicas - found.total()
    return [(known[name], count) for name, count in found.items()] + ([(node_labels, waiting)] if waiting else [])


def _billed(size: Size, before: InferenceDeploymentStatus) -> Size:
    """Return the size with what it uses beyond its requests; figures of another size tell nothing."""
    used, applied = before.utilization, before.applied
    if used is None or applied is None or (applied.size.cpu, applied.size.memory) != (size.cpu, size.memory):
        return size
    return size.model_copy(update=_beyond(size, used))


def _beyond(size: Size, used: UtilizationStatus) -> dict[str, object]:
    update: dict[str, object] = {}
    if used.cpu is not None and used.cpu > 1:
        update["cpu"] = cpu_quantity(size.cpu.cores * used.cpu)
    if used.memory is not None and used.memory > 1:
        update["memory"] = memory_quantity(float(size.memory.value) * used.memory)
    return update
