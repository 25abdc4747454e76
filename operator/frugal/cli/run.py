"""`frugal run`: the loop on this machine."""

from __future__ import annotations

import argparse
import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from frugal.cli.options import add_state, duration_seconds, volume
from frugal.settings import Settings


def add(commands: Any) -> None:
    """Add the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "run",
        help="run CompressionJobs and InferenceDeployments on this machine",
        description="Runs the manifests with this machine as the node. A changed file is applied again; an object that "
        "leaves its file is deleted. Ctrl-C ends every process; the next run goes on from the state folder.",
    )
    command.add_argument(
        "-f", "--filename", type=Path, action="append", required=True, metavar="FILE|DIR", help="manifests; may repeat"
    )
    add_state(command)
    command.add_argument(
        "--volume",
        type=volume,
        action="append",
        default=[],
        metavar="CLAIM=DIR",
        help="the folder behind a claim (default: its annotation frugal.dev/path, else STATE/volumes/CLAIM)",
    )
    command.add_argument(
        "--metrics-port", type=int, metavar="PORT", help="/metrics on loopback (FRUGAL_METRICS_PORT, else 9095)"
    )
    command.add_argument(
        "--tick",
        type=duration_seconds,
        metavar="DURATION",
        help="between two looks at the pods (FRUGAL_TICK_SECONDS, else 15s)",
    )
    command.add_argument(
        "--until",
        default="",
        metavar="CONDITION",
        help="end with 0 when every object has this condition (such as Ready), with 1 when it cannot get there",
    )
    command.add_argument("--timeout", type=duration_seconds, metavar="DURATION", help="end with 1 after so long")
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run until stopped; see `--until` for the status."""
    from frugal.embedded.goal import Goal
    from frugal.embedded.shell import RunOptions, run_shell

    options = RunOptions(
        paths=tuple(arguments.filename),
        state=arguments.state,
        volumes=dict(arguments.volume),
        settings=_settings(arguments),
        until=arguments.until,
        timeout_seconds=arguments.timeout,
    )
    goal = asyncio.run(run_shell(options))
    was_asked_for = bool(options.until or options.timeout_seconds)
    return 1 if was_asked_for and goal is not Goal.REACHED else 0


def _settings(arguments: argparse.Namespace) -> Settings:
    """Return the operator's own settings: the environment's, with the flags over them; raises InvalidSettings."""
    flags = {"metrics_port": arguments.metrics_port, "tick_seconds": arguments.tick}
    return replace(
        Settings.from_environment(os.environ), **{name: one for name, one in flags.items() if one is not None}
    )
