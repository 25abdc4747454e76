"""The engine that both shells drive: a keyed queue, workers that reconcile, one tick of telemetry.

It observes through the ports, lets the planners decide, and carries the plan out; it knows no kopf, no file, no HTTP.
"""

from __future__ import annotations

import asyncio
import logging
import platform
import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime

from frugal import __version__
from frugal.decisions.compression import plan_compression
from frugal.decisions.inference import plan_inference
from frugal.decisions.inventory import of_its_kind
from frugal.decisions.plan import Plan
from frugal.decisions.snapshot import Children, Manifest
from frugal.errors import ClusterError, Forbidden, Rejected
from frugal.loop.act import carry_out, refused_status, write_status
from frugal.loop.fleet import Sight, see
from frugal.loop.instruments import Instruments, NoInstruments
from frugal.loop.measurements import Measurements
from frugal.loop.observe import Observer
from frugal.loop.ports import (
    COMPRESSION_JOB,
    INFERENCE_DEPLOYMENT,
    Clock,
    Cluster,
    ObjectKey,
    Reading,
    Telemetry,
    Workload,
)
from frugal.loop.queue import KeyedQueue
from frugal.loop.references import References, owner_of, target_of
from frugal.loop.runtime_metrics import declared_metrics
from frugal.metrics.snapshot import OperatorFigures
from frugal.settings import Settings

RECONCILE_SECONDS = 60.0  # one look at one object; its longest call to the API takes a third of it
RECALLED_AT_A_TIME = 20  # workloads whose past is asked for in one tick: about 150,000 samples
NO_INSTRUMENTS = NoInstruments()
STOP_SECONDS = 10.0  # what is in hand may end; Kubernetes grants 30 s between SIGTERM and SIGKILL

_log = logging.getLogger(__name__)


