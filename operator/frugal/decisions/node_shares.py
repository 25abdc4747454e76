"""Who bears the price of one node: its pods as claims, its cores, memory and cards as supplies. pricing/ does the sums.

Pods that serve everybody are overhead: those of DaemonSets, and those of the system's namespaces.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from decimal import Decimal
from typing import Any

from frugal.api.accelerators import GPU_RESOURCE, PRODUCT_LABEL, REPLICAS_LABEL, is_shared, profile_of_product
from frugal.api.price_book import PriceBook
from frugal.decisions.node_prices import pricing_of
from frugal.decisions.snapshot import Manifest
from frugal.decisions.tracked import requested_by
from frugal.errors import PriceUnknown
from frugal.pricing.allocation import Allocation, Claim, SharingRule, Supply, allocate
from frugal.pricing.fraction import card_of_product, profile_of_resource
from frugal.pricing.node import CPU, MEMORY, node_supplies
from frugal.pricing.sharing import WHOLE_CARD, slice_of_card, time_slice
from frugal.units import Quantity

GPU = "gpu"
GPU_COUNT_LABEL = "nvidia.com/gpu.count"
SYSTEM_NAMESPACES = frozenset({"kube-system", "kube-public", "kube-node-lease"})
ENDED = frozenset({"Succeeded", "Failed"})

Amounts = Mapping[str, Decimal]
PodName = tuple[str, str]  # namespace, name


def share_node(
    node: Manifest,
    pods: Iterable[Manifest],
    *,
    book: PriceBook,
    used: Mapping[PodName, Amounts],
    rule: SharingRule = SharingRule.APART,
) -> Allocation:
    """Return who bears what of a node's price an hour.

    pods: of this node; those that have ended hold nothing. used: cores and bytes that pods use now, where measured.
    Raises PriceUnknown for a node, a card or a slice without a price.
    """
    claims = [
        _claim(pod, node, used.get((pod["metadata"]["namespace"], pod["metadata"]["name"]), {}))
        for pod in pods
        if (pod.get("status") or {}).get("phase") not in ENDED
    ]
    return allocate(_supplies(node, book), claims, rule=rule)


def _supplies(node: Manifest, book: PriceBook) -> list[Supply]:
    labels = node["metadata"].get("labels") or {}
    has = (node.get("status") or {}).get("capacity") or {}
    cards = _cards(labels, has)
    supplies = node_supplies(
        book,
        node_labels=labels,
        pricing=pricing_of(labels),
        cores=Quantity(has.get(CPU, "0")).value,
        memory_bytes=Quantity(has.get(MEMORY, "0")).value,
        cards=tuple(f"{GPU}-{number}" for number in range(cards)),
    )
    # Which pod has which card is the device plugin's secret: all cards of a node are one supply.
    alike = [one for one in supplies if one.name not in (CPU, MEMORY)]
    hourly = sum((one.hourly for one in alike), start=Decimal(0))
    together = [Supply(name=GPU, capacity=Decimal(cards), hourly=hourly)] if cards else []
    return [*(one for one in supplies if one.name in (CPU, MEMORY)), *together]


def _cards(labels: Mapping[str, str], has: Mapping[str, str]) -> int:
    """Return how many whole cards a node has, however they are cut: the label counts them, else the resource does."""
    counted = labels.get(GPU_COUNT_LABEL, "")
    return int(counted) if counted.isdigit() else Quantity(has.get(GPU_RESOURCE, "0")).whole


def _claim(pod: Manifest, node: Manifest, used: Amounts) -> Claim:
    asked = requested_by(pod)
    labels = node["metadata"].get("labels") or {}
    gpu = sum((amount * _piece(name, labels) for name, amount in asked.items() if "/" in name), start=Decimal(0))
    requested = {name: asked[name] for name in (CPU, MEMORY) if name in asked}
    metadata = pod["metadata"]
    return Claim(
        workload=f"{metadata['namespace']}/{metadata['name']}",
        namespace=metadata["namespace"],
        requested=requested | ({GPU: gpu} if gpu else {}),
        used={name: used[name] for name in (CPU, MEMORY) if name in used},
        is_overhead=metadata["namespace"] in SYSTEM_NAMESPACES or _is_daemon(metadata),
    )


def _piece(resource: str, labels: Mapping[str, str]) -> Decimal:
    """Return what one piece of an extended resource takes of a card; nothing for what is no accelerator of NVIDIA's."""
    product = labels.get(PRODUCT_LABEL, "")
    profile = profile_of_resource(resource) or (profile_of_product(product) if resource == GPU_RESOURCE else None)
    if profile is not None:
        card = card_of_product(product)
        if card is None:
            raise PriceUnknown(resource=f"{resource} of {product or 'an unlabelled card'}", known=())
        return slice_of_card(card, profile)
    if resource.removesuffix(".shared") != GPU_RESOURCE:
        return Decimal(0)
    replicas = labels.get(REPLICAS_LABEL, "")
    return time_slice(int(replicas)) if is_shared(product, labels) and replicas.isdigit() else WHOLE_CARD


def _is_daemon(metadata: Mapping[str, Any]) -> bool:
    return any(one.get("kind") == "DaemonSet" for one in metadata.get("ownerReferences") or [])
