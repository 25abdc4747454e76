"""`frugal prices`: a price book made from an OpenCost instance or from a list in its CSV form. Changes nothing."""

from __future__ import annotations

import argparse
import json
import urllib.error
import urllib.request
from datetime import UTC, datetime
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Any

import yaml

from frugal.api.price_book import PriceBook
from frugal.api.validation import parse_model
from frugal.errors import FrugalError, InvalidPriceList
from frugal.pricing.opencost import Shape, Split, entries_of_assets, entries_of_csv
from frugal.units import Quantity

FETCH_SECONDS = 30
MOST_BYTES = 64 * 1024 * 1024
ASSETS = "/assets?window=1d"


class OpenCostUnreachable(FrugalError):
    """OpenCost did not answer with its assets."""

    def __init__(self, *, url: str, problem: str) -> None:
        self.url = url
        super().__init__(f"{url}: {problem}; give the address of OpenCost's API, such as http://localhost:9003")


def add(commands: Any) -> None:
    """Add the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "prices",
        help="make a price book from OpenCost",
        description="Prints a price book (the key prices.yaml of the ConfigMap frugal-prices) from what an OpenCost "
        "instance charged yesterday, or from a price list in its CSV form. Look at it before you use it.",
    )
    source = command.add_mutually_exclusive_group(required=True)
    source.add_argument("--opencost", metavar="URL", help="OpenCost's API, such as http://localhost:9003")
    source.add_argument("--csv", type=Path, metavar="FILE", help="a price list in OpenCost's CSV form")
    command.add_argument("--currency", default="USD", help="ISO 4217 (default: USD, as OpenCost's)")
    command.add_argument("--valid-from", default="", metavar="DATE", help="from which day the prices hold")
    rows = command.add_argument_group("for node rows of a CSV, which state the whole node's price")
    rows.add_argument(
        "--shape", action="append", default=[], type=_shape, metavar="INSTANCE=CPU,MEMORY", help="may be repeated"
    )
    rows.add_argument("--core", type=_money, metavar="PRICE", help="a core's price, for the ratio of the split")
    rows.add_argument("--gib", type=_money, metavar="PRICE", help="a GiB's price, for the ratio of the split")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the price book."""
    if arguments.opencost:
        source, entries = arguments.opencost, entries_of_assets(_fetched(arguments.opencost))
    else:
        source, entries = arguments.csv.name, entries_of_csv(_read(arguments.csv), _split(arguments))
    dated = {"validFrom": arguments.valid_from} if arguments.valid_from else {}
    book = {
        "currency": arguments.currency,
        "source": source,
        "retrievedAt": f"{datetime.now(UTC):%Y-%m-%d}",  # noqa: TID251 (the day on which they were read)
        "entries": [{**one, **dated} for one in entries],
    }
    parse_model(PriceBook, book)
    print(yaml.safe_dump(book, sort_keys=False, width=110), end="")
    return 0


def _fetched(url: str) -> dict[str, Any]:
    if not url.startswith(("http://", "https://")):
        raise OpenCostUnreachable(url=url, problem="not an http or https address")
    try:
        with urllib.request.urlopen(url.rstrip("/") + ASSETS, timeout=FETCH_SECONDS) as answer:  # noqa: S310 (checked)
            content = json.loads(answer.read(MOST_BYTES), parse_float=Decimal)
    except (urllib.error.URLError, OSError, ValueError) as fault:
        raise OpenCostUnreachable(url=url, problem=str(fault)) from fault
    if not isinstance(content, dict):
        raise OpenCostUnreachable(url=url, problem="the answer is no JSON object")
    return content


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8-sig")
    except OSError as fault:
        raise InvalidPriceList(where=str(file), value=str(fault), allowed="a file that can be read") from fault


def _split(arguments: argparse.Namespace) -> Split:
    if arguments.shape and (arguments.core is None or arguments.gib is None):
        raise InvalidPriceList(where="--core, --gib", value="missing", allowed="both, when --shape is given")
    return Split(core=arguments.core or Decimal(0), gib=arguments.gib or Decimal(0), shapes=dict(arguments.shape))


def _shape(text: str) -> tuple[str, Shape]:
    name, equals, amounts = text.partition("=")
    cpu, comma, memory = amounts.partition(",")
    try:
        if not (name and equals and comma):
            raise ValueError(text)
        return name, Shape(cpu=Quantity(cpu), memory=Quantity(memory))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r}: expected INSTANCE=CPU,MEMORY, such as m5.large=2,8Gi") from None


def _money(text: str) -> Decimal:
    try:
        amount = Decimal(text)
    except InvalidOperation:
        amount = Decimal(-1)
    if not amount.is_finite() or amount < 0:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a price such as 0.0335")
    return amount
