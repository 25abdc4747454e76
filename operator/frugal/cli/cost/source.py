"""Where the objects come from: a state folder, or a cluster that KUBECONFIG names. Reads both, changes neither."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any

from frugal.cli.state import objects
from frugal.cluster.client import Api
from frugal.cluster.kinds import CONFIG_MAPS, NODES, OURS, PODS
from frugal.cluster.prices import PRICES_KEY
from frugal.decisions.tracked import TRACK_LABEL, TRACK_SELECTOR
from frugal.errors import ClusterError
from frugal.settings import Settings
from frugal.units import Quantity

PAGE = 500  # objects in one answer, as client-go's reflectors
POD_METRICS = "/apis/metrics.k8s.io/v1beta1"
KUBECONFIG = Path("~/.kube/config").expanduser()
SETTINGS = Settings()

Manifest = dict[str, Any]
PodName = tuple[str, str]  # namespace, name


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What money is read from.

    objects: of both kinds. pods: those that opted in by the label, with all that pricing them takes: labels of nodes by
    name, the price book's text, and what each pod uses now, where something measures it.
    """

    objects: list[Manifest]
    pods: list[Manifest] = field(default_factory=list)
    node_labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    prices: str | None = None
    used: Mapping[PodName, Mapping[str, Decimal]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Capacity:
    """What is paid for, and who is on it."""

    nodes: list[Manifest]
    pods: list[Manifest]
    prices: str | None
    used: Mapping[PodName, Mapping[str, Decimal]]


def from_state(state: Path, *, namespace: str | None = None) -> Found:
    """Return what a state folder holds; raises NoState."""
    kinds = {resource.kind for resource in OURS}
    everything = objects(state)
    here = [one for one in everything if namespace in (None, one["metadata"].get("namespace", "default"))]
    books = [one for one in everything if (one["kind"], one["metadata"]["name"]) == ("ConfigMap", SETTINGS.price_book)]
    return Found(
        objects=[one for one in here if one["kind"] in kinds],
        pods=[one for one in here if one["kind"] == PODS.kind and _is_tracked(one)],
        prices=_text_of(books[0]) if books else None,
    )


def from_cluster(*, kubeconfig: str = "", namespace: str | None = None) -> Found:
    """Return what one namespace or all hold; raises ClusterError.

    Pods that opted in are left out where the reader may not list pods.
    """
    return asyncio.run(_read(kubeconfig or os.environ.get("KUBECONFIG") or str(KUBECONFIG), namespace))


def nodes_of_cluster(*, kubeconfig: str = "") -> Capacity:
    """Return every node and every pod of a cluster; raises ClusterError."""
    return asyncio.run(_read_capacity(kubeconfig or os.environ.get("KUBECONFIG") or str(KUBECONFIG)))


async def _read_capacity(kubeconfig: str) -> Capacity:
    api = await Api.connect(kubeconfig)
    try:
        pods = await _listed(api, PODS.collection())
        usage = await _allowed(api, f"{POD_METRICS}/pods")
        return Capacity(
            nodes=await _listed(api, NODES.collection()),
            pods=pods,
            prices=await _prices(api),
            used={_name(one): _used(one) for one in usage},
        )
    finally:
        await api.close()


async def _prices(api: Api) -> str | None:
    """Return the text of the price book; None where there is none, or the reader may not see it."""
    selector = f"metadata.name={SETTINGS.price_book}"
    books = await _allowed(api, CONFIG_MAPS.collection(SETTINGS.operator_namespace), fieldSelector=selector)
    return _text_of(books[0]) if books else None


async def _read(kubeconfig: str, namespace: str | None) -> Found:
    api = await Api.connect(kubeconfig)
    try:
        found = [
            {**one, "kind": resource.kind}
            for resource in OURS
            for one in await _listed(api, resource.collection(namespace))
        ]
        pods = await _allowed(api, PODS.collection(namespace), labelSelector=TRACK_SELECTOR)
        if not pods:
            return Found(objects=found)
        nodes = await _allowed(api, NODES.collection())
        inside = f"/namespaces/{namespace}" if namespace else ""
        usage = await _allowed(api, f"{POD_METRICS}{inside}/pods", labelSelector=TRACK_SELECTOR)
        return Found(
            objects=found,
            pods=pods,
            node_labels={one["metadata"]["name"]: one["metadata"].get("labels") or {} for one in nodes},
            prices=await _prices(api),
            used={_name(one): _used(one) for one in usage},
        )
    finally:
        await api.close()


async def _listed(api: Api, path: str, **query: str) -> list[Manifest]:
    found: list[Manifest] = []
    token = ""
    while True:
        page = await api.get(path, limit=str(PAGE), **query, **({"continue": token} if token else {}))
        found += page["items"]
        token = (page.get("metadata") or {}).get("continue") or ""
        if not token:
            return found


async def _allowed(api: Api, path: str, **query: str) -> list[Manifest]:
    """Return the list, or nothing where the reader may not see it or the server has none."""
    try:
        return await _listed(api, path, **query)
    except ClusterError:
        return []


def _is_tracked(pod: Manifest) -> bool:
    return (pod["metadata"].get("labels") or {}).get(TRACK_LABEL) == "true"


def _text_of(config_map: Manifest) -> str | None:
    text = (config_map.get("data") or {}).get(PRICES_KEY)
    return str(text) if text is not None else None


def _name(manifest: Manifest) -> PodName:
    return manifest["metadata"]["namespace"], manifest["metadata"]["name"]


def _used(metrics: Manifest) -> dict[str, Decimal]:
    """Return what the containers of a pod use together, as the metrics server has it."""
    total: dict[str, Decimal] = {}
    for container in metrics.get("containers") or []:
        for resource, amount in (container.get("usage") or {}).items():
            total[resource] = total.get(resource, Decimal(0)) + Quantity(amount).value
    return total
