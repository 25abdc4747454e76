"""`frugal simulate`: one's own load history replayed under one's own prices, before right-sizing may act.

It prints what our policy and those of the field would have cost and missed. Changes nothing.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import ValidationError

from frugal.errors import FrugalError

if TYPE_CHECKING:
    from frugal.sizing.comparison import Line
    from frugal.sizing.ladder import Service


class BadDeployment(FrugalError):
    """The description of the service, or its prices, cannot be used."""

    def __init__(self, path: Path, problem: str) -> None:
        self.path = path
        super().__init__(f"{path}: {problem}; docs/how-to/simulate.md shows one to start from")


def add(commands: Any) -> None:
    """Add the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "simulate",
        help="replay a load history under your prices, with our sizing policy and others",
        description="Replays a load history minute by minute with start-up time, queue and backlog, and tells what "
        "each sizing policy would have cost relative to a clairvoyant oracle, how many requests would have waited too "
        "long, and how often the configuration would have changed. The first day (a quarter of less than two days) is "
        "for warming up and is not counted.",
    )
    command.add_argument("--trace", type=Path, required=True, metavar="FILE", help="CSV or CSV.gz, a line a minute")
    command.add_argument("--deployment", type=Path, required=True, metavar="FILE", help="the service, in YAML")
    command.add_argument("--prices", type=Path, metavar="FILE", help="YAML: price an hour by the flavor's name")
    command.add_argument("-o", "--output", choices=("json",), help="figures for programs")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Print a line for each policy; raises BadDeployment, BadTrace and NothingFits."""
    from frugal.cli.trace import read_trace  # numpy takes a while to load, and few commands need it
    from frugal.sizing.comparison import compare

    service = read_service(arguments.deployment, arguments.prices)
    load = read_trace(arguments.trace, service_seconds=service.service_seconds)
    lines = compare(service, load)
    if arguments.output == "json":
        print(json.dumps([asdict(line) for line in lines], indent=2))
    else:
        counted = len(load.loads) - load.warm_up_minutes
        print(table(lines, service, minutes=counted))
    return 0


def table(lines: list[Line], service: Service, *, minutes: int) -> str:
    """Return the lines as a table of under 100 columns."""
    head = f"{'policy':<34}{'cost':>12}{'/ oracle':>10}{'too late %':>12}{'changes/day':>13}"
    rows = [
        f"{one.policy:<34}{one.cost:>12.2f}{one.cost_ratio:>10.2f}{one.late_ratio * 100:>12.3f}"
        f"{one.changes_per_day:>13.1f}{'' if one.late_ratio <= service.violation_ratio else '  over the target'}"
        for one in lines
    ]
    told = f"{minutes:,} minutes counted; at most {service.violation_ratio:.3%} of the requests may wait over "
    told += f"{service.wait_budget_seconds:g} s"
    return "\n".join([head, *rows, "", told])


def read_service(path: Path, prices: Path | None) -> Service:
    """Return the service of a file, its prices replaced by those of another; raises BadDeployment."""
    from frugal.cli.policy_lines import First, service_of

    read = _yaml(path)
    described = read if isinstance(read, dict) and "service" in read else {"service": read}
    try:
        service = service_of(First.model_validate(described))
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        raise BadDeployment(path, f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    return service if prices is None else _priced(service, prices)


def _priced(service: Service, path: Path) -> Service:
    read = _yaml(path)
    names = [flavor.name for flavor in service.flavors]
    if not isinstance(read, dict) or any(not _is_price(read.get(name)) for name in names):
        raise BadDeployment(path, f"expected a price of at least 0 for each of {', '.join(names)}")
    flavors = tuple(replace(one, price_per_hour=float(read[one.name])) for one in service.flavors)
    return replace(service, flavors=flavors)


def _is_price(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < float("inf")


def _yaml(path: Path) -> object:
    try:
        return yaml.safe_load(path.read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as fault:
        raise BadDeployment(path, f"cannot be read ({fault})") from None
