"""Merging a partial pod template over ours, as Kubernetes' strategic merge would. Knows nothing of what is merged.

Custom resources have no strategic merge of their own, so the rule is simple: maps by key, lists of named objects by
name, everything else is replaced.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

Json = dict[str, Any]


def merge(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> Json:
    """Return `theirs` merged over `ours`; None in `theirs` removes a key."""
    merged = dict(ours)
    for key, value in theirs.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = _merged_value(merged.get(key), value)
    return merged


def _merged_value(ours: object, theirs: object) -> object:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        return merge(ours, theirs)
    if isinstance(ours, list) and isinstance(theirs, list) and _are_named(ours) and _are_named(theirs):
        return _merge_by_name(ours, theirs)
    return theirs


def _are_named(items: list[Any]) -> bool:
    return all(isinstance(item, Mapping) and "name" in item for item in items)


def _merge_by_name(ours: list[Any], theirs: list[Any]) -> list[Any]:
    """Return our items, each with theirs of the same name merged over it, then those that only they have."""
    changes: dict[str, Any] = {}
    for item in theirs:
        changes[item["name"]] = merge(changes.get(item["name"], {}), item)
    merged = [merge(item, changes.pop(item["name"], {})) for item in ours]
    return [*merged, *changes.values()]
