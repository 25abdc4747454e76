"""Prometheus servers that fail: slow, partial, refusing, cut off; and how the operator shows who it is."""

from __future__ import annotations

import asyncio
import base64
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from frugal.errors import TelemetryError
from frugal.telemetry import client as client_module
from frugal.telemetry.answer import PIECE_BYTES, AnswerReader, Series
from frugal.telemetry.client import PrometheusClient
from frugal.telemetry.credentials import Credentials
from tests.cluster.certificates import make_authority

Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def prometheus_like(answer: Answer, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """Serve the query API, and give its root."""
    application = web.Application()
    application.router.add_post("/api/v1/query", answer)
    runner = web.AppRunner(application, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        host, port = runner.addresses[0][:2]
        yield f"{'https' if tls else 'http'}://{host}:{port}"
    finally:
        await runner.cleanup()


async def asked(url: str, credentials: Credentials | None = None, *, query_seconds: float = 5.0) -> list[Series]:
    """Return the series that one query brings."""
    found: list[Series] = []
    client = PrometheusClient(url, credentials or Credentials(), query_seconds=query_seconds)
    async with client.session() as session:
        await session.instant("up", found.extend)
    return found


def vector(*values: float, **more: Any) -> dict[str, Any]:
    result = [{"metric": {"pod": f"p{number}"}, "value": [0, str(value)]} for number, value in enumerate(values)]
    return {"status": "success", "data": {"resultType": "vector", "result": result}, **more}


def answering(body: object, status: int = 200) -> Answer:
    async def answer(_: web.Request) -> web.Response:
        return web.json_response(body, status=status)

    return answer


# The bodies are those of the servers named; Thanos and Mimir warn, VictoriaMetrics has a flag.
@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        ({"status": "error", "errorType": "timeout", "error": "query timed out"}, 503, "HTTP 503: query timed out"),
        ({"status": "error", "errorType": "bad_data", "error": "parse error"}, 400, "parse error"),
        (vector(1, warnings=["No StoreAPIs matched for this query"]), 200, "partly: No StoreAPIs matched"),
        ({**vector(1), "isPartial": True}, 200, "partly: isPartial"),
        ({"status": "success", "data": {}}, 200, "without a result"),
        ("unauthorized", 401, "HTTP 401: unauthorized"),
        ([], 200, "refused"),
    ],
    ids=["timeout", "refused", "thanos", "victoriametrics", "no result", "unauthorized", "something else"],
)
async def test_an_answer_that_is_not_whole_and_good_is_an_error(body: object, status: int, said: str) -> None:
    async with prometheus_like(answering(body, status)) as url:
        with pytest.raises(TelemetryError, match=said):
            await asked(url)


async def test_a_remark_about_the_query_is_no_fault() -> None:
    remark = "PromQL info: metric might not be a counter"

    async with prometheus_like(answering(vector(1, warnings=[remark]))) as url:
        assert len(await asked(url)) == 1


async def test_a_server_that_does_not_answer_in_time_is_an_error() -> None:
    async def slow(_: web.Request) -> web.Response:
        await asyncio.sleep(30)
        return web.Response()

    async with prometheus_like(slow) as url:
        with pytest.raises(TelemetryError, match=r"did not answer within 0\.2 s"):
            await asked(url, query_seconds=0.2)


async def test_a_server_that_hangs_in_the_middle_of_its_answer_is_an_error() -> None:
    async def half(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b'{"status":"success","data":{"result":[')
        await asyncio.sleep(30)
        return response

    async with prometheus_like(half) as url:
        with pytest.raises(TelemetryError, match="did not answer within"):
            await asked(url, query_seconds=0.2)


async def test_an_answer_that_breaks_off_is_an_error() -> None:
    async def cut(_: web.Request) -> web.Response:
        return web.Response(body=json.dumps(vector(1, 2)).encode()[:-20])

    async with prometheus_like(cut) as url:
        with pytest.raises(TelemetryError, match="cut off"):
            await asked(url)


async def test_an_answer_without_end_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "LARGEST_ANSWER_BYTES", 1000)

    async with prometheus_like(answering(vector(*range(1000)))) as url:
        with pytest.raises(TelemetryError, match="more than 1000 bytes"):
            await asked(url)


