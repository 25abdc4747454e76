"""Fixtures of the CEL tests: both generated CRDs, installed on a server that runs their rules."""

import time
from collections.abc import Iterator

import pytest

from frugal.api.crd import KINDS, custom_resource_definition
from tests.cel import server
from tests.cel.server import CrdServer
from tests.cluster.cluster import ControlPlane

DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"


@pytest.fixture(scope="session")
def crd_server_program() -> None:
    """Skip, with the command that helps, where the server is not built."""
    if not server.program().exists():
        pytest.skip(f"no CRD server in {server.program().parent}: build it with `make test-cel` (Debian, five minutes)")


@pytest.fixture(scope="session")
def crd_server(crd_server_program: None, control_plane: ControlPlane) -> Iterator[CrdServer]:
    """The server with both kinds established."""
    with server.running(control_plane.instance) as running:
        for kind in KINDS:
            answer = running.call("POST", DEFINITIONS, custom_resource_definition(kind))
            assert answer.is_accepted, answer.message
            _wait_until_served(running, f"/apis/frugal.dev/v1alpha1/{kind.plural}")
        yield running


def _wait_until_served(running: CrdServer, path: str) -> None:
    deadline = time.monotonic() + 30
    while not running.call("GET", path).is_accepted:
        assert time.monotonic() < deadline, f"{path} is not served"
        time.sleep(0.1)
