"""HTTP/1.1 on one connection: bytes to requests, responses to bytes, keep-alive, pipelining, limits.

Written against asyncio and httptools because a general framework costs more than the inference (bench/serve.py).
What a request means is the application's part.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import Protocol, TypeVar, cast

import httptools

MAX_HEADER_BYTES = 64 * 1024
MAX_PIPELINED = 16  # then the client waits for its answers
LINGER_SECONDS = 1.0  # what a client still sends after a refusal is read, so that it can read the refusal
QUIET_SECONDS = 1.0  # a connection without a request for so long may be closed under a draining server
REASONS = {status.value: f"{status.value} {status.phrase}".encode() for status in HTTPStatus}
Answer = TypeVar("Answer")

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """One whole request; header names are in lower case."""

    method: bytes
    path: bytes
    headers: dict[bytes, bytes]
    body: bytes
    started_at: float  # time.perf_counter of its first byte
    fault: int = 0  # a status that the framing itself calls for, 0 for none


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """One whole response."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    headers: tuple[tuple[bytes, bytes], ...] = ()


class Outcome(Protocol):
    """A future of anything."""

    def cancel(self) -> bool:
        """Say that nobody waits for it."""

    def add_done_callback(self, fn: Callable[[object], object], /) -> None:
        """Call `fn` when it is done."""


@dataclass(frozen=True, slots=True)
class Pending:
    """A response to come: `render` makes it once `outcome` is done; a client that goes away cancels `outcome`."""

    outcome: Outcome
    render: Callable[[], Response]


Application = Callable[[Request], Response | Pending]
BUG = Response(status=500, body=b'{"error":"the server failed on this request; its log has the reason"}')


@dataclass(frozen=True, slots=True, kw_only=True)
class HttpLimits:
    """What one connection may ask for."""

    body_bytes: int
    idle_seconds: float = 300.0  # between requests; load balancers close theirs earlier (AWS 60 s, Envoy 1 h)
    request_seconds: float = 60.0  # for one request to come in whole


@dataclass(slots=True)
class Connections:
    """All open connections of one server, and whether it is draining."""

    open: set[Connection] = field(default_factory=set)
    is_retiring: bool = False
    none_left: asyncio.Event = field(default_factory=asyncio.Event)

    def retire(self) -> None:
        """Close each connection as soon as it owes nothing; answers from now on say so."""
        self.is_retiring = True
        self.none_left.clear()
        if not self.open:
            self.none_left.set()
        for connection in tuple(self.open):
            connection.retire()


