"""HTTP/1.1 as it comes over a socket: framing, pipelining, limits, refusals. A real server, a bare socket."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import orjson
import pytest

from frugal_serve.connection import Connection, Connections, HttpLimits, Response

from .conftest import Launch, ServerProcess

BODY = orjson.dumps({"inputs": [{"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [1, 2, 3, 4]}]})
PATH = b"/v2/models/m/infer"


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Client:
    """One socket, read answer by answer."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=20)
        self._stream = self._socket.makefile("rb")

    def send(self, *parts: bytes) -> None:
        for part in parts:
            self._socket.sendall(part)

    def answer(self, *, is_bodiless: bool = False) -> Answer:
        status = int(self._stream.readline().split()[1])
        headers = {}
        while (line := self._stream.readline().decode().strip()) != "":
            name, _, value = line.partition(": ")
            headers[name] = value
        length = 0 if is_bodiless else int(headers.get("content-length", 0))
        return Answer(status, headers, self._stream.read(length))

    def is_closed(self) -> bool:
        """Whether the server has closed the connection, waiting for it."""
        return self._stream.read(1) == b""

    def close(self) -> None:
        self._stream.close()
        self._socket.close()


@pytest.fixture(scope="module")
def server(launch: Launch, linear: Path) -> ServerProcess:
    return launch(linear)


@pytest.fixture
def client(server: ServerProcess) -> Iterator[Client]:
    with closing(Client(server.port)) as opened:
        yield opened


def post(body: bytes = BODY, *headers: bytes, path: bytes = PATH) -> bytes:
    lines = (b"POST " + path + b" HTTP/1.1", b"Host: m", b"Content-Length: %d" % len(body), *headers)
    return b"\r\n".join((*lines, b"", body))


def test_a_connection_serves_one_request_after_the_other(client: Client) -> None:
    for _ in range(3):
        client.send(post())

        assert client.answer().status == 200


def test_pipelined_requests_are_answered_in_order(client: Client) -> None:
    client.send(post(), b"GET /v2/health/live HTTP/1.1\r\nHost: m\r\n\r\n", post(path=b"/none"), post())

    assert [client.answer().status for _ in range(4)] == [200, 200, 404, 200]


def test_more_pipelined_requests_than_fit_are_answered_all(client: Client) -> None:
    client.send(post() * 100)

    assert [client.answer().status for _ in range(100)] == [200] * 100


def test_a_request_may_come_byte_by_byte(client: Client) -> None:
    client.send(*(bytes([byte]) for byte in post()))

    assert client.answer().status == 200


def test_a_chunked_body_is_read(client: Client) -> None:
    chunks = b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (BODY[:7], BODY[7:])) + b"0\r\n\r\n"
    client.send(b"POST " + PATH + b" HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n", chunks)

    assert client.answer().status == 200


def test_a_client_that_asks_first_is_told_to_go_on(client: Client) -> None:
    head, _, body = post(BODY, b"Expect: 100-continue").partition(b"\r\n\r\n")
    client.send(head + b"\r\n\r\n")

    assert client.answer().status == 100
    client.send(body)
    assert client.answer().status == 200


@pytest.mark.parametrize("request_bytes", [post(BODY, b"Connection: close"), post().replace(b"HTTP/1.1", b"HTTP/1.0")])
def test_a_client_that_wants_one_answer_gets_one(request_bytes: bytes, client: Client) -> None:
    client.send(request_bytes)

    answer = client.answer()

    assert answer.status == 200
    assert answer.headers["connection"] == "close"
    assert client.is_closed()


def test_an_upgrade_is_not_taken(client: Client) -> None:
    client.send(b"GET /v2/health/live HTTP/1.1\r\nHost: m\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n")

    assert client.answer().status == 200
    assert client.is_closed()


def test_what_is_no_http_is_refused(client: Client) -> None:
    client.send(b"\x16\x03\x01 this is TLS\r\n\r\n")

    answer = client.answer()

    assert answer.status == 400
    assert "cannot be read" in orjson.loads(answer.body)["error"]
    assert client.is_closed()


