"""What must be applied again, and what a server adds by itself."""

from __future__ import annotations

from typing import Any

import pytest

from frugal.resources.identity import HASH_ANNOTATION, differs, is_contained, suffixed, with_hash


def service(**changes: Any) -> dict[str, Any]:
    spec = {"type": "ClusterIP", "ports": [{"name": "http", "port": 80}]} | changes
    return with_hash({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "a"}, "spec": spec})


def test_what_the_server_adds_is_no_difference() -> None:
    desired = service()
    live = {**desired, "spec": {**desired["spec"], "clusterIP": "10.0.0.1", "sessionAffinity": "None"}}

    assert not differs(desired, live)


def test_what_was_rendered_anew_differs() -> None:
    assert differs(service(type="NodePort"), service())


def test_a_value_that_somebody_changed_differs() -> None:
    desired = service()
    live = {**desired, "spec": {**desired["spec"], "type": "NodePort"}}

    assert differs(desired, live)


def test_a_label_that_somebody_removed_differs() -> None:
    desired = with_hash({"kind": "Service", "metadata": {"name": "a", "labels": {"frugal.dev/uid": "1"}}})
    live = {**desired, "metadata": {**desired["metadata"], "labels": {}}}

    assert differs(desired, live)


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        ("1000m", "1"),
        ("1024Mi", "1Gi"),
        (1, "1"),
        ([{"name": "a", "x": 1}], [{"name": "b"}, {"name": "a", "x": 1, "y": 2}]),  # lists by name
        ({"emptyDir": {}}, {}),  # the server drops what is empty
        ({"readOnly": False, "args": []}, {}),
        ({"a": None}, {}),
    ],
)
def test_the_same_said_otherwise_is_contained(desired: object, live: object) -> None:
    assert is_contained(desired, live)


@pytest.mark.parametrize(
    ("desired", "live"),
    [
        ("1000m", "2"),
        (True, "1"),
        (["a", "b"], ["a"]),
        (["a", "b"], ["b", "a"]),  # the order of words of a command counts
        ([{"name": "a"}], [{"name": "b"}]),
        ({"replicas": 1}, {}),
        ("1.2.3", "1.2.4"),
    ],
)
def test_something_else_is_not_contained(desired: object, live: object) -> None:
    assert not is_contained(desired, live)


def test_the_hash_does_not_depend_on_the_order_of_keys() -> None:
    one = with_hash({"metadata": {"name": "a"}, "spec": {"x": 1, "y": 2}})
    other = with_hash({"spec": {"y": 2, "x": 1}, "metadata": {"name": "a"}})

    assert one["metadata"]["annotations"][HASH_ANNOTATION] == other["metadata"]["annotations"][HASH_ANNOTATION]


def test_a_short_name_is_kept_whole() -> None:
    assert suffixed("digits", "0123456789") == "digits-0123456789"


def test_long_names_are_cut_and_stay_apart() -> None:
    one, other = suffixed("a" * 60 + "1", "0123456789"), suffixed("a" * 60 + "2", "0123456789")

    assert len(one) == len(other) == 63
    assert one != other
