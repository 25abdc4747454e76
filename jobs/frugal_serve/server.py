"""One server's life: listen, load, be ready, drain, end. Requests, models and batches are the other modules' parts."""

from __future__ import annotations

import asyncio
import ctypes
import json
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from threading import Thread
from typing import TypeVar, cast

import uvloop
from prometheus_client import disable_created_metrics

from frugal.errors import FrugalError
from frugal_artifacts.storage import Storage
from frugal_serve.batching import Batcher, BatchPolicy
from frugal_serve.connection import Connection, Connections, HttpLimits
from frugal_serve.metrics import ServeMetrics
from frugal_serve.model import RUNTIME, Model, ModelSource, Runtime, load
from frugal_serve.service import MAX_BODY_BYTES, Service
from frugal_serve.settings import ServeSettings

LINGER_SECONDS = 3.0  # endpoints and load balancers need about so long to forget a pod that is going
ACCEPT_SECONDS = 0.05  # some turns of the loop, for what waits to be accepted
SO_ATTACH_FILTER = 26  # Linux, asm-generic/socket.h
BPF_RETURN = 0x06  # linux/filter.h: BPF_RET | BPF_K, here of 0 bytes
LINGER_RATIO = 0.25  # of the whole drain, when that is short
Answer = TypeVar("Answer")


def run(settings: ServeSettings) -> int:
    """Serve until SIGTERM or SIGINT; return the exit status."""
    disable_created_metrics()  # type: ignore[no-untyped-call] # a second series for each counter and histogram, which nothing reads
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(Server(settings).serve())


class Server:
    """One process that serves one model."""

    def __init__(self, settings: ServeSettings) -> None:
        self._settings = settings
        self._metrics = ServeMetrics(
            model=settings.model_name,
            version=settings.model_version,
            threshold_seconds=settings.latency_threshold_seconds,
        )
        self._service = Service(name=settings.model_name, version=settings.model_version, metrics=self._metrics)
        self._stop = asyncio.Event()

    async def serve(self) -> int:
        """Return the exit status: 0 when all accepted work was answered, 1 for a model that cannot be served."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        connections = Connections()
        limits = HttpLimits(body_bytes=MAX_BODY_BYTES)
        listener = await loop.create_server(
            lambda: Connection(self._service, connections, limits), self._settings.host or None, self._settings.port
        )
        _log("listening", model=self._settings.model_name, port=listener.sockets[0].getsockname()[1])
        try:
            batcher = await self._open()
        except FrugalError as error:
            return self._fail(error)
        await self._stop.wait()
        return await self._end(listener, connections, batcher)

    async def _open(self) -> Batcher | None:
        """Load the model beside the listener; return its batcher, or None when the server is stopped meanwhile."""
        started = time.perf_counter()
        loading = _in_thread(self._load)
        stopping = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((loading, stopping), return_when=asyncio.FIRST_COMPLETED)
        if not loading.done():
            return None
        stopping.cancel()
        model = loading.result()
        seconds = time.perf_counter() - started
        policy = BatchPolicy(
            max_rows=self._settings.max_batch,
            delay_seconds=self._settings.batch_delay_ms / 1000,
            queue_limit=self._settings.queue_limit,
            is_batched=model.specification.is_batched,
        )
        batcher = Batcher(model.run, policy=policy, observer=self._metrics)
        self._metrics.loaded(sha256=model.sha256, runtime=RUNTIME, seconds=seconds)
        self._service.open(model.specification, batcher)
        _log("ready", sha256=model.sha256, batched=model.specification.is_batched, seconds=round(seconds, 3))
        return batcher

    def _load(self) -> Model:
        settings = self._settings
        source = ModelSource(
            name=settings.model_name,
            version=settings.model_version,
            uri=settings.model_uri,
            sha256=settings.model_sha256,
        )
        runtime = Runtime(threads=settings.threads, max_batch=settings.max_batch)
        return load(source, Storage(settings.volumes), runtime, settings.work)

    def _fail(self, error: FrugalError) -> int:
        """Say why the model cannot be served, where the operator reads it."""
        message = f"{type(error).__name__}: {error}"
        _log("failed", error=message)
        write_termination(self._settings, message)
        return 1

    async def _end(self, listener: asyncio.Server, connections: Connections, batcher: Batcher | None) -> int:
        """Refuse readiness, serve on for a moment, then answer what was accepted and end."""
        drain_seconds = self._settings.drain_seconds
        linger_seconds = min(LINGER_SECONDS, drain_seconds * LINGER_RATIO)
        _log("draining", seconds=drain_seconds)
        self._service.drain()
        connections.is_retiring = True  # each answer now sends its client elsewhere
        await asyncio.sleep(linger_seconds)
        await _close_without_loss(listener)
        connections.retire()
        try:
            await asyncio.wait_for(connections.none_left.wait(), drain_seconds - linger_seconds)
        except TimeoutError:
            _log("cut off", connections=len(connections.open), seconds=drain_seconds)
            return 1
        if batcher is not None:
            batcher.stop()
        _log("ended")
        return 0


def write_termination(settings: ServeSettings, message: str) -> None:
    """Leave `message` for the operator, at most the 4,096 bytes that Kubernetes keeps."""
    if settings.termination_log is not None:
        settings.termination_log.write_bytes(message.encode()[:4096])


async def _close_without_loss(listener: asyncio.Server) -> None:
    """Close the listener after all clients that the kernel has let in are accepted; it would reset them.

    A socket filter that drops everything keeps new ones out meanwhile; they try again, and are refused.
    """
    if sys.platform == "linux":
        drop_all = ctypes.create_string_buffer(struct.pack("HBBI", BPF_RETURN, 0, 0, 0))
        program = struct.pack("HL", 1, ctypes.addressof(drop_all))
        for each in listener.sockets:
            with socket.fromfd(each.fileno(), each.family, each.type) as same:
                same.setsockopt(socket.SOL_SOCKET, SO_ATTACH_FILTER, program)
    await asyncio.sleep(ACCEPT_SECONDS)
    listener.close()


def _in_thread(function: Callable[[], Answer]) -> asyncio.Future[Answer]:
    """Return the future of `function` in a thread that does not hold up the process's end."""
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()

    def deliver(answer: Answer | None, error: BaseException | None) -> None:
        if future.cancelled():
            return
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(cast("Answer", answer))

    def work() -> None:
        try:
            answer = function()
        except BaseException as error:
            loop.call_soon_threadsafe(deliver, None, error)
        else:
            loop.call_soon_threadsafe(deliver, answer, None)

    Thread(target=work, name="frugal-load", daemon=True).start()
    return future


def _log(event: str, **facts: object) -> None:
    """Write one line of JSON to stderr: starts and ends, never a request."""
    print(json.dumps({"event": event, **facts}), file=sys.stderr, flush=True)
