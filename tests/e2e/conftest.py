"""Fixtures of the tests that run pods."""

from collections.abc import Iterator

import pytest

from tests.cluster.cluster import Node


@pytest.fixture
def room(node: Node) -> Iterator[str]:
    """A namespace for one test."""
    with node.namespace() as name:
        yield name