async def test_a_redirect_is_not_followed_with_the_token() -> None:
    async def elsewhere(_: web.Request) -> web.Response:
        return web.Response(status=302, headers={"Location": "http://127.0.0.1:1/"}, text="moved")

    async with prometheus_like(elsewhere) as url:
        with pytest.raises(TelemetryError, match="HTTP 302"):
            await asked(url, Credentials(token="secret"))


def read_in_pieces(body: bytes, size: int) -> list[Series]:
    reader, found = AnswerReader(), list[Series]()
    for start in range(0, len(body), size):
        found += reader.feed(body[start : start + size])
    rest, _ = reader.close()
    return [*found, *rest]


@pytest.mark.parametrize("size", [1_000, 65_536, 10_000_000])
@pytest.mark.parametrize("blank", ["", " "])
def test_an_answer_in_pieces_is_the_whole_answer(size: int, blank: str) -> None:
    labels = [{"pod": f"p{number}", "odd": 'a]},{"metric":{"b'} for number in range(8000)]
    result = [{"metric": one, "value": [0, "1"]} for one in labels]
    body = json.dumps({"status": "success", "data": {"resultType": "vector", "result": result}, "warnings": []})
    separators = (",", ":") if not blank else (", ", ": ")
    written = json.dumps(json.loads(body), separators=separators).encode()

    found = read_in_pieces(written, size)

    assert len(written) > 2 * PIECE_BYTES
    assert found == result


async def heard(folder: Path, **credentials: str) -> dict[str, str]:
    """Return the headers with which the operator asks."""
    headers: dict[str, str] = {}

    async def answer(request: web.Request) -> web.Response:
        headers.update(request.headers)
        return web.json_response(vector(1))

    async with prometheus_like(answer) as url:
        await asked(url, Credentials(folder=str(folder), **credentials))
    return headers


async def test_a_token_is_read_anew_for_each_tick(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("first\n")
    before = await heard(tmp_path)
    (tmp_path / "token").write_text("second\n")
    after = await heard(tmp_path)

    assert (before["Authorization"], after["Authorization"]) == ("Bearer first", "Bearer second")


async def test_a_user_has_a_name_and_a_password(tmp_path: Path) -> None:
    (tmp_path / "username").write_text("frugal")
    (tmp_path / "password").write_text("p:w")

    headers = await heard(tmp_path)

    assert base64.b64decode(headers["Authorization"].removeprefix("Basic ")) == b"frugal:p:w"


async def test_a_tenant_has_its_header(tmp_path: Path) -> None:
    headers = await heard(tmp_path, tenant="ml")

    assert headers["X-Scope-OrgID"] == "ml"
    assert "Authorization" not in headers


async def test_a_token_and_a_name_contradict_each_other(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    (tmp_path / "username").write_text("u")

    with pytest.raises(TelemetryError, match="both token and username"):
        await asked("http://127.0.0.1:1", Credentials(folder=str(tmp_path)))


def strict_server(pki: Path) -> ssl.SSLContext:
    """Return a server that answers only those whom the authority knows."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=pki / "ca.crt")
    context.load_cert_chain(pki / "server.crt", pki / "server.key")
    context.verify_mode = ssl.CERT_REQUIRED
    return context


async def test_both_sides_show_their_certificates(pki: Path) -> None:
    async with prometheus_like(answering(vector(1)), strict_server(pki)) as url:
        assert len(await asked(url, Credentials(folder=str(pki)))) == 1


async def test_without_its_certificate_the_operator_is_not_answered(pki: Path) -> None:
    (pki / "tls.crt").unlink()
    (pki / "tls.key").unlink()

    async with prometheus_like(answering(vector(1)), strict_server(pki)) as url:
        with pytest.raises(TelemetryError, match="cannot be asked"):
            await asked(url, Credentials(folder=str(pki)))


async def test_a_server_of_an_unknown_authority_is_not_asked(pki: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    make_authority(other)

    async with prometheus_like(answering(vector(1)), strict_server(pki)) as url:
        with pytest.raises(TelemetryError, match="CERTIFICATE_VERIFY_FAILED"):
            await asked(url, Credentials(folder=str(other)))


def test_a_certificate_without_its_key_is_a_fault_that_says_so(pki: Path) -> None:
    (pki / "tls.key").unlink()

    with pytest.raises(TelemetryError, match=r"both tls\.crt and tls\.key"):
        Credentials(folder=str(pki)).tls()
