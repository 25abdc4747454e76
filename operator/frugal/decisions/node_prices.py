"""How the node of a pod is paid, read from its labels, and what a size costs there. The arithmetic is in pricing/."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal

from frugal.api.price_book import Pricing
from frugal.api.status import Size
from frugal.decisions.inventory import labels_for
from frugal.decisions.snapshot import Environment, Manifest
from frugal.errors import PriceUnknown
from frugal.pricing.cost import size_hourly

_SPOT_LABELS = (
    ("karpenter.sh/capacity-type", "spot"),
    ("eks.amazonaws.com/capacityType", "SPOT"),
    ("cloud.google.com/gke-spot", "true"),
    ("cloud.google.com/gke-preemptible", "true"),
    ("kubernetes.azure.com/scalesetpriority", "spot"),
    ("node.kubernetes.io/lifecycle", "spot"),
)
PRICING_LABEL = "frugal.dev/pricing"


def pricing_of(node_labels: Mapping[str, str]) -> Pricing | None:
    """Return how a node with these labels is paid: as `frugal.dev/pricing` says, or spot where its cloud says so.

    None where nothing is said: any way but spot, and the price book's entries decide.
    """
    stated = node_labels.get(PRICING_LABEL)
    if stated in tuple(Pricing):
        return Pricing(stated)
    is_spot = any(node_labels.get(label) == value for label, value in _SPOT_LABELS)
    return Pricing.SPOT if is_spot else None


def labels_of_node(pods: Iterable[Manifest], environment: Environment) -> Mapping[str, str]:
    """Return the labels of the node of the newest pod that has one; none before a pod is scheduled."""
    nodes = [str((pod.get("spec") or {}).get("nodeName")) for pod in pods]
    known = [environment.node_labels[node] for node in nodes if node in environment.node_labels]
    return known[-1] if known else {}


def hourly_cost(size: Size, environment: Environment, node_labels: Mapping[str, str]) -> tuple[Decimal | None, str]:
    """Return what a size costs an hour, or None and why that is not known.

    node_labels: of the node that it runs on; a kind that this node does not offer is priced where it is offered.
    """
    node_labels = labels_for(size, environment.node_labels, node_labels)
    if environment.prices is None:
        return None, environment.prices_problem
    try:
        cost = size_hourly(environment.prices, size, node_labels=node_labels, pricing=pricing_of(node_labels))
    except PriceUnknown as unknown:
        return None, str(unknown)
    return cost.total, ""
