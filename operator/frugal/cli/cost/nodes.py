"""`frugal nodes`: the price of every node in its parts, and who bears them. The sums are in pricing/allocation."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import yaml

from frugal.api.price_book import PriceBook
from frugal.api.validation import parse_model
from frugal.cli.cost.source import Capacity, nodes_of_cluster
from frugal.cli.cost.tables import UNKNOWN, Table, hourly
from frugal.decisions.node_shares import share_node
from frugal.errors import FrugalError, PriceUnknown
from frugal.pricing.allocation import Allocation, SharingRule
from frugal.pricing.pricebook import valid_at, warnings

RULES = {rule.value.lower(): rule for rule in SharingRule}
NOTHING = Decimal(0)


class NoPriceBook(FrugalError):
    """The cluster has no price book, or the reader may not see it."""

    def __init__(self) -> None:
        super().__init__("there is no price book to price nodes by, or you may not read it: see docs/how-to/prices.md")


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeShare:
    """One node's name, and its price in parts; None and why where it has no price."""

    name: str
    allocation: Allocation | None = None
    problem: str = ""


def add(commands: Any) -> None:
    """Add the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "nodes",
        help="what nodes cost, and who bears it",
        description="Shows the price of every node of a cluster in its parts: used, reserved beyond use, shared by all "
        "(system pods), and idle. They add up to the price.",
    )
    command.add_argument("--kubeconfig", default="", metavar="FILE", help="default: KUBECONFIG, then ~/.kube/config")
    command.add_argument("--by", choices=("node", "namespace"), default="node", help="a row for each")
    command.add_argument(
        "--share", choices=sorted(RULES), default="apart", help="who bears idle and shared: nobody, or all by that rule"
    )
    command.add_argument("-o", "--output", choices=("table", "csv"), default="table", help="for programs")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the table."""
    now = datetime.now(UTC)  # noqa: TID251 (the moment whose prices hold)
    capacity = nodes_of_cluster(kubeconfig=arguments.kubeconfig)
    if capacity.prices is None:
        raise NoPriceBook
    written = parse_model(PriceBook, yaml.safe_load(capacity.prices))
    shares = shared(capacity, valid_at(written, now), RULES[arguments.share])
    made: dict[str, Callable[..., Table]] = {"node": node_table, "namespace": namespace_table}
    table = made[arguments.by](shares, written.currency, warnings(written, now))
    print(table.csv() if arguments.output == "csv" else table.text(), end="" if arguments.output == "csv" else "\n")
    return 0


def shared(capacity: Capacity, book: PriceBook, rule: SharingRule) -> list[NodeShare]:
    """Return every node's price in its parts, in order of name."""
    found = []
    for node in sorted(capacity.nodes, key=lambda one: str(one["metadata"]["name"])):
        name = str(node["metadata"]["name"])
        pods = [pod for pod in capacity.pods if (pod.get("spec") or {}).get("nodeName") == name]
        try:
            parts = share_node(node, pods, book=book, used=capacity.used, rule=rule)
            found.append(NodeShare(name=name, allocation=parts))
        except PriceUnknown as unknown:
            found.append(NodeShare(name=name, problem=str(unknown)))
    return found


def node_table(shares: Sequence[NodeShare], currency: str, warned: Sequence[str]) -> Table:
    """Return a row for each node, and their sum."""
    headings = ["NODE", "HOURLY", "USED", "RESERVED", "SHARED", "IDLE", "CURRENCY"]
    rows, sums = [], [NOTHING] * 5
    for one in shares:
        if one.allocation is None:
            rows.append([one.name, *[UNKNOWN] * 6])
            continue
        parts = _parts(one.allocation)
        sums = [total + part for total, part in zip(sums, parts, strict=True)]
        rows.append([one.name, *map(hourly, parts), currency])
    rows += [["TOTAL", *map(hourly, sums), currency]] if rows else []
    missing = [f"{one.name}: {one.problem}" for one in shares if one.problem]
    return Table(headings=headings, rows=rows, notes=_notes(missing, warned))


def namespace_table(shares: Sequence[NodeShare], currency: str, warned: Sequence[str]) -> Table:
    """Return a row for each namespace, and what nobody bears."""
    headings = ["NAMESPACE", "HOURLY", "USED", "RESERVED", "SHARED", "IDLE", "CURRENCY"]
    known = [one.allocation for one in shares if one.allocation is not None]
    sums: dict[str, list[Decimal]] = {}
    for charge in (charge for one in known for charge in one.charges):
        parts = (charge.total, charge.used, charge.reserved, charge.shared, charge.idle)
        sums[charge.namespace] = [
            total + part for total, part in zip(sums.get(charge.namespace, [NOTHING] * 5), parts, strict=True)
        ]
    common = sum((part for one in known for part in one.shared.values()), start=NOTHING)
    idle = sum((part for one in known for part in one.idle.values()), start=NOTHING)
    rows = [[name, *map(hourly, parts), currency] for name, parts in sorted(sums.items(), key=lambda one: -one[1][0])]
    rows.append(["(nobody)", *map(hourly, (common + idle, NOTHING, NOTHING, common, idle)), currency])
    total = sum((one.total for one in known), start=NOTHING)
    rows.append(["TOTAL", hourly(total), *[""] * 4, currency])
    missing = [f"{one.name}: {one.problem}" for one in shares if one.problem]
    return Table(headings=headings, rows=rows, notes=_notes(missing, warned))


def _parts(allocation: Allocation) -> tuple[Decimal, Decimal, Decimal, Decimal, Decimal]:
    """Return the price, then used, reserved, shared and idle, whoever bears them: the four add up to it."""
    charges = allocation.charges
    return (
        allocation.total,
        sum((one.used for one in charges), start=NOTHING),
        sum((one.reserved for one in charges), start=NOTHING),
        sum((one.shared for one in charges), start=NOTHING) + sum(allocation.shared.values(), start=NOTHING),
        sum((one.idle for one in charges), start=NOTHING) + sum(allocation.idle.values(), start=NOTHING),
    )


def _notes(missing: Sequence[str], warned: Sequence[str]) -> tuple[str, ...]:
    notes = (*(f"no price: {one}" for one in missing), *warned)
    return ("", *notes) if notes else ()
