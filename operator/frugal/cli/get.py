"""`frugal get`: the objects of a state folder, in the columns that `kubectl get` shows. Changes nothing."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from frugal.api.crd import AGE, KINDS, Column
from frugal.cli.options import add_state
from frugal.cli.state import Manifest, api_kind, kind_named, objects
from frugal.units import duration_text, parse_rfc3339

Cell = Callable[[Manifest], str]


def add(commands: Any) -> None:
    """Add the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "get",
        help="list objects of a state folder",
        description="Lists objects in the columns of kubectl. Without a kind: every CompressionJob and "
        "InferenceDeployment.",
    )
    command.add_argument("kind", nargs="?", metavar="KIND", help="such as compressionjob, idep, job, deployment, pod")
    command.add_argument("name", nargs="?", metavar="NAME", help="one object")
    command.add_argument("-o", "--output", choices=("wide", "json", "yaml"), help="more columns, or whole objects")
    add_state(command)
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Print what was asked for."""
    kinds = [kind_named(arguments.kind)] if arguments.kind else [kind.name for kind in KINDS]
    found = {kind: objects(arguments.state, kind, arguments.name) for kind in kinds}
    if arguments.output in ("json", "yaml"):
        print(_whole([one for listed in found.values() for one in listed], arguments), end="")
        return 0
    now = datetime.now(UTC)  # noqa: TID251 (the age that a person reads)
    tables = [table(kind, listed, now=now, wide=arguments.output == "wide") for kind, listed in found.items() if listed]
    print("\n\n".join(tables) if tables else f"no objects in {arguments.state}")
    return 0


def table(kind: str, found: Sequence[Manifest], *, now: datetime, wide: bool) -> str:
    """Return the objects of one kind as aligned columns."""
    ours = api_kind(kind)
    if ours is not None:
        columns: dict[str, Cell] = {
            column.name: _api_cell(column, now) for column in ours.columns if wide or not column.is_wide
        }
    else:
        columns = {**_OTHER.get(kind, {}), "Age": _api_cell(AGE, now)}
    rows = [["NAME", *(name.upper() for name in columns)]]
    rows += [[one["metadata"]["name"], *(cell(one) for cell in columns.values())] for one in found]
    widths = [max(map(len, cells)) for cells in zip(*rows, strict=True)]
    return "\n".join(
        "   ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows
    )


def value_at(manifest: Mapping[str, Any], path: str) -> Any:
    """Return what stands at a path such as .status.best.loss, or None."""
    value: Any = manifest
    for part in path.strip(".").split("."):
        value = value.get(part) if isinstance(value, Mapping) else None
    return value


def _api_cell(column: Column, now: datetime) -> Cell:
    def cell(manifest: Manifest) -> str:
        value = value_at(manifest, column.path)
        if value is None:
            return ""
        if column.type == "date":
            return duration_text(max(0.0, (now - parse_rfc3339(value)).total_seconds()))
        return f"{value:.3g}" if isinstance(value, float) else str(value)

    return cell


def _pod_ready(pod: Manifest) -> str:
    states = value_at(pod, ".status.containerStatuses") or []
    return f"{sum(one['ready'] for one in states)}/{len(pod['spec']['containers'])}"


def _pod_status(pod: Manifest) -> str:
    """Return what holds the pod up, in the words of `kubectl get pods`, or its phase."""
    if "deletionTimestamp" in pod["metadata"]:
        return "Terminating"
    for one in value_at(pod, ".status.containerStatuses") or []:
        for state in ("waiting", "terminated"):
            if state in one["state"]:
                return str(one["state"][state]["reason"])
    return str(value_at(pod, ".status.phase") or "Pending")


def _pod_restarts(pod: Manifest) -> str:
    return str(sum(one["restartCount"] for one in value_at(pod, ".status.containerStatuses") or []))


def _job_status(job: Manifest) -> str:
    conditions = value_at(job, ".status.conditions") or []
    return str(conditions[0]["type"]) if conditions else "Running"


def _ports(service: Manifest) -> str:
    return ",".join(f"{port['port']}/{port.get('protocol', 'TCP')}" for port in service["spec"]["ports"])


_OTHER: dict[str, dict[str, Cell]] = {
    "Pod": {"Ready": _pod_ready, "Status": _pod_status, "Restarts": _pod_restarts},
    "Job": {
        "Status": _job_status,
        "Completions": lambda job: f"{value_at(job, '.status.succeeded') or 0}/{job['spec'].get('completions', 1)}",
    },
    "Deployment": {
        "Ready": lambda one: f"{value_at(one, '.status.readyReplicas') or 0}/{one['spec'].get('replicas', 1)}",
        "Up-to-date": lambda one: str(value_at(one, ".status.updatedReplicas") or 0),
        "Available": lambda one: str(value_at(one, ".status.availableReplicas") or 0),
    },
    "Service": {"Ports": _ports},
    "ConfigMap": {"Data": lambda one: str(len(one.get("data") or {}))},
    "Event": {
        "Type": lambda one: str(one["type"]),
        "Reason": lambda one: str(one["reason"]),
        "Object": lambda one: f"{one['involvedObject']['kind']}/{one['involvedObject']['name']}",
        "Message": lambda one: str(one["message"]),
    },
}


def _whole(found: Sequence[Manifest], arguments: argparse.Namespace) -> str:
    shown = [_without_secrets(one) for one in found]
    content: Any = shown[0] if arguments.name else {"apiVersion": "v1", "kind": "List", "items": shown}
    if arguments.output == "json":
        return json.dumps(content, indent=2) + "\n"
    return str(yaml.safe_dump(content, sort_keys=False))


def _without_secrets(manifest: Manifest) -> Manifest:
    """Return the object with a Secret's values left out: a terminal is no place for them."""
    if manifest["kind"] != "Secret":
        return manifest
    return {name: value for name, value in manifest.items() if name not in ("data", "stringData")}
