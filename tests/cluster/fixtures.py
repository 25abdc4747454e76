"""The pytest fixtures that give a real cluster, `control_plane` and `node`, and the marker `real` for what uses them.

A cluster that cannot be had skips the test with the reason, except in CI (CI=true), where it fails it. A node that
`python -m tests.cluster up` left up is used and left up; one that a fixture starts goes down with the session.
"""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest

from tests.cluster import lifecycle, places
from tests.cluster.cluster import ControlPlane, Node
from tests.cluster.errors import ClusterError
from tests.cluster.instance import Instance


@pytest.hookimpl(tryfirst=True)  # before pytest chooses by marker
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test that asks for a cluster, directly or through another fixture, as `real`."""
    for item in items:
        if {"control_plane", "node"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.real)


@pytest.fixture(scope="session")
def control_plane() -> Iterator[ControlPlane]:
    """A Kubernetes API without nodes, one per worker of pytest-xdist; no root (10 s, 470 MiB)."""
    worker = os.environ.get("PYTEST_XDIST_WORKER", "main")
    with _running(Instance(f"pytest-{os.getpid()}-{worker}"), is_full=False) as instance:
        yield ControlPlane(instance)


@pytest.fixture(scope="session")
def node() -> Iterator[Node]:
    """The node of this machine, for this session alone: another session that wants it waits (14 s, 700 MiB, root)."""
    with _exclusive(), _running(Instance(lifecycle.NODE_INSTANCE), is_full=True) as instance:
        yield Node(instance)


@contextmanager
def _running(instance: Instance, *, is_full: bool) -> Iterator[Instance]:
    if lifecycle.is_up(instance):
        yield instance
        return
    if reason := lifecycle.objection(is_full=is_full):
        do_without(f"no real Kubernetes here: {reason}")
    try:
        lifecycle.up(instance, is_full=is_full)
        yield instance
    finally:
        lifecycle.down(instance)
        if left := lifecycle.residue(instance):
            raise ClusterError("the node left behind:\n" + "\n".join(left))


@contextmanager
def _exclusive() -> Iterator[None]:
    """Hold this machine's lock on the node; the kernel gives it back when the process ends, however it ends."""
    places.cache().mkdir(parents=True, exist_ok=True)
    with (places.cache() / "node.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def do_without(reason: str) -> NoReturn:
    """Skip the test, or fail it in CI, where something missing must never look like a pass."""
    if os.environ.get("CI") == "true":
        raise ClusterError(f"CI must have everything: {reason}")
    pytest.skip(reason)
