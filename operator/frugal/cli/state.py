"""Objects of a state folder, read without its lock: `frugal run` may be writing meanwhile. Changes nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from frugal.api.crd import KINDS, Kind
from frugal.embedded.state_folder import StateFolder, read_objects
from frugal.errors import FrugalError, NotFound

Manifest = dict[str, Any]
OTHER_KINDS = ("Job", "Deployment", "Service", "Pod", "ConfigMap", "Secret", "PersistentVolumeClaim", "Event")


class NoState(FrugalError):
    """There is no state folder where one was expected."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        super().__init__(f"{folder} is no state folder: give the one of `frugal run` by --state")


class UnknownKind(FrugalError):
    """No object here is of that kind."""

    def __init__(self, word: str) -> None:
        self.word = word
        known = [kind.name for kind in KINDS] + list(OTHER_KINDS)
        super().__init__(f"unknown kind {word!r}; there are {', '.join(known)} (any case, plurals and short names too)")


def kind_named(word: str) -> str:
    """Return the kind that a person means by its name, plural or short name; raises UnknownKind."""
    wanted = word.lower()
    for kind in KINDS:
        if wanted in (kind.singular, kind.plural, kind.short_name):
            return kind.name
    for name in OTHER_KINDS:
        if wanted in (name.lower(), f"{name.lower()}s"):
            return name
    raise UnknownKind(word)


def api_kind(name: str) -> Kind | None:
    """Return what the API says of a kind of ours, or None for any other."""
    return next((kind for kind in KINDS if kind.name == name), None)


def objects(state: Path, kind: str | None = None, name: str | None = None) -> list[Manifest]:
    """Return the objects of a state folder in order; raises NoState, and NotFound for a name that is not there."""
    folder = StateFolder(state)
    if not folder.objects.is_dir():
        raise NoState(state)
    found = [
        one
        for one in read_objects(folder)
        if (kind is None or one["kind"] == kind) and (name is None or one["metadata"]["name"] == name)
    ]
    if name is not None and not found:
        raise NotFound(f"no {kind} {name!r} in {folder.root}")
    return found
