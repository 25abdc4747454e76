"""A node of its own for a test: a state folder, a store, and real processes with short waits."""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psutil

from frugal.embedded.node import Node
from frugal.embedded.pod import Ground, Timing
from frugal.embedded.state_folder import StateFolder
from frugal.embedded.store import Store
from frugal.loop.ports import ObjectKey

Manifest = dict[str, Any]
QUICK = Timing(restart_seconds=0.2, job_backoff_seconds=0.4)

# Answers 200 at /ready once the file READY exists, and its own name at any other path.
WEB = """
import http.server, os, pathlib, signal, sys
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        ready = self.path != "/ready" or pathlib.Path(os.environ["READY"]).exists()
        body = os.environ["NAME"].encode()
        self.send_response(200 if ready else 503)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *_): pass
server = http.server.ThreadingHTTPServer(("127.0.0.1", int(os.environ["FRUGAL_PORT"])), Handler)
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
server.serve_forever()
"""


class Machine:
    """A store and a node over one folder; `async with` starts and stops it."""

    def __init__(self, root: Path) -> None:
        self.folder = StateFolder(root / "state")
        self.claims: dict[str, Path] = {}
        self.printed: list[str] = []

    async def __aenter__(self) -> Machine:
        self.folder.lock()
        self.store = Store(self.folder, lambda: datetime.now(UTC))
        ground = Ground(
            store=self.store,
            folder=self.folder,
            clock=lambda: datetime.now(UTC),
            volumes=lambda: self.claims,
            printed=lambda pod: self.printed.append(pod["metadata"]["name"]),
            timing=QUICK,
        )
        self.node = Node(ground)
        self.node.recover()
        self._stop = asyncio.Event()
        self._running = asyncio.create_task(self.node.run(self._stop))
        await asyncio.sleep(0)
        return self

    async def __aexit__(self, *_: object) -> None:
        self._stop.set()
        await self._running
        self.folder.unlock()
        left = [one for one in psutil.Process().children() if "shim.py" in " ".join(one.cmdline())]
        assert left == [], [(one.cmdline(), one.status(), [c.cmdline() for c in one.children()]) for one in left]

    def get(self, kind: str, name: str) -> Manifest:
        return self.store.get(ObjectKey(kind, "default", name)) or {}

    def status(self, kind: str, name: str) -> Manifest:
        status: Manifest = self.get(kind, name).get("status") or {}
        return status

    def pods(self) -> list[Manifest]:
        return [pod for pod in self.store.all("Pod") if "deletionTimestamp" not in pod["metadata"]]

    def events(self, reason: str) -> list[Manifest]:
        return [event for event in self.store.all("Event") if event["reason"] == reason]

    async def until(self, holds: Callable[[], Any], seconds: float = 20.0) -> Any:
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := holds():
                return found
            await asyncio.sleep(0.02)
        statuses = [(one["kind"], one["metadata"]["name"], one.get("status")) for one in self.store.all()]
        raise AssertionError(f"did not happen in {seconds} s: {statuses}")

    async def until_job_ends(self, name: str, seconds: float = 20.0) -> Manifest:
        conditions = await self.until(lambda: self.status("Job", name).get("conditions"), seconds)
        found: Manifest = conditions[0]
        return found


def job(
    name: str, code: str, *, pod: Manifest | None = None, container: Manifest | None = None, **spec: Any
) -> Manifest:
    """A Job of one container that runs `code`."""
    content = {"name": "work", "image": "none", "command": ["python", "-c", code], **(container or {})}
    template = {"spec": {"restartPolicy": "Never", "containers": [content], **(pod or {})}}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"template": template, **spec},
    }


def deployment(name: str, code: str = WEB, *, ready: str, container: Manifest | None = None, **spec: Any) -> Manifest:
    """A Deployment of a web server with a readiness probe that asks for the file `ready`."""
    probe = {"httpGet": {"path": "/ready", "port": "http"}, "periodSeconds": 0.1}
    content = {
        "name": "web",
        "command": ["python", "-c", code],
        "env": [{"name": "NAME", "value": name}, {"name": "READY", "value": ready}],
        "ports": [{"name": "http", "containerPort": 8080}],
        "readinessProbe": probe,
        **(container or {}),
    }
    pod = {"terminationGracePeriodSeconds": 5, "containers": [content]}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": {"app": name}},
            "template": {"metadata": {"labels": {"app": name}}, "spec": pod},
            **spec,
        },
    }


def service(name: str, port: int) -> Manifest:
    """A Service in front of the Deployment of that name."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": name, "namespace": "default"},
        "spec": {"selector": {"app": name}, "ports": [{"port": port, "targetPort": "http"}]},
    }


PYTHON = sys.executable