class Engine:
    """Brings every object to its plan, and looks again whenever something about it may have changed.

    clock: the time of day, for decisions. monotonic: seconds that never go back, for waiting.
    """

    def __init__(
        self,
        cluster: Cluster,
        telemetry: Telemetry,
        settings: Settings,
        clock: Clock,
        instruments: Instruments = NO_INSTRUMENTS,
        *,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._cluster, self._telemetry, self._settings = cluster, telemetry, settings
        self._clock, self._monotonic = clock, monotonic
        self._instruments = instruments
        self._observer = Observer(cluster, settings, clock)
        self._references = References()
        self._measurements = Measurements()
        self._in_hand: dict[ObjectKey, float] = {}
        self.queue = KeyedQueue(monotonic)

    def notice(self, key: ObjectKey) -> None:
        """An object appeared, changed or went: look at it soon, and at those that refer to it."""
        self._references.update(key, self._cluster.get(key))
        self.queue.add(key)
        for source in self._references.sources(key):
            self.queue.add(source)

    def notice_child(self, labels: Mapping[str, str], namespace: str) -> None:
        """A child with these labels appeared, changed or went: look at its owner soon."""
        owner = owner_of(labels, namespace)
        if owner is not None:
            self.queue.add(owner)

    def notice_all(self) -> None:
        """Something changed that every decision sees, such as prices or nodes."""
        known = self._cluster.keys()
        for key in known:
            self.notice(key)

    async def reconcile(self, key: ObjectKey) -> float | None:
        """Bring one object to its plan; safe at any moment, any number of times.

        Returns the seconds after which to look again, or None when only an event can change the plan.
        Raises ClusterError when a write failed; what the server refused also stands in the object's conditions.
        """
        manifest = self._cluster.get(key)
        self._references.update(key, manifest)
        if manifest is None:
            self._measurements.forget(key)
            return None
        children = self._children(manifest)
        plan = self._plan(key, manifest, children)
        try:
            await carry_out(self._cluster, key, manifest, children, plan)
        except (Forbidden, Rejected) as refusal:
            if plan.status is not None:
                await write_status(self._cluster, key, manifest, refused_status(manifest, refusal, now=self._clock()))
            raise
        return plan.requeue_seconds

    async def tick(self) -> None:
        """Read the telemetry of every InferenceDeployment that has pods, and look again at those that it tells of."""
        workloads = tuple(self._workloads())
        now = self._clock()
        await self._recall(workloads, now)
        reading = self._on_kinds(await self._telemetry.read(workloads, now=now), workloads)
        for key in self._measurements.take(reading, now=now):
            self.queue.add(key)

    async def _recall(self, workloads: tuple[Workload, ...], now: datetime) -> None:
        """Learn the past of some of the workloads whose checkpoint is lost."""
        lost = [one for one in workloads if self._measurements.is_to_recall(one.key)][:RECALLED_AT_A_TIME]
        if lost:
            past = await self._telemetry.history(tuple(lost), now=now)
            for one in lost:
                self._measurements.recall(one.key, past.get(one.key))

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then end what is in hand within STOP_SECONDS; a cancellation ends at once."""
        stopping = asyncio.create_task(stop.wait())
        tasks = [asyncio.create_task(self._work(stop)) for _ in range(self._settings.workers)]
        tasks.append(asyncio.create_task(self._tick_forever()))
        try:
            done, _ = await asyncio.wait({stopping, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for broken in done - {stopping}:
                broken.result()  # a worker never ends by itself: this raises what ended it
            tasks[-1].cancel()
            await asyncio.wait(tasks, timeout=STOP_SECONDS)
        finally:
            for task in (stopping, *tasks):
                task.cancel()
            await asyncio.gather(stopping, *tasks, return_exceptions=True)

    def longest_in_hand_seconds(self) -> float:
        """Return how long the slowest reconcile has been going on; 0 when nothing is in hand."""
        now = self._monotonic()
        return max((now - since for since in self._in_hand.values()), default=0.0)

    def see(self) -> Sight:
        """Return every object as it stands now, for the metrics; to be called in the event loop."""
        return see(self._cluster, self._measurements, now=self._clock())

    def figures(self, *, is_leader: bool = True) -> OperatorFigures:
        """Return what the operator shows of itself; from any thread."""
        return OperatorFigures(
            version=__version__,
            python_version=platform.python_version(),
            is_leader=is_leader,
            queue_depth=len(self.queue),
            input_ages_seconds=self._measurements.ages_seconds,
        )

    def _plan(self, key: ObjectKey, manifest: Manifest, children: Children) -> Plan:
        if key.kind == COMPRESSION_JOB:
            return plan_compression(self._observer.compression(manifest, children))
        measured = self._measurements.of(key, children)
        return plan_inference(self._observer.inference(manifest, children, measured))

    def _children(self, manifest: Manifest) -> Children:
        """Return what belongs to an object: its own children, and the workload that it adopts."""
        children, target = self._cluster.children(manifest["metadata"]["uid"]), target_of(manifest)
        if target is None:
            return children
        adopted = self._cluster.target(*target)
        return replace(
            children,
            deployments=(*children.deployments, *adopted.deployments),
            pods=(*children.pods, *adopted.pods),
        )

    def _workloads(self) -> list[Workload]:
        workloads, known = [], self._cluster.keys()
        for key in known:
            manifest = self._cluster.get(key) if key.kind == INFERENCE_DEPLOYMENT else None
            if manifest is None:
                continue
            children = self._children(manifest)
            pods = tuple(pod for pod in children.pods if _is_running(pod))
            if pods:
                self._measurements.of(key, children)  # what an earlier process learnt comes before what is new
                workloads.append(Workload(key=key, pods=pods, metrics=declared_metrics(manifest)))
        return workloads

    def _on_kinds(self, reading: Reading, workloads: tuple[Workload, ...]) -> Reading:
        """Return the reading with the accelerator on which each workload's pods ran."""
        nodes, pods = self._cluster.node_labels(), {one.key: one.pods for one in workloads}
        observations = {
            key: of_its_kind(observation, pods.get(key, ()), nodes) for key, observation in reading.observations.items()
        }
        return replace(reading, observations=observations)

    async def _work(self, stop: asyncio.Event) -> None:
        """Take keys and look at them until `stop`; what is in hand then is still ended."""
        stopping = asyncio.create_task(stop.wait())
        taking = asyncio.create_task(self.queue.take())
        try:
            while not stop.is_set():
                await asyncio.wait({stopping, taking}, return_when=asyncio.FIRST_COMPLETED)
                if taking.done():
                    await self._look_at(taking.result())
                    taking = asyncio.create_task(self.queue.take())
        finally:
            stopping.cancel()
            taking.cancel()

    async def _look_at(self, key: ObjectKey) -> None:
        """Reconcile one key and hand it back, whatever happens."""
        started = self._in_hand[key] = self._monotonic()
        fault = ""
        try:
            async with asyncio.timeout(RECONCILE_SECONDS):
                again = await self.reconcile(key)
        except Exception as error:  # the one place: whatever fails, this object is retried and the others go on
            fault = type(error).__name__
            self._failed(key, error)
        else:
            self.queue.done(key, requeue_seconds=again)
        finally:
            del self._in_hand[key]
            self._instruments.reconciled(key.kind, seconds=self._monotonic() - started, error=fault)

    def _failed(self, key: ObjectKey, error: Exception) -> None:
        backoff = self.queue.failed(key)
        expected = isinstance(error, ClusterError | TimeoutError)  # an outage; all else is a bug and shows its trace
        _log.log(
            logging.WARNING if expected else logging.ERROR,
            "%s: %s: %s; again in %.2f s",
            key,
            type(error).__name__,
            error,
            backoff,
            exc_info=None if expected else error,
        )

    async def _tick_forever(self) -> None:
        while True:
            started, fault = self._monotonic(), ""
            try:
                await self.tick()
            except Exception as error:  # as in _look_at: telemetry that fails must not end the work on the objects
                fault = type(error).__name__
                _log.exception("telemetry could not be read; again in %.0f s", self._settings.tick_seconds)
            seconds = self._monotonic() - started
            self._instruments.ticked(seconds=seconds, error=fault)
            await asyncio.sleep(max(0.0, self._settings.tick_seconds - seconds))


def _is_running(pod: Manifest) -> bool:
    return (pod.get("status") or {}).get("phase") == "Running" and not pod["metadata"].get("deletionTimestamp")
