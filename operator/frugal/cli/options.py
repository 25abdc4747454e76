"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import argparse
from pathlib import Path

from frugal.errors import InvalidDuration
from frugal.units import Duration

DEFAULT_STATE = Path(".frugal")


def add_state(command: argparse.ArgumentParser) -> None:
    """Add `--state`."""
    command.add_argument(
        "--state",
        type=Path,
        default=DEFAULT_STATE,
        metavar="DIR",
        help="folder where objects, logs and volumes live (default: ./.frugal)",
    )


def duration_seconds(text: str) -> float:
    """Return the seconds of a duration such as 90s or 5m."""
    try:
        return Duration(text).seconds
    except InvalidDuration as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


def volume(text: str) -> tuple[str, Path]:
    """Return (claim, folder) of CLAIM=DIR."""
    claim, equals, folder = text.partition("=")
    if not (claim and equals and folder):
        raise argparse.ArgumentTypeError(f"{text!r}: expected CLAIM=DIR, such as models=./models")
    return claim, Path(folder)
