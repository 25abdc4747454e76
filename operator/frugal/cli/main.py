"""The entry point: which command was asked for, and how its end becomes an exit status."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from frugal.cli import compress, cost, demo, describe, get, policy, prices, recommend, run, simulate
from frugal.errors import FrugalError

BAD_INPUT = 2
COMMANDS = (run, compress, get, describe, recommend, cost, prices, policy, simulate, demo)


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 1 not reached, 2 bad input."""
    return exit_status(parser(), words)


def exit_status(commands: argparse.ArgumentParser, words: Sequence[str] | None) -> int:
    """Run the command that `words` name and return how it ended; a fault is told under the program's name."""
    arguments = commands.parse_args(words)
    try:
        return int(arguments.command(arguments))
    except FrugalError as fault:
        print(f"{commands.prog}: {fault}", file=sys.stderr)
        return BAD_INPUT
    except BrokenPipeError:  # `frugal get | head`
        return 0


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    top = argparse.ArgumentParser(
        prog="frugal",
        description="Makes models cheaper to train and to serve. These commands need no Kubernetes: this machine is "
        "the node, pods are local processes, and objects live in a state folder.",
    )
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for command in COMMANDS:
        command.add(commands)
    return top
