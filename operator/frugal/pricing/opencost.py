"""A price book from what OpenCost knows: an instance's assets, or a price list in its CSV form. Fetches nothing.

An asset states what its cores, memory and cards cost; a CSV row states a whole node's price, which needs the node's
shape and a ratio to be split. What is missing is an error that names it, never a default of OpenCost's.
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

from frugal.api.price_book import Pricing
from frugal.errors import InvalidPriceList
from frugal.units import GIB, Quantity

INSTANCE_TYPE_LABEL = "node.kubernetes.io/instance-type"
REGION_LABEL = "topology.kubernetes.io/region"
HOST_LABEL = "kubernetes.io/hostname"
PRODUCT_LABELS = ("nvidia_com_gpu_product", "label_nvidia_com_gpu_product", "nvidia.com/gpu.product")
CSV_COLUMNS = ("InstanceID", "Region", "AssetClass", "InstanceIDField", "MarketPriceHourly")
MONEY_PLACES = 6  # as the API keeps money
CSV_CLASSES = ("node", "gpu", "pv")

Entry = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Shape:
    """What a kind of node has."""

    cpu: Quantity
    memory: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Split:
    """In what ratio a node's price is split: what a core and a GiB of memory cost in the list that one trusts."""

    core: Decimal
    gib: Decimal
    shapes: Mapping[str, Shape]  # by InstanceID


@dataclass(slots=True)
class _Sums:
    """What the nodes of one kind cost together, and for how much of what."""

    cpu_cost: Decimal = Decimal(0)
    core_hours: Decimal = Decimal(0)
    ram_cost: Decimal = Decimal(0)
    gib_hours: Decimal = Decimal(0)
    gpu_cost: Decimal = Decimal(0)
    gpu_hours: Decimal = Decimal(0)
    product: str = ""


def entries_of_assets(answer: Mapping[str, Any]) -> list[Entry]:
    """Return the entries that the answer of `/assets` states: one for each instance type, region and way to pay.

    answer: its JSON, numbers read as Decimal. OpenCost's own discount is taken off, its adjustments are left out.
    Raises InvalidPriceList for an answer that is none, or a node without core hours.
    """
    kinds: defaultdict[tuple[str, str, Pricing], _Sums] = defaultdict(_Sums)
    for asset in _assets(answer):
        if asset.get("type") == "Node":
            labels = asset.get("labels") or {}
            region = str(labels.get("topology_kubernetes_io_region") or labels.get(REGION_LABEL) or "")
            pricing = Pricing.SPOT if _number(asset, "preemptible") > 0 else Pricing.ON_DEMAND
            _add(kinds[str(asset.get("nodeType") or ""), region, pricing], asset, labels)
    if not kinds:
        raise InvalidPriceList(where="data", value="no asset of type Node", allowed="the answer of /assets?window=1d")
    return [_entry(kind, sums) for kind, sums in sorted(kinds.items())]


def entries_of_csv(text: str, split: Split) -> list[Entry]:
    """Return the entries of a price list in OpenCost's CSV form; raises InvalidPriceList naming line and column.

    Cards (AssetClass gpu) and volumes (pv) are added to every node's entry, because the form ties them to none.
    """
    reader = csv.DictReader(io.StringIO(text))
    missing = [name for name in CSV_COLUMNS if name not in (reader.fieldnames or ())]
    if missing:
        raise InvalidPriceList(
            where="line 1", value=", ".join(missing), allowed=f"the columns {', '.join(CSV_COLUMNS)}"
        )
    nodes: list[Entry] = []
    cards: dict[str, str] = {}
    volumes: set[str] = set()
    for line, row in enumerate(reader, start=2):
        kind = (row["AssetClass"] or "").strip().lower()
        price = _price(row["MarketPriceHourly"], f"line {line}, MarketPriceHourly")
        if kind == "node":
            nodes.append(_node(row, price, split, line))
        elif kind == "gpu":
            cards[row["InstanceID"]] = price
        elif kind == "pv":
            volumes.add(price)
        else:
            raise InvalidPriceList(where=f"line {line}, AssetClass", value=kind, allowed=", ".join(CSV_CLASSES))
    if len(volumes) > 1:
        raise InvalidPriceList(where="AssetClass pv", value=f"{len(volumes)} prices", allowed="one price of storage")
    shared: Entry = {"gpuPerHour": cards} if cards else {}
    shared |= {"storagePerGiBHour": volumes.pop()} if volumes else {}
    return [{**one, **shared} for one in nodes]


