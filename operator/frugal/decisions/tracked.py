"""Pods that are not ours and opted in by a label: what they cost so far, and how much they use of what they request.

A run is priced by the prices of its hours, so a change of prices leaves what was run before alone.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from frugal.api.money import DayCost
from frugal.api.price_book import PriceBook
from frugal.decisions.node_prices import pricing_of
from frugal.decisions.snapshot import Manifest
from frugal.errors import PriceUnknown
from frugal.pricing.cost import hours_between, rounded
from frugal.pricing.pricebook import HourlyCost, hourly_price, next_change, valid_at
from frugal.units import Quantity, parse_rfc3339

TRACK_LABEL = "frugal.dev/track"
TRACK_SELECTOR = f"{TRACK_LABEL}=true"
NOTHING = Decimal(0)
FREE = HourlyCost()

Labels = Mapping[str, str]
Amounts = Mapping[str, Decimal]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrackedRun:
    """One pod that opted in. hourly: what it costs now, nothing when it has ended. days: what it cost, by day, UTC."""

    kind: str
    namespace: str
    name: str
    labels: Labels
    currency: str
    hourly: HourlyCost = FREE
    days: tuple[DayCost, ...] = ()
    utilization: Mapping[str, float] = field(default_factory=dict)
    problem: str = ""


def tracked_run(
    pod: Manifest, *, node_labels: Labels, book: PriceBook | None, used: Amounts | None, now: datetime
) -> TrackedRun:
    """Return what a pod costs and uses.

    used: cores and bytes that it uses now, by cpu and memory; None where nothing measures it. It bears the larger of
    what it requests and uses, and what it used before is not known: then what it requests.
    """
    kind, name = _owner(pod)
    metadata = pod["metadata"]
    run = TrackedRun(
        kind=kind,
        namespace=metadata["namespace"],
        name=name,
        labels=metadata.get("labels") or {},
        currency=book.currency if book is not None else "",
        utilization=_utilization(requested_by(pod), used or {}),
    )
    started, ended = _lifetime(pod)
    if book is None or started is None:
        return replace(run, currency="", problem="there is no price book" if book is None else "")
    try:
        return _priced(run, pod, started, ended, node_labels=node_labels, book=book, used=used or {}, now=now)
    except PriceUnknown as unknown:
        return replace(run, currency="", problem=str(unknown))


def requested_by(pod: Manifest) -> dict[str, Decimal]:
    """Return what all containers of a pod request together, by resource; a limit counts where there is no request."""
    total: dict[str, Decimal] = {}
    for container in (pod.get("spec") or {}).get("containers") or []:
        resources = container.get("resources") or {}
        for resource, amount in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}.items():
            total[resource] = total.get(resource, NOTHING) + Quantity(amount).value
    return total


def _priced(
    run: TrackedRun,
    pod: Manifest,
    started: datetime,
    ended: datetime | None,
    *,
    node_labels: Labels,
    book: PriceBook,
    used: Amounts,
    now: datetime,
) -> TrackedRun:
    requested = requested_by(pod)
    days: dict[str, Decimal] = {}
    moment, end = started, min(ended or now, now)
    while moment < end:
        until = min(end, _midnight_after(moment), next_change(book, moment) or end)
        rate = _hourly(requested, book, node_labels, moment).total
        day = f"{moment:%Y-%m-%d}"
        days[day] = days.get(day, NOTHING) + rate * hours_between(moment, until)
        moment = until
    taken = {name: max(requested.get(name, NOTHING), used.get(name, NOTHING)) for name in {*requested, *used}}
    return replace(
        run,
        hourly=FREE if ended is not None else _hourly(taken, book, node_labels, now),
        days=tuple(DayCost(day=day, amount=rounded(amount)) for day, amount in sorted(days.items())),
    )


def _hourly(amounts: Amounts, book: PriceBook, node_labels: Labels, moment: datetime) -> HourlyCost:
    devices = {
        name: int(amount) for name, amount in amounts.items() if "/" in name and not name.startswith("hugepages")
    }
    return hourly_price(
        valid_at(book, moment),
        node_labels=node_labels,
        pricing=pricing_of(node_labels),
        cores=amounts.get("cpu", NOTHING),
        memory_bytes=amounts.get("memory", NOTHING),
        gpus=devices,
    )


def _utilization(requested: Amounts, used: Amounts) -> dict[str, float]:
    return {
        name: float(used[name] / requested[name]) for name in ("cpu", "memory") if name in used and requested.get(name)
    }


def _lifetime(pod: Manifest) -> tuple[datetime | None, datetime | None]:
    """Return when a pod began to hold its node, and when its last container ended; None while it has not."""
    status = pod.get("status") or {}
    started = parse_rfc3339(status["startTime"]) if status.get("startTime") else None
    if status.get("phase") not in ("Succeeded", "Failed"):
        return started, None
    ends = [
        parse_rfc3339(state["finishedAt"])
        for container in status.get("containerStatuses") or []
        if (state := (container.get("state") or {}).get("terminated") or {}).get("finishedAt")
    ]
    return started, max(ends, default=started)


def _owner(pod: Manifest) -> tuple[str, str]:
    """Return what a pod belongs to, by its controller: its pods are one workload."""
    owners: Iterable[Mapping[str, Any]] = pod["metadata"].get("ownerReferences") or []
    controller = next((one for one in owners if one.get("controller")), None)
    return (str(controller["kind"]), str(controller["name"])) if controller else ("Pod", str(pod["metadata"]["name"]))


def _midnight_after(moment: datetime) -> datetime:
    return moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=1)
