"""The options of `frugal recommend`, and where its object and what was learnt of it are read. Computes no size."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from frugal.cli.options import add_state
from frugal.cli.recommend.report import Report, as_json, as_text
from frugal.cli.state import objects
from frugal.cluster.client import Api
from frugal.cluster.kinds import CONFIG_MAPS, INFERENCE_DEPLOYMENTS
from frugal.decisions.snapshot import Manifest
from frugal.errors import NotFound
from frugal.loop.measurements import state_of
from frugal.resources.checkpoint import checkpoint_name

DEFAULT_KUBECONFIG = Path("~/.kube/config")


def add(commands: Any) -> None:
    """Add the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "recommend",
        help="tell which size would do, and why",
        description="Tells which size an InferenceDeployment needs, what that saves, and why it is not applied yet.",
    )
    command.add_argument("name", metavar="NAME")
    command.add_argument("-n", "--namespace", default="default", metavar="NAME", help="default: default")
    command.add_argument("--explain", action="store_true", help="draw what was measured, and list the alternatives")
    command.add_argument("-o", "--output", choices=("text", "json"), default="text", help="for programs")
    command.add_argument("--cluster", action="store_true", help="read the cluster of KUBECONFIG instead of --state")
    command.add_argument("--kubeconfig", default="", metavar="FILE", help="default: KUBECONFIG, then ~/.kube/config")
    add_state(command)
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the recommendation."""
    now = datetime.now(UTC)  # noqa: TID251 (the ages that a person reads)
    if arguments.cluster or arguments.kubeconfig:
        files = arguments.kubeconfig or os.environ.get("KUBECONFIG") or str(DEFAULT_KUBECONFIG.expanduser())
        manifest, checkpoint = asyncio.run(_from_cluster(files, arguments.namespace, arguments.name))
    else:
        manifest, checkpoint = _from_state(arguments)
    report = Report(manifest=manifest, state=state_of(checkpoint), now=now)
    if arguments.output == "json":
        print(json.dumps(as_json(report, explain=arguments.explain), indent=2))
    else:
        print(as_text(report, explain=arguments.explain))
    return 0


def _from_state(arguments: argparse.Namespace) -> tuple[Manifest, Manifest | None]:
    found = [
        one
        for one in objects(arguments.state, INFERENCE_DEPLOYMENTS.kind, arguments.name)
        if one["metadata"].get("namespace", "default") == arguments.namespace
    ]
    if not found:
        raise NotFound(f"no InferenceDeployment {arguments.name!r} in namespace {arguments.namespace}")
    wanted = (arguments.namespace, checkpoint_name(arguments.name))
    saved = [
        one
        for one in objects(arguments.state, CONFIG_MAPS.kind)
        if (one["metadata"].get("namespace", "default"), one["metadata"]["name"]) == wanted
    ]
    return found[0], saved[0] if saved else None


async def _from_cluster(kubeconfig: str, namespace: str, name: str) -> tuple[Manifest, Manifest | None]:
    api = await Api.connect(kubeconfig)
    try:
        manifest = await api.get(INFERENCE_DEPLOYMENTS.path(namespace, name))
        try:
            saved = await api.get(CONFIG_MAPS.path(namespace, checkpoint_name(name)))
        except NotFound:
            return manifest, None
        return manifest, saved
    finally:
        await api.close()
