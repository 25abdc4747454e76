"""The demo's world without a cluster: `frugal run`'s shell in this process, over a folder of its own."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
from rich.console import Console

from frugal.cli.demo.inputs import CLAIM, JOB, SERVING, Manifest, write_manifests
from frugal.embedded.goal import Goal
from frugal.embedded.pod_template import Ports
from frugal.embedded.shell import RunOptions, Shell
from frugal.embedded.state_folder import StateFolder
from frugal.loop.ports import ObjectKey
from frugal.settings import Settings
from frugal.telemetry.counters import PodCounters, pod_counters
from frugal.telemetry.exposition import parse_exposition
from frugal.telemetry.scrape import pod_address

TICK_SECONDS = 5.0
ANSWER_SECONDS = 60.0
LOOK_SECONDS = 0.25
LOOPBACK = "127.0.0.1"


class EmbeddedWorld:
    """This machine as the node."""

    name = "embedded"

    def __init__(self, folder: Path, console: Console) -> None:
        self._folder, self._console = folder, console
        self.service_port = (ports := Ports()).free()
        self._metrics_port = ports.free()
        self._state = StateFolder(folder / "state")
        self._shell: Shell | None = None
        self._running: asyncio.Task[Goal] | None = None
        self._models = folder

    async def start(self, manifests: Sequence[Manifest], models: Path) -> None:
        self._models = models
        write_manifests(list(manifests), self._folder / "manifests")
        self._state.lock()
        self._begin()

    def get(self, kind: str, name: str) -> Manifest | None:
        return self._shell.store.get(ObjectKey(kind, "default", name)) if self._shell is not None else None

    async def add_history(self, checkpoint: Manifest) -> None:
        await self._end()
        self._begin(checkpoint)

    async def answers(self) -> bool:
        deadline = time.monotonic() + ANSWER_SECONDS
        while time.monotonic() < deadline:
            with contextlib.suppress(aiohttp.ClientError):
                await _page(f"{self._url}/v2/health/ready")
                return True
            await asyncio.sleep(LOOK_SECONDS)
        return False

    async def drive(self, rates: Sequence[float]) -> dict[str, Any]:
        images = self._models / JOB / "t10k-images-idx3-ubyte.gz"
        plan = {"url": self._url, "model": SERVING, "images": str(images), "rates": list(rates)}
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "frugal.cli.demo.load", stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        try:
            said, _ = await asyncio.wait_for(process.communicate(json.dumps(plan).encode()), len(rates) + 30)
        except BaseException:
            process.kill()
            raise
        return dict(json.loads(said)) if process.returncode == 0 else {}

    @property
    def _url(self) -> str:
        return f"http://{LOOPBACK}:{self.service_port}"

    async def server_counters(self) -> PodCounters | None:
        assert self._shell is not None
        labels = {"frugal.dev/kind": "InferenceDeployment", "frugal.dev/name": SERVING}.items()
        pods = [pod for pod in self._shell.store.all("Pod") if labels <= pod["metadata"]["labels"].items()]
        address = pod_address(pods[0]) if pods else None
        if address is None:
            return None
        page = await _page(f"http://{address}/metrics")
        return pod_counters(parse_exposition(page), at=datetime.now(UTC))  # noqa: TID251 (the demo's own clock)

    async def metrics(self) -> str:
        return await _page(f"http://{LOOPBACK}:{self._metrics_port}/metrics")

    async def fetch(self, models: Path) -> None:
        """Nothing to bring: the claim is that folder."""

    async def close(self) -> None:
        await self._end()
        self._state.unlock()

    def _begin(self, checkpoint: Manifest | None = None) -> None:
        options = RunOptions(
            paths=(self._folder / "manifests",),
            state=self._state.root,
            volumes={CLAIM: self._models},
            settings=Settings(metrics_port=self._metrics_port, tick_seconds=TICK_SECONDS),
        )
        self._shell = Shell(options, self._state, self._console)
        if checkpoint is not None:
            self._shell.store.apply(checkpoint)
        self._running = asyncio.create_task(self._shell.run())

    async def _end(self) -> None:
        if self._shell is not None and self._running is not None:
            self._shell.stop()
            await self._running
            self._running = None


async def _page(url: str) -> str:
    async with aiohttp.ClientSession() as session, session.get(url) as answer:
        answer.raise_for_status()
        return await answer.text()
