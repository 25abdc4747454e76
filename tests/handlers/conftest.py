"""The operator as a process of its own against a real API server, where pods never run."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tests.cluster.cluster import ControlPlane
from tests.ports import free_port

REPOSITORY = Path(__file__).parents[2]
OPERATOR_NAMESPACE = "frugal-system"
LEASE_SECONDS = 6.0  # shorter than the 15 s of production, and long enough for a loaded machine


@dataclass
class OperatorProcess:
    """One `python -m frugal`."""

    control_plane: ControlPlane
    log: Path
    process: subprocess.Popen[bytes] = field(init=False)
    health_port: int = 0
    metrics_port: int = 0

    def start(self, **settings: str) -> None:
        """Start it with `FRUGAL_*` settings."""
        self.health_port, self.metrics_port = free_port(), free_port()
        environment = {
            **os.environ,
            "KUBECONFIG": str(self.control_plane.kubeconfig),
            "PYTHONPATH": str(REPOSITORY / "operator"),
            "FRUGAL_HEALTH_PORT": str(self.health_port),
            "FRUGAL_METRICS_PORT": str(self.metrics_port),
            "FRUGAL_LEASE_SECONDS": str(LEASE_SECONDS),
            **settings,
        }
        with self.log.open("ab") as log:
            command = [sys.executable, "-m", "frugal"]
            self.process = subprocess.Popen(command, env=environment, stdout=log, stderr=log)

    def probe(self, path: str) -> tuple[int, dict[str, Any]]:
        """Return (HTTP status, body) of a probe; status 0 while nothing listens."""
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.health_port}{path}", timeout=5) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)
        except OSError:
            return 0, {}

    def metrics(self) -> str:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=5) as answer:
            return str(answer.read().decode())

    @property
    def is_leader(self) -> bool:
        return bool(self.probe("/readyz")[1].get("leader"))

    def stop(self) -> int:
        """End it as Kubernetes does, and return its exit status."""
        self.process.terminate()
        return self.process.wait(30)

    def end(self) -> None:
        """End it by fair means, so that the next test finds the Lease free, or else by foul ones."""
        try:
            self.stop()
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        self.process.kill()
        self.process.wait(10)


@pytest.fixture(scope="session")
def api_server(control_plane: ControlPlane) -> ControlPlane:
    """The API server with our kinds."""
    control_plane.kubectl("apply", "--validate=false", "-k", str(REPOSITORY / "crds"))
    control_plane.kubectl.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": OPERATOR_NAMESPACE}})
    return control_plane


@pytest.fixture
def start_operator(api_server: ControlPlane, tmp_path: Path) -> Iterator[Callable[..., OperatorProcess]]:
    """Give a function that starts one more operator; all end with the test, and their logs are shown when it fails."""
    started: list[OperatorProcess] = []

    def start(**settings: str) -> OperatorProcess:
        operator = OperatorProcess(api_server, tmp_path / f"operator-{len(started)}.log")
        operator.start(**settings)
        started.append(operator)
        return operator

    yield start
    for operator in started:
        operator.end()
        print(operator.log.read_text(errors="replace")[-4000:])


@pytest.fixture
def namespace(api_server: ControlPlane) -> Iterator[str]:
    """A namespace of the test's own."""
    with api_server.namespace("handlers") as name:
        yield name


def until(holds: Callable[[], object], what: str, *, seconds: float = 30) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds:g} s: {what}")
        time.sleep(0.1)  # another process brings it about


@contextmanager
def crashed(control_plane: ControlPlane, component: str) -> Iterator[None]:
    """Let a component of the control plane be away."""
    control_plane.crash(component)
    try:
        yield
    finally:
        control_plane.restart(component)
