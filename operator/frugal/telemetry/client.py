"""Asks a Prometheus, or whatever speaks its API: bounded in time, bytes and queries at a time. Knows no PromQL."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from frugal.errors import TelemetryError
from frugal.telemetry.answer import AnswerReader, Series
from frugal.telemetry.credentials import Credentials

QUERY_SECONDS = 10.0
QUERIES_AT_A_TIME = 3  # a Prometheus runs 20 at a time for all its users
LARGEST_ANSWER_BYTES = 256 * 1024**2
PART_BYTES = 64 * 1024

Take = Callable[[Iterable[Series]], None]
"""Is handed an answer's series, some at a time."""


@dataclass(slots=True)
class Asked:
    """What one tick cost."""

    queries: int = 0
    bytes: int = 0
    samples: int = 0
    query_characters: int = 0


class PrometheusClient:
    """Asks one server. `url` is its root, such as http://prometheus:9090, or http://mimir/prometheus."""

    def __init__(self, url: str, credentials: Credentials, *, query_seconds: float = QUERY_SECONDS) -> None:
        self._url, self._credentials, self._query_seconds = f"{url.rstrip('/')}/api/v1/", credentials, query_seconds

    @asynccontextmanager
    async def session(self) -> AsyncIterator[PrometheusSession]:
        """Give a session for the queries of one tick."""
        headers, tls = self._credentials.headers(), self._credentials.tls()
        timeout = aiohttp.ClientTimeout(total=self._query_seconds)
        connector = aiohttp.TCPConnector(ssl=tls, limit=QUERIES_AT_A_TIME)
        async with aiohttp.ClientSession(timeout=timeout, headers=headers, connector=connector) as session:
            yield PrometheusSession(session, self._url, self._query_seconds)


class PrometheusSession:
    """The queries of one tick; `asked` says what they cost."""

    def __init__(self, session: aiohttp.ClientSession, url: str, query_seconds: float) -> None:
        self._session, self._url, self._query_seconds = session, url, query_seconds
        self._places = asyncio.Semaphore(QUERIES_AT_A_TIME)
        self.asked = Asked()

    async def instant(self, query: str, take: Take, *, at: float | None = None) -> None:
        """Hand `take` the series as they are at one moment (Unix seconds; None: the server's now).

        Raises TelemetryError where they cannot be had, or not all of them; `take` may have been given some by then.
        """
        moment = {} if at is None else {"time": f"{at:.3f}"}
        await self._ask("query", {"query": query, **moment}, take)

    async def range(self, query: str, take: Take, *, start: float, end: float, step_seconds: float) -> None:
        """Hand `take` the series over a time; raises TelemetryError as `instant` does."""
        limits = {"start": f"{start:.3f}", "end": f"{end:.3f}", "step": f"{step_seconds:g}"}
        await self._ask("query_range", {"query": query, **limits}, take)

    async def _ask(self, route: str, form: dict[str, str], take: Take) -> None:
        query = form["query"]
        self.asked.queries += 1
        self.asked.query_characters += len(query)
        try:
            async with (
                self._places,
                self._session.post(self._url + route, data=form, allow_redirects=False) as response,
            ):
                await self._read(response, take)
        except TimeoutError as error:
            raise TelemetryError(
                f"Prometheus at {self._url} did not answer within {self._query_seconds:g} s: {_shown(query)}"
            ) from error
        except aiohttp.ClientError as error:
            said = str(error) or type(error).__name__
            raise TelemetryError(f"Prometheus at {self._url} cannot be asked: {said}") from error

    async def _read(self, response: aiohttp.ClientResponse, take: Take) -> None:
        reader, size = AnswerReader(), 0
        async for chunk in response.content.iter_chunked(PART_BYTES):
            size += len(chunk)
            if size > LARGEST_ANSWER_BYTES:
                raise TelemetryError(f"Prometheus at {self._url} answers more than {LARGEST_ANSWER_BYTES} bytes")
            self._hand(reader.feed(chunk), take)
        self.asked.bytes += size
        try:
            series, envelope = reader.close()
        except TelemetryError as error:
            status = "" if response.status == 200 else f"HTTP {response.status}: "
            raise TelemetryError(f"Prometheus at {self._url} refused: {status}{error}") from error
        self._hand(series, take)
        if envelope.missing:
            raise TelemetryError(f"Prometheus at {self._url} answers only partly: {envelope.missing}")

    def _hand(self, series: Iterable[Series], take: Take) -> None:
        found = list(series)
        self.asked.samples += len(found)
        if found:
            take(found)


def _shown(query: str) -> str:
    return query if len(query) <= 120 else f"{query[:117]}..."
