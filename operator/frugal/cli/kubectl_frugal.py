"""`kubectl frugal cost|savings|idle|nodes`: the same tables over the cluster that kubectl talks to. Changes nothing.

kubectl finds the plugin by the name of its program, kubectl-frugal.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence

from frugal.cli.cost import nodes
from frugal.cli.cost.command import add_one
from frugal.cli.cost.source import Found, from_cluster
from frugal.cli.main import exit_status

VIEWS = ("cost", "savings", "idle")


def main(words: Sequence[str] | None = None) -> int:
    """Run one command and return its exit status: 0 done, 2 bad input or no cluster."""
    return exit_status(parser(), words)


def parser() -> argparse.ArgumentParser:
    """Return the parser of every command."""
    top = argparse.ArgumentParser(prog="kubectl frugal", description="What serving costs, has saved and wastes.")
    commands = top.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for name in VIEWS:
        add_one(commands, name, source=_objects)
    nodes.add(commands)
    return top


def _objects(arguments: argparse.Namespace) -> Found:
    return from_cluster(kubeconfig=arguments.kubeconfig, namespace=arguments.namespace)
