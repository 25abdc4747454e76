"""A partial pod template over ours."""

from __future__ import annotations

from frugal.resources.merge import merge


def test_maps_are_merged_by_key() -> None:
    assert merge({"a": {"x": 1, "y": 2}}, {"a": {"y": 3, "z": 4}}) == {"a": {"x": 1, "y": 3, "z": 4}}


def test_named_objects_are_merged_by_name_and_new_ones_follow() -> None:
    ours = {"containers": [{"name": "server", "image": "a", "env": [{"name": "X", "value": "1"}]}]}
    theirs = {"containers": [{"name": "proxy"}, {"name": "server", "env": [{"name": "X", "value": "2"}]}]}

    merged = merge(ours, theirs)

    server = {"name": "server", "image": "a", "env": [{"name": "X", "value": "2"}]}
    assert merged["containers"] == [server, {"name": "proxy"}]


def test_lists_without_names_are_replaced() -> None:
    assert merge({"drop": ["ALL"], "n": [1]}, {"drop": ["NET_RAW"]}) == {"drop": ["NET_RAW"], "n": [1]}


def test_null_removes_a_key() -> None:
    assert merge({"a": 1, "b": 2}, {"a": None}) == {"b": 2}


def test_what_is_merged_is_left_as_it_was() -> None:
    ours = {"a": {"x": 1}}

    merge(ours, {"a": {"x": 2}})

    assert ours == {"a": {"x": 1}}
