"""The demo from its model to its closing table: train, compress, serve, load, right-size. Same story in every world."""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from frugal.cli.demo.dataset import Dataset, find_dataset
from frugal.cli.demo.history import BASE_RATE, ServiceCost, day_rates, generated_checkpoint, service_cost
from frugal.cli.demo.inputs import JOB, SERVING, Manifest, demo_manifests
from frugal.cli.demo.report import Outcome
from frugal.cli.demo.world import World
from frugal.loop.ports import COMPRESSION_JOB, INFERENCE_DEPLOYMENT
from frugal.telemetry.exposition import parse_exposition

TRAINING_SECONDS = 40
COMPRESSION_SECONDS = 150.0  # before it is given up
SERVING_SECONDS = 60.0
SIZING_SECONDS = 30.0
PROBE_SECONDS = 4
LOAD_SECONDS = 25
MEASURING_SECONDS = 45.0  # three ticks of an operator with its default settings
LOOK_SECONDS = 0.25

Until = Callable[[], bool]


class Story:
    """One demo."""

    def __init__(self, world: World, *, folder: Path, examples: Path, console: Console):
        self._world = world
        self._folder, self._examples, self._console = folder, examples, console
        self._steps: dict[str, float] = {}
        self._cost_before, self._first_size = "", dict[str, Any]()
        self._load: dict[str, Any] = {}
        self._utilization: dict[str, float] = {}

    async def tell(self) -> Outcome:
        """Run it and return what it came to; everything that it started has ended then."""
        began = time.monotonic()
        dataset = find_dataset(self._say)
        models = self._folder / "models"
        with self._step("training"):
            await self._train(dataset, models / "fashion-cnn")
        manifests = demo_manifests(self._examples, dataset, port=self._world.service_port)
        try:
            await self._run(manifests, models)
            job, serving = self._object(COMPRESSION_JOB, JOB), self._object(INFERENCE_DEPLOYMENT, SERVING)
            with contextlib.suppress(Exception):  # a metrics page that is missing must not hide what was found
                (self._folder / "metrics.txt").write_text(await self._world.metrics())
            await self._world.fetch(models)
        finally:
            await self._world.close()
        return Outcome(
            world=self._world.name,
            seconds=time.monotonic() - began,
            steps=self._steps,
            dataset=dataset,
            job=job,
            serving=serving,
            load=self._load,
            utilization=self._utilization,
            cost_before=self._cost_before,
            first_size=self._first_size,
        )

    async def _run(self, manifests: Sequence[Manifest], models: Path) -> None:
        """Bring the loop as far as it goes; a step that does not end is seen in the outcome."""
        await self._world.start(manifests, models)
        with self._step("compression"):
            ended = await self._until(lambda: _says(self._object(COMPRESSION_JOB, JOB), "Ready"), COMPRESSION_SECONDS)
        if not ended:
            return
        with self._step("serving"):
            if not await self._until(self._is_serving, SERVING_SECONDS):
                return
            cost = await self._measured_cost()
        if cost is None:
            return
        with self._step("history"):
            serving = self._object(INFERENCE_DEPLOYMENT, SERVING)
            now = datetime.now(UTC)  # noqa: TID251 (the demo's own clock)
            await self._world.add_history(generated_checkpoint(serving, cost, now=now))
            if not await self._world.answers():
                return
        with self._step("load"):
            self._load = await self._world.drive(day_rates(LOAD_SECONDS))
            self._utilization = await self._measured_use()
        with self._step("sizing"):
            await self._until(self._is_sized, SIZING_SECONDS)

    async def _train(self, dataset: Dataset, output: Path) -> None:
        """Train the model in a process of its own, telling how far it is."""
        command = [sys.executable, "-m", "frugal_jobs.examples.fashion_mnist", "--dataset", dataset.name]
        command += ["--output", str(output), *(["--data", str(dataset.folder)] if dataset.folder else [])]
        command += ["--seconds", str(TRAINING_SECONDS)] if dataset.folder else []
        self._say(f"training a small CNN on {dataset.note}")
        process = await asyncio.create_subprocess_exec(*command, stdout=subprocess.PIPE)
        assert process.stdout is not None
        try:
            async for line in process.stdout:
                self._say(_training_words(line))
            code = await process.wait()
        except BaseException:
            process.kill()
            raise
        if code:
            raise subprocess.CalledProcessError(code, command)

    async def _measured_cost(self) -> ServiceCost | None:
        """Send a short even load, and return what a request cost the server."""
        serving = self._object(INFERENCE_DEPLOYMENT, SERVING)
        before = await self._world.server_counters()
        await self._world.drive([BASE_RATE] * PROBE_SECONDS)
        after = await self._world.server_counters()
        await self._until(lambda: "cost" in self._status(), SERVING_SECONDS)
        self._cost_before = str((self._status().get("cost") or {}).get("hourly", ""))
        self._first_size = ((serving.get("status") or {}).get("applied") or {}).get("size") or {}
        return service_cost(before, after) if before is not None and after is not None else None

    async def _measured_use(self) -> dict[str, float]:
        """Return used / requested as soon as the operator tells it: at its second look at the present replicas."""
        give_up = time.monotonic() + MEASURING_SECONDS
        while True:
            found = utilization_in(await self._world.metrics(), SERVING)
            if found or time.monotonic() > give_up:
                return found
            await asyncio.sleep(LOOK_SECONDS)

    def _is_serving(self) -> bool:
        return _says(self._object(INFERENCE_DEPLOYMENT, SERVING), "Ready")

    def _is_sized(self) -> bool:
        """Whether what is recommended is what runs, or the sizing has said why it is not."""
        status = self._status()
        sized = _condition(status, "RightSized")
        is_settled = sized.get("status") == "True" or sized.get("reason") == "WithinDeadBand"
        return "recommendation" in status and is_settled and self._is_serving()

    def _status(self) -> dict[str, Any]:
        return dict(self._object(INFERENCE_DEPLOYMENT, SERVING).get("status") or {})

    def _object(self, kind: str, name: str) -> Manifest:
        return self._world.get(kind, name) or {}

    async def _until(self, holds: Until, seconds: float) -> bool:
        """Return whether it held within so many seconds, or could not any more because an object is stalled."""
        deadline = time.monotonic() + seconds
        while not holds():
            if time.monotonic() > deadline or _says(self._object(COMPRESSION_JOB, JOB), "Stalled"):
                return False
            await asyncio.sleep(LOOK_SECONDS)
        return True

    def _say(self, words: str) -> None:
        self._console.print(words, style="dim", markup=False, highlight=False, soft_wrap=True)

    @contextmanager
    def _step(self, name: str) -> Iterator[None]:
        began = time.monotonic()
        try:
            yield
        finally:
            self._steps[name] = time.monotonic() - began


def _training_words(line: bytes) -> str:
    told = json.loads(line)
    if told.get("phase") == "done":
        return f"trained: {100 * told['accuracy']:.2f} % of the test images, {told['parameters']:,} parameters"
    return f"  {told.get('seconds', 0):.0f} s, {told.get('epochs', 0):.1f} epochs, loss {told.get('loss', 0):.3f}"


def utilization_in(page: str, name: str) -> dict[str, float]:
    """Return used / requested by resource, as the operator's metrics tell it of the InferenceDeployment."""
    return {
        sample.labels["resource"]: round(sample.value, 4)
        for sample in parse_exposition(page)
        if sample.name == "frugal_utilization_ratio" and sample.labels.get("name") == name
    }


def _condition(status: dict[str, Any], type_: str) -> dict[str, Any]:
    return next((dict(one) for one in status.get("conditions") or [] if one["type"] == type_), {})


def _says(manifest: Manifest, type_: str) -> bool:
    """Return whether the condition is true of the object's present generation."""
    found = _condition(manifest.get("status") or {}, type_)
    generation = (manifest.get("metadata") or {}).get("generation")
    return found.get("status") == "True" and found.get("observedGeneration") == generation
