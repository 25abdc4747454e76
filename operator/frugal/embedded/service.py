"""A Service as a TCP proxy on loopback: new connections go round the ready pods, open ones end with their pod."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from functools import partial

from frugal.decisions.snapshot import Manifest
from frugal.embedded.events import node_event
from frugal.embedded.job_runner import is_ready
from frugal.embedded.pod import port_of
from frugal.embedded.pod_environment import ADDRESS
from frugal.embedded.store import Store
from frugal.loop.ports import Clock, ObjectKey

RETRY_SECONDS = 5.0  # after a port that somebody else holds
CHUNK_BYTES = 64 * 1024

_log = logging.getLogger(__name__)


class ServiceProxies:
    """The proxies of all Services in the store."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._proxies: dict[ObjectKey, _Proxy] = {}

    async def look(self, key: ObjectKey) -> float | None:
        """Open, move or close the Service's proxy; return when to try again after a port that is taken."""
        service = self._store.get(key)
        wanted = service["spec"]["ports"] if service is not None else []
        proxy = self._proxies.get(key)
        if proxy is not None and proxy.ports != wanted:
            await self._proxies.pop(key).close()
            proxy = None
        if service is None or proxy is not None:
            return None
        proxy = _Proxy(self._store, key, wanted)
        try:
            await proxy.open()
        except OSError as error:
            await proxy.close()
            ports = ", ".join(str(port["port"]) for port in wanted)
            message = (
                f"cannot listen on {ADDRESS} port {ports}: {error.strerror}; free it, or change the Service's port"
            )
            self._store.record(node_event(service, "Warning", "PortTaken", message, now=self._clock()))
            self._store.set_status(key, {"conditions": [self._condition("False", "PortTaken", message)]})
            _log.warning("%s: %s", key, message)
            return RETRY_SECONDS
        self._proxies[key] = proxy
        self._store.set_status(key, {"conditions": [self._condition("True", "Listening", f"listens on {ADDRESS}")]})
        return None

    async def close(self) -> None:
        """Close every proxy."""
        for proxy in self._proxies.values():
            await proxy.close()
        self._proxies.clear()

    def _condition(self, status: str, reason: str, message: str) -> Manifest:
        return {"type": "Listening", "status": status, "reason": reason, "message": message}


class _Proxy:
    """The listeners of one Service."""

    def __init__(self, store: Store, key: ObjectKey, ports: list[Manifest]) -> None:
        self._store, self._key = store, key
        self.ports = ports
        self._servers: list[asyncio.Server] = []
        self._turn = 0

    async def open(self) -> None:
        """Listen on every port; raises OSError when one is taken."""
        for port in self.ports:
            target: str | int = port.get("targetPort") or port["port"]
            serve = partial(self._serve, target)
            self._servers.append(await asyncio.start_server(serve, ADDRESS, port["port"]))

    async def close(self) -> None:
        """Listen no more; open connections go on."""
        for server in self._servers:
            server.close()

    def _addresses(self, target: str | int) -> list[int]:
        """Return the ports of the ready pods, the one whose turn it is first."""
        service = self._store.get(self._key)
        if service is None:
            return []
        selector = (service["spec"].get("selector") or {}).items()
        pods = [
            pod
            for pod in self._store.all("Pod")
            if pod["metadata"]["namespace"] == self._key.namespace
            and selector
            and selector <= (pod["metadata"].get("labels") or {}).items()
            and is_ready(pod)
        ]
        ports = [port for pod in pods if (port := port_of(pod, target))]
        self._turn += 1
        turn = self._turn % len(ports) if ports else 0
        return ports[turn:] + ports[:turn]

    async def _serve(self, target: str | int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            backend = await self._connect(target)
            if backend is not None:
                await _join(reader, writer, *backend)
        finally:
            writer.close()

    async def _connect(self, target: str | int) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        for port in self._addresses(target):
            with contextlib.suppress(OSError):
                return await asyncio.open_connection(ADDRESS, port)
        return None


async def _join(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    backend_reader: asyncio.StreamReader,
    backend_writer: asyncio.StreamWriter,
) -> None:
    """Copy both ways until the backend ends; a client may stop sending and still wait for its answer."""
    sending = asyncio.create_task(_copy(reader, backend_writer))
    try:
        await _copy(backend_reader, writer)
    finally:
        sending.cancel()
        backend_writer.close()
        await asyncio.gather(sending, return_exceptions=True)


async def _copy(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
    """Copy until the source ends, and tell the sink that there is no more; a lost connection ends it too."""
    with contextlib.suppress(OSError):
        while chunk := await source.read(CHUNK_BYTES):
            sink.write(chunk)
            await sink.drain()
        sink.write_eof()
