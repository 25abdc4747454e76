"""`frugal demo`: the whole loop on real input, with one command and nothing left running."""

from __future__ import annotations

import argparse
import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from frugal.cli.demo.report import Outcome, show, write_outcome

NOT_CLOSED = 1


def add(commands: Any) -> None:
    """Add the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "demo",
        help="train, compress, serve, load and right-size a small model",
        description="Trains a small CNN on Fashion-MNIST and lets Frugal compress, verify, serve, measure, right-size "
        "and price it. Takes under 4 minutes on 2 cores, and leaves nothing running.",
    )
    command.add_argument("--build", type=Path, default=Path("build"), metavar="DIR", help="where results go (./build)")
    command.add_argument(
        "--examples", type=Path, default=Path("manifests/examples"), metavar="DIR", help="the example manifests"
    )
    command.add_argument(
        "--cluster",
        choices=("kind", "context", "node"),
        help="run on a real cluster with Frugal in it: the kind cluster of `make kind`, the kubeconfig's present "
        "context, or the node of `make node` (default: this machine, without a cluster)",
    )
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Run the demo; 0 when the loop closed, 1 when it did not."""
    console = Console()
    folder: Path = (arguments.build / "demo").absolute()
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    try:
        outcome = asyncio.run(_tell(folder, arguments, console))
    except subprocess.CalledProcessError as error:
        print(f"frugal: {' '.join(map(str, error.cmd))} ended with status {error.returncode}", file=sys.stderr)
        return NOT_CLOSED
    file = arguments.build / "demo.json"
    write_outcome(outcome, file)
    show(outcome, console, places=_places(outcome, folder, file))
    return NOT_CLOSED if outcome.missing() else 0


async def _tell(folder: Path, arguments: argparse.Namespace, console: Console) -> Outcome:
    from frugal.cli.demo.embedded import EmbeddedWorld
    from frugal.cli.demo.kubernetes import KubernetesWorld
    from frugal.cli.demo.story import Story

    world = KubernetesWorld(arguments.cluster, console) if arguments.cluster else EmbeddedWorld(folder, console)
    return await Story(world, folder=folder, examples=arguments.examples, console=console).tell()


def _places(outcome: Outcome, folder: Path, file: Path) -> dict[str, str]:
    report = str((outcome.job.get("status") or {}).get("report") or "")
    claim = "pvc://models/"
    places = {"report": str(folder / "models" / report.removeprefix(claim))} if report.startswith(claim) else {}
    return places | {"metrics at the end": str(folder / "metrics.txt"), "figures": str(file)}
