"""`frugal describe`: one object in full, with its conditions, recommendation, children and events. Changes nothing."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import yaml

from frugal.cli.get import table, value_at
from frugal.cli.options import add_state
from frugal.cli.state import Manifest, kind_named, objects
from frugal.resources.identity import UID_LABEL
from frugal.units import duration_text, parse_rfc3339

_CHILDREN = ("Job", "Deployment", "Service", "Pod")
_APART = ("conditions",)  # parts of a status that have a section of their own


def add(commands: Any) -> None:
    """Add the command."""
    command: argparse.ArgumentParser = commands.add_parser(
        "describe", help="tell everything about one object", description="Tells everything about one object."
    )
    command.add_argument("kind", metavar="KIND", help="such as compressionjob, idep, pod")
    command.add_argument("name", metavar="NAME")
    add_state(command)
    command.set_defaults(command=run)


def run(arguments: argparse.Namespace) -> int:
    """Print the object."""
    (manifest,) = objects(arguments.state, kind_named(arguments.kind), arguments.name)[:1]
    now = datetime.now(UTC)  # noqa: TID251 (the ages that a person reads)
    print(described(manifest, objects(arguments.state), now=now))
    return 0


def described(manifest: Manifest, everything: Sequence[Manifest], *, now: datetime) -> str:
    """Return the object in sections."""
    sections = [_head(manifest), *_recommended(manifest), *_conditions(manifest, now)]
    sections += [_yaml("Spec", manifest.get("spec") or {})]
    status = {name: value for name, value in (manifest.get("status") or {}).items() if name not in _APART}
    sections += [_yaml("Status", status)] if status else []
    uid = manifest["metadata"]["uid"]
    for kind in _CHILDREN:
        owned = [one for one in everything if one["kind"] == kind and _belongs(one, uid)]
        sections += [f"{kind}s:\n" + _indented(table(kind, owned, now=now, wide=False))] if owned else []
    return "\n".join([*sections, _events(manifest, everything, now)])


def _head(manifest: Manifest) -> str:
    metadata = manifest["metadata"]
    names = {"Name": metadata["name"], "Namespace": metadata["namespace"], "Kind": manifest["kind"]}
    names |= {"Created": metadata["creationTimestamp"], "Generation": metadata["generation"]}
    return "\n".join(f"{f'{name}:':<14}{value}" for name, value in names.items())


def _recommended(manifest: Manifest) -> list[str]:
    sentence = value_at(manifest, ".status.recommendation.explanation")
    return [f"Recommended:  {sentence}"] if sentence else []


def _conditions(manifest: Manifest, now: datetime) -> list[str]:
    conditions = value_at(manifest, ".status.conditions") or []
    lines = [
        f"  {one['type']:<20}{one['status']:<9}{one.get('reason', ''):<24}{_age(one['lastTransitionTime'], now):<8}"
        f"{one.get('message', '')}"
        for one in conditions
    ]
    return ["\n".join(["Conditions:", *lines])] if lines else []


def _events(manifest: Manifest, everything: Sequence[Manifest], now: datetime) -> str:
    uid = manifest["metadata"]["uid"]
    events = [one for one in everything if one["kind"] == "Event" and one["involvedObject"]["uid"] == uid]
    events.sort(key=lambda one: str(one["firstTimestamp"]))
    lines = [
        f"  {one['type']:<9}{one['reason']:<24}{_age(one['firstTimestamp'], now):<8}{one['message']}" for one in events
    ]
    return "\n".join(["Events:", *(lines or ["  none"])])


def _belongs(child: Manifest, uid: str) -> bool:
    owners = child["metadata"].get("ownerReferences") or []
    return (child["metadata"].get("labels") or {}).get(UID_LABEL) == uid or any(one["uid"] == uid for one in owners)


def _yaml(title: str, content: Manifest) -> str:
    return f"{title}:\n" + _indented(yaml.safe_dump(content, sort_keys=False, width=110).rstrip())


def _indented(text: str) -> str:
    return "\n".join(f"  {line}" for line in text.splitlines())


def _age(moment: str, now: datetime) -> str:
    return duration_text(max(0.0, (now - parse_rfc3339(moment)).total_seconds()))
