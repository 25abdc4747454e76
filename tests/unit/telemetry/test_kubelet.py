"""What pods use by their kubelets, over real TLS on loopback."""

from __future__ import annotations

import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from frugal.errors import TelemetryError
from frugal.telemetry.credentials import Credentials
from frugal.telemetry.kubelet import Kubelets, parse_summary
from frugal.telemetry.scrape import PodScraper
from tests.unit.telemetry.factories import KEY, at, pod, workload

# A kubelet's answer, shortened to what is read and one thing more; a pod that was started a moment ago has no CPU yet.
SUMMARY = """{"node": {"nodeName": "n1"}, "pods": [
  {"podRef": {"name": "a", "namespace": "team", "uid": "a"}, "containers": [
    {"name": "serve", "cpu": {"time": "2026-11-24T12:00:02Z", "usageNanoCores": 1, "usageCoreNanoSeconds": 7500000000},
     "memory": {"time": "2026-11-24T12:00:02Z", "workingSetBytes": 1000, "usageBytes": 5000}},
    {"name": "sidecar", "cpu": {"time": "2026-11-24T12:00:04Z", "usageCoreNanoSeconds": 500000000},
     "memory": {"workingSetBytes": 24}}]},
  {"podRef": {"name": "new", "namespace": "team", "uid": "new"}, "containers": [{"name": "serve", "cpu": {}}]}
]}"""


def test_a_pods_containers_are_added_up_and_one_without_figures_is_left_out() -> None:
    found = parse_summary(SUMMARY.encode())

    assert set(found) == {"a"}
    assert (found["a"].cpu_seconds, found["a"].memory_bytes) == (8.0, 1024)
    assert found["a"].at == datetime(2026, 11, 24, 12, 0, 4, tzinfo=UTC)


@pytest.mark.parametrize("body", [b"<html>", b"[]", b'{"pods": [{}]}', b'{"pods": 1}'])
def test_something_else_is_an_error_that_says_so(body: bytes) -> None:
    with pytest.raises(TelemetryError, match="no summary of a kubelet's"):
        parse_summary(body)


@asynccontextmanager
async def kubelet(pki: Path, *summaries: str) -> AsyncIterator[int]:
    """Serve one summary after the other to whoever has the token, and give the port."""
    following = iter(summaries)

    async def answer(request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != "Bearer secret":
            return web.Response(status=401, text="Unauthorized")
        return web.Response(text=next(following))

    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(pki / "server.crt", pki / "server.key")
    application = web.Application()
    application.router.add_get("/stats/summary", answer)
    runner = web.AppRunner(application)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls).start()
    try:
        yield int(runner.addresses[0][1])
    finally:
        await runner.cleanup()


def account(folder: Path, pki: Path, token: str = "secret") -> Credentials:
    """Return the credentials of a service account."""
    folder.mkdir()
    (folder / "ca.crt").write_bytes((pki / "ca.crt").read_bytes())
    (folder / "token").write_text(token)
    return Credentials(folder=str(folder))


async def test_a_pod_with_no_metrics_of_its_own_is_measured_by_its_kubelet(tmp_path: Path, pki: Path) -> None:
    mute: dict[str, Any] = pod("a", hostIP="127.0.0.1")
    del mute["spec"]["containers"][0]["ports"]
    later = SUMMARY.replace("12:00:0", "12:00:1").replace("7500000000", "12500000000")
    credentials = account(tmp_path / "account", pki)

    async with kubelet(pki, SUMMARY, later) as port:
        scraper = PodScraper(lambda: at(0), kubelets=Kubelets(credentials, port=port))
        await scraper.read((workload(mute),), now=at(5))
        reading = await scraper.read((workload(mute),), now=at(15))

    (usage,) = reading.observations[KEY].usage
    assert (usage.cpu_cores, usage.memory_bytes) == (0.5, 1024)  # 5 s of CPU in 10 s
    assert reading.observations[KEY].load is None


async def test_a_kubelet_that_refuses_is_a_fault_that_says_so(tmp_path: Path, pki: Path) -> None:
    async with kubelet(pki) as port:
        found, faults = await Kubelets(account(tmp_path / "account", pki, "wrong"), port=port).figures(["127.0.0.1"])

    assert found == {}
    assert "HTTP 401: Unauthorized" in faults[0]


async def test_a_kubelet_whose_certificate_nobody_signed_gets_no_token(tmp_path: Path, pki: Path) -> None:
    credentials = account(tmp_path / "account", pki)
    (tmp_path / "account/ca.crt").unlink()

    async with kubelet(pki) as port:
        found, faults = await Kubelets(credentials, port=port).figures(["127.0.0.1"])

    assert found == {}
    assert "CERTIFICATE_VERIFY_FAILED" in faults[0]