def test_a_fault_behind_a_good_request_spoils_only_itself(client: Client) -> None:
    client.send(post(), b"NO HTTP AT ALL\r\n\r\n")

    assert [client.answer().status for _ in range(2)] == [200, 400]
    assert client.is_closed()


def test_an_announced_body_over_the_limit_is_refused_before_it_comes(client: Client) -> None:
    client.send(b"POST " + PATH + b" HTTP/1.1\r\nHost: m\r\nContent-Length: 999999999999\r\n\r\n", b"x" * 1000)

    answer = client.answer()

    assert answer.status == 413
    assert "67108864 bytes allowed" in orjson.loads(answer.body)["error"]
    assert client.is_closed()


def test_a_chunked_body_over_the_limit_is_refused(client: Client) -> None:
    megabyte = b"100000\r\n" + bytes(0x100000) + b"\r\n"
    client.send(b"POST " + PATH + b" HTTP/1.1\r\nHost: m\r\nTransfer-Encoding: chunked\r\n\r\n")
    try:
        for _ in range(80):
            client.send(megabyte)
    except (BrokenPipeError, ConnectionResetError):
        pytest.fail("the refusal must be readable while the client still sends")

    assert client.answer().status == 413


def test_endless_headers_are_refused(client: Client) -> None:
    client.send(b"GET /v2 HTTP/1.1\r\nHost: m\r\n" + b"X-Filler: %b\r\n" % (b"x" * 1000) * 70 + b"\r\n")

    assert client.answer().status == 431


def test_an_answer_to_head_has_no_body(client: Client) -> None:
    client.send(b"HEAD /v2/health/live HTTP/1.1\r\nHost: m\r\n\r\nGET /v2/health/live HTTP/1.1\r\nHost: m\r\n\r\n")

    head = client.answer(is_bodiless=True)
    after = client.answer()

    assert (head.status, head.headers["content-length"]) == (200, "13")
    assert after.body == b'{"live":true}'


def test_a_length_and_chunks_at_once_are_refused(client: Client) -> None:
    client.send(post(BODY, b"Transfer-Encoding: chunked"))

    assert client.answer().status == 400


def test_a_client_that_does_not_read_is_not_read(server: ServerProcess, client: Client) -> None:
    before = server.metrics()["process_resident_memory_bytes"]
    with closing(socket.create_connection(("127.0.0.1", server.port))) as deaf:
        deaf.settimeout(1)
        with pytest.raises(TimeoutError):  # these are more than the server is willing to hold
            deaf.sendall(b"GET /v2/models/m HTTP/1.1\r\nHost: m\r\n\r\n" * 1_600_000)
        client.send(post())
        status = client.answer().status
        after = server.metrics()["process_resident_memory_bytes"]

    assert status == 200
    assert after - before < 32 * 2**20


def test_a_client_that_goes_away_in_the_middle_hurts_nobody(server: ServerProcess, client: Client) -> None:
    with closing(Client(server.port)) as leaving:
        leaving.send(post()[:100])

    client.send(post())
    assert client.answer().status == 200


async def raw_answer(request: bytes, limits: HttpLimits) -> bytes:
    """Return all that a server with `limits` sends until it closes the connection."""
    connections = Connections()

    def connection() -> Connection:
        return Connection(lambda request: Response(status=request.fault or 200, body=b"{}"), connections, limits)

    listener = await asyncio.get_running_loop().create_server(connection, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*listener.sockets[0].getsockname())
    writer.write(request)
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()
    listener.close()
    return answer


async def test_a_request_that_never_ends_is_refused() -> None:
    limits = HttpLimits(body_bytes=1000, request_seconds=0.05)

    answer = await raw_answer(post()[:-1], limits)

    assert answer.startswith(b"HTTP/1.1 408")
    assert b"connection: close" in answer


async def test_an_idle_connection_is_closed() -> None:
    limits = HttpLimits(body_bytes=1000, idle_seconds=0.1, request_seconds=0.05)

    answer = await raw_answer(post(), limits)

    assert answer.count(b"HTTP/1.1 200") == 1
