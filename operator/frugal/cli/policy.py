"""`frugal policy --stdio`: the sizing policy as a program over JSON lines, for any simulator to drive. Decides nothing.

The first line describes the service, each further one a minute that is over; each minute is answered with one line.
"""

from __future__ import annotations

import argparse
import sys
from typing import Any


def add(commands: Any) -> None:
    """Add the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "policy",
        help="run the sizing policy over JSON lines, for a simulator to drive",
        description="Reads JSON lines and answers on standard output. The first line describes the service: "
        '{"service": {"flavors": [{"name", "slots", "memory_gib", "gpu_hours_price"}], "sequences_per_replica": '
        '[one per flavor], "service_seconds", "wait_budget_seconds", "violation_target", "startup_minutes", '
        '"model_memory_gib"}}. Each further line is a minute that is over: {"t", "requests", "load", "util", '
        '"capacity", "backlog", "violations", "flavor", "replicas", "ready"}, of which the first needs t, requests and '
        'load alone. The answer to a minute: {"flavor": index, "replicas": count}.',
    )
    command.add_argument("--stdio", action="store_true", required=True, help="over standard input and output")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Answer until the input ends; raises BadLine."""
    from frugal.cli.policy_lines import answers  # numpy takes a while to load, and no other command needs it

    for answer in answers(sys.stdin):
        sys.stdout.write(answer + "\n")
        sys.stdout.flush()
    return 0