class Connection(asyncio.Protocol):
    """One client; its requests are answered in order."""

    def __init__(self, application: Application, connections: Connections, limits: HttpLimits) -> None:
        self._application, self._connections, self._limits = application, connections, limits
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[Request, bool]] = deque()  # pipelined; with: is it kept alive
        self._pending: Pending | None = None
        self._is_last = False  # the answer to come is the last on this connection
        self._is_deaf = False  # what comes in is read and forgotten
        self._is_choked = False  # the client does not read its answers
        self._is_bodiless = False  # the answer to come is one to HEAD
        self._is_receiving = False
        self._deadline: asyncio.TimerHandle | None = None
        self._active_at = time.perf_counter()
        self._loop = asyncio.get_running_loop()

    # asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the new connection."""
        self._transport = cast("asyncio.Transport", transport)
        self._connections.open.add(self)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop what the client no longer waits for."""
        self._transport = None
        self._waiting.clear()
        if self._deadline is not None:
            self._deadline.cancel()
        if self._pending is not None:
            self._pending.outcome.cancel()
        self._connections.open.discard(self)
        if self._connections.is_retiring and not self._connections.open:
            self._connections.none_left.set()

    def data_received(self, data: bytes) -> None:
        """Take what came in."""
        if self._is_deaf:
            return
        self._active_at = time.perf_counter()
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            self._is_deaf = True  # the request is answered as plain HTTP; nothing else is spoken here
        except httptools.HttpParserError:
            self._refuse(HTTPStatus.BAD_REQUEST)

    def pause_writing(self) -> None:
        """Stop reading from a client that does not read."""
        self._is_choked = True
        if self._transport is not None:
            self._transport.pause_reading()

    def resume_writing(self) -> None:
        """Read again."""
        self._is_choked = False
        self._hear()

    # httptools

    def on_message_begin(self) -> None:
        """A request begins."""
        self._started_at = time.perf_counter()
        self._is_receiving = True
        self._path = b""
        self._headers: dict[bytes, bytes] = {}
        self._header_bytes = 0
        self._body: list[bytes] = []
        self._body_bytes = 0

    def on_url(self, url: bytes) -> None:
        """Take a part of the request's target."""
        self._path += url
        if len(self._path) > MAX_HEADER_BYTES:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take one header."""
        self._headers[name.lower()] = value
        self._header_bytes += len(name) + len(value)
        if self._header_bytes > MAX_HEADER_BYTES:
            self._refuse(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE)

    def on_headers_complete(self) -> None:
        """Refuse a body that is announced too large; encourage one that waits for it."""
        self._is_last = self._is_last or self._parser.should_upgrade()
        announced = self._headers.get(b"content-length", b"0")
        if announced.isdigit() and int(announced) > self._limits.body_bytes:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif self._headers.get(b"expect", b"").lower() == b"100-continue" and self._transport is not None:
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")

    def on_body(self, body: bytes) -> None:
        """Take a part of the body."""
        self._body_bytes += len(body)
        if self._body_bytes > self._limits.body_bytes:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif not self._is_deaf:
            self._body.append(body)

    def on_message_complete(self) -> None:
        """Answer the request, or let it wait behind the one before it."""
        if self._is_deaf:
            return
        self._is_receiving = False
        request, is_kept = self._request(), self._parser.should_keep_alive()
        if self._pending is None and not self._waiting:
            self._answer(request, is_kept)
            return
        self._waiting.append((request, is_kept))
        if len(self._waiting) >= MAX_PIPELINED and self._transport is not None:
            self._transport.pause_reading()

    # ours

    def retire(self) -> None:
        """Close after the answer that is owed, or once the client has been quiet for a moment."""
        if self._pending is None and not self._waiting:
            quiet_seconds = time.perf_counter() - self._active_at
            self._loop.call_later(max(0.0, QUIET_SECONDS - quiet_seconds), self._close_if_idle)

    def _close_if_idle(self) -> None:
        if self._pending is None and not self._waiting and not self._is_receiving and self._transport is not None:
            self._transport.close()

    def _watch(self) -> None:
        """Close a connection that is idle, or in the middle of one request, for too long."""
        if self._transport is None:
            return
        self._deadline = self._loop.call_later(self._limits.request_seconds, self._watch)
        now = time.perf_counter()
        if self._is_receiving and now - self._started_at > self._limits.request_seconds:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT)
        elif self._pending is None and now - self._active_at > self._limits.idle_seconds:
            self._transport.close()

    def _request(self, fault: int = 0) -> Request:
        body = self._body[0] if len(self._body) == 1 else b"".join(self._body)
        return Request(
            method=self._parser.get_method(),
            path=self._path,
            headers=self._headers,
            body=body,
            started_at=self._started_at,
            fault=fault,
        )

    def _refuse(self, status: HTTPStatus) -> None:
        """Answer a request that cannot be read to its end, after those before it, and hear no more."""
        if self._is_deaf:
            return
        self._is_deaf, self._is_receiving = True, False
        if not hasattr(self, "_started_at"):
            self.on_message_begin()
        self._waiting.append((self._request(fault=status), False))
        self._body = []
        if self._pending is None:
            self._next()

    def _answer(self, request: Request, is_kept: bool) -> None:
        self._is_last = self._is_last or not is_kept
        self._is_bodiless = request.method == b"HEAD"
        answer = _safely(lambda: self._application(request))
        if isinstance(answer, Response):
            self._write(answer)
            return
        self._pending = answer
        answer.outcome.add_done_callback(self._finish)

    def _finish(self, _: object) -> None:
        pending, self._pending = self._pending, None
        assert pending is not None
        self._write(_safely(pending.render))
        self._next()

    def _next(self) -> None:
        """Answer what waits, as far as that goes at once."""
        while self._waiting and self._pending is None and self._transport is not None:
            self._answer(*self._waiting.popleft())
        self._hear()

    def _hear(self) -> None:
        """Take more requests, unless too many wait or the client does not take its answers."""
        if self._transport is not None and not self._is_choked and len(self._waiting) < MAX_PIPELINED:
            self._transport.resume_reading()

    def _write(self, response: Response) -> None:
        if self._transport is None:
            return
        is_last = self._is_last or (self._connections.is_retiring and not self._waiting)
        body = b"" if self._is_bodiless else response.body
        self._transport.write(_head(response, is_last=is_last) + body)
        if self._is_deaf:
            self._loop.call_later(LINGER_SECONDS, self._transport.close)
        elif is_last:
            self._transport.close()


def _safely(make: Callable[[], Answer]) -> Answer | Response:
    """Return what `make` makes, or a response of status 500 for a fault that nobody foresaw."""
    try:
        return make()
    except Exception:  # a bug of ours: this client hears of it, the log has the rest, all others are served on
        log.exception("a request failed")
        return BUG


def _head(response: Response, *, is_last: bool) -> bytes:
    lines = [
        b"HTTP/1.1 " + REASONS[response.status],
        b"date: " + _date(int(time.time())),
        b"content-type: " + response.content_type,
        b"content-length: %d" % len(response.body),
        *(name + b": " + value for name, value in response.headers),
    ]
    if is_last:
        lines.append(b"connection: close")
    return b"\r\n".join((*lines, b"", b""))


_dates: dict[int, bytes] = {}


def _date(second: int) -> bytes:
    """Return the Date header's value, made once a second."""
    if second not in _dates:
        _dates.clear()
        _dates[second] = formatdate(second, usegmt=True).encode()
    return _dates[second]