def _assets(answer: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    found = answer.get("data")
    sets = found if isinstance(found, list) else [found]
    assets = [one for one in sets if isinstance(one, Mapping)]
    if len(assets) < len(sets):
        raise InvalidPriceList(where="data", value=type(found).__name__, allowed="assets by name")
    return [asset for one in assets for asset in one.values() if isinstance(asset, Mapping)]


def _add(sums: _Sums, asset: Mapping[str, Any], labels: Mapping[str, Any]) -> None:
    kept = 1 - _number(asset, "discount")  # OpenCost takes it off cores and memory alone
    sums.cpu_cost += _number(asset, "cpuCost") * kept
    sums.core_hours += _number(asset, "cpuCoreHours")
    sums.ram_cost += _number(asset, "ramCost") * kept
    sums.gib_hours += _number(asset, "ramByteHours") / GIB
    sums.gpu_cost += _number(asset, "gpuCost")
    sums.gpu_hours += _number(asset, "GPUHours")
    sums.product = next((str(labels[name]) for name in PRODUCT_LABELS if labels.get(name)), sums.product)


def _entry(kind: tuple[str, str, Pricing], sums: _Sums) -> Entry:
    node_type, region, pricing = kind
    if not sums.core_hours or not sums.gib_hours:
        raise InvalidPriceList(where=f"node type {node_type!r}", value="0 core or memory hours", allowed="more than 0")
    labels = {INSTANCE_TYPE_LABEL: node_type, REGION_LABEL: region}
    entry: Entry = {
        "nodeLabels": {label: value for label, value in labels.items() if value},
        "pricing": pricing.value,
        "cpuPerCoreHour": _money(sums.cpu_cost / sums.core_hours),
        "memoryPerGiBHour": _money(sums.ram_cost / sums.gib_hours),
    }
    if sums.gpu_hours:
        entry["gpuPerHour"] = {sums.product or "nvidia.com/gpu": _money(sums.gpu_cost / sums.gpu_hours)}
    return entry


def _node(row: Mapping[str, str], price: str, split: Split, line: int) -> Entry:
    named = row["InstanceIDField"].strip()
    label = HOST_LABEL if named == "metadata.name" else named.removeprefix("metadata.labels.")
    if label.startswith(("spec.", "metadata.")) or not label:
        allowed = "metadata.name, or metadata.labels.LABEL: the price book selects by labels"
        raise InvalidPriceList(where=f"line {line}, InstanceIDField", value=named, allowed=allowed)
    shape = split.shapes.get(row["InstanceID"])
    if shape is None:
        known = ", ".join(sorted(split.shapes)) or "none"
        allowed = f"an instance whose shape is given (given are {known})"
        raise InvalidPriceList(where=f"line {line}, InstanceID", value=row["InstanceID"], allowed=allowed)
    region = {REGION_LABEL: row["Region"]} if row["Region"] else {}
    return {
        "nodeLabels": {label: row["InstanceID"], **region},
        "cpuPerCoreHour": _money(split.core),
        "memoryPerGiBHour": _money(split.gib),
        "node": {"perHour": price, "cpu": str(shape.cpu), "memory": str(shape.memory)},
    }


def _number(asset: Mapping[str, Any], name: str) -> Decimal:
    value = asset.get(name) or 0
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise InvalidPriceList(where=name, value=str(value), allowed="a number")
    return Decimal(value)


def _price(text: str, where: str) -> str:
    try:
        price = Decimal(text)
    except (InvalidOperation, TypeError):
        price = Decimal(-1)
    if not price.is_finite() or price < 0:
        raise InvalidPriceList(where=where, value=str(text), allowed="a number from 0 on")
    return _money(price)


def _money(amount: Decimal) -> str:
    return format(round(amount, MONEY_PLACES), "f")
