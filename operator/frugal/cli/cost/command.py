"""The options of `frugal cost`, `frugal savings` and `frugal idle`, and what each of them prints. Computes no money."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import yaml

from frugal.api.price_book import PriceBook
from frugal.api.validation import parse_model
from frugal.cli.cost import nodes
from frugal.cli.cost.groups import grouped
from frugal.cli.cost.html import page
from frugal.cli.cost.lines import Line, lines_of, tracked_lines
from frugal.cli.cost.source import Found, from_cluster, from_state
from frugal.cli.cost.tables import Table, as_json, cost_table, idle_table, savings_table
from frugal.cli.options import add_state, duration_seconds
from frugal.decisions.tracked import tracked_run
from frugal.pricing.cost import month_start
from frugal.units import parse_rfc3339

Source = Callable[[argparse.Namespace], Found]

_ABOUT = {
    "cost": (
        "what each workload costs",
        "Shows what each workload costs an hour, has cost since the month began (or --since), and is expected to cost "
        "this month. Figures are those of the objects' status, brought forward to now.",
    ),
    "savings": (
        "what right-sizing has saved",
        "Shows what each service saved against the size that it asked for before the first change: allocated, with its "
        "bounds, and what of it is realized.",
    ),
    "idle": ("what is paid for and not used", "Shows what each service requests and does not use, the most first."),
}


def add(commands: Any) -> None:
    """Add the three commands, over a state folder or, with --cluster, over a cluster."""
    for name in _ABOUT:
        command = add_one(commands, name, source=_chosen)
        add_state(command)
        command.add_argument("--cluster", action="store_true", help="read the cluster of KUBECONFIG instead")
    nodes.add(commands)


def add_one(commands: Any, name: str, *, source: Source) -> argparse.ArgumentParser:
    """Add one of the commands with what all of them understand; `source` finds the objects."""
    short, long = _ABOUT[name]
    command: argparse.ArgumentParser = commands.add_parser(name, help=short, description=long)
    command.add_argument("-n", "--namespace", metavar="NAME", help="only this namespace")
    command.add_argument("-o", "--output", choices=("table", "json", "csv"), default="table", help="for programs")
    command.add_argument(
        "--since", type=_moment, metavar="TIME", help="7d, 12h, 2026-11-01 or RFC 3339; at most 35 days back"
    )
    command.add_argument("--kubeconfig", default="", metavar="FILE", help="default: KUBECONFIG, then ~/.kube/config")
    if name == "cost":
        command.add_argument(
            "--by", default="name", metavar="WHAT", help="name, namespace, kind, or label=KEY such as label=team"
        )
        command.add_argument("--html", type=Path, metavar="FILE", help="write overview and month's report as a page")
    command.set_defaults(command=run, source=source, view=name)
    return command


def run(arguments: argparse.Namespace) -> int:
    """Print what was asked for."""
    now = datetime.now(UTC)  # noqa: TID251 (the moment to which figures are brought forward)
    since = arguments.since(now) if arguments.since is not None else month_start(now)
    lines = _lines(arguments.source(arguments), since=since, now=now)
    if getattr(arguments, "html", None) is not None:
        arguments.html.write_text(page(lines, now=now), encoding="utf-8")
        print(f"wrote {arguments.html}")
        return 0
    if arguments.output == "json":
        print(as_json(lines, since=since, now=now), end="")
        return 0
    table = _table(arguments, lines, since)
    print(table.csv() if arguments.output == "csv" else table.text(), end="" if arguments.output == "csv" else "\n")
    return 0


def _lines(found: Found, *, since: datetime, now: datetime) -> tuple[Line, ...]:
    """Return the lines of our objects, then those of the pods that opted in; raises InvalidObject for a bad book."""
    book = None
    if found.pods and found.prices is not None:
        book = parse_model(PriceBook, yaml.safe_load(found.prices))
    runs = [
        tracked_run(
            pod,
            node_labels=found.node_labels.get(str((pod.get("spec") or {}).get("nodeName")), {}),
            book=book,
            used=found.used.get((pod["metadata"]["namespace"], pod["metadata"]["name"])),
            now=now,
        )
        for pod in found.pods
    ]
    return (*lines_of(found.objects, since=since, now=now), *tracked_lines(runs, since=since, now=now))


def _table(arguments: argparse.Namespace, lines: tuple[Line, ...], since: datetime) -> Table:
    if arguments.view == "savings":
        return savings_table(lines)
    if arguments.view == "idle":
        return idle_table(lines)
    return cost_table(grouped(lines, arguments.by), lines, since_text=f"{since:%m-%d}")


def _chosen(arguments: argparse.Namespace) -> Found:
    if arguments.cluster or arguments.kubeconfig:
        return from_cluster(kubeconfig=arguments.kubeconfig, namespace=arguments.namespace)
    return from_state(arguments.state, namespace=arguments.namespace)


def _moment(text: str) -> Callable[[datetime], datetime]:
    """Return how to find the moment that `--since` names: a length of time before now, a date, or RFC 3339."""
    if text[:4].isdigit() and text[4:5] == "-":
        try:
            moment = parse_rfc3339(text if "T" in text else f"{text}T00:00:00Z")
        except ValueError:
            raise argparse.ArgumentTypeError(f"{text!r}: expected a date such as 2026-11-01, or 7d") from None
        return lambda _: moment
    seconds = duration_seconds(text)
    return lambda now: now - timedelta(seconds=seconds)
