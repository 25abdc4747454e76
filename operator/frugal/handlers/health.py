"""Liveness and readiness over HTTP, that tell the truth. What they tell is asked of the parts themselves.

/healthz fails when a reconcile hangs; when the event loop itself hangs, nothing answers, which fails the probe too.
/readyz fails until everything was listed once, and while the API server does not answer. A follower is ready too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aiohttp import web

STUCK_SECONDS = 120.0  # twice the deadline of a reconcile: whatever takes so long will never end
SILENT_SECONDS = 30.0  # the Lease is read every few seconds, so a longer silence is an outage


@dataclass(frozen=True, slots=True, kw_only=True)
class Health:
    """What the probes ask for, each at the moment of the probe."""

    longest_in_hand_seconds: Callable[[], float]
    silent_seconds: Callable[[], float]
    is_synced: Callable[[], bool]
    is_leader: Callable[[], bool]

    def live(self) -> str:
        """Return what is wrong with this process, or nothing."""
        stuck = self.longest_in_hand_seconds()
        return f"a reconcile has not ended for {stuck:.0f} s" if stuck > STUCK_SECONDS else ""

    def ready(self) -> str:
        """Return why this process can do nothing at the moment, or nothing."""
        if not self.is_synced():
            return "the objects of the cluster are not listed yet"
        silent = self.silent_seconds()
        return f"the API server has not answered for {silent:.0f} s" if silent > SILENT_SECONDS else ""


class HealthServer:
    """Serves /healthz and /readyz on all interfaces, because the kubelet asks from outside the pod."""

    def __init__(self, health: Health, *, port: int) -> None:
        self._health, self._port = health, port
        application = web.Application()
        application.router.add_get("/healthz", self._healthz)
        application.router.add_get("/readyz", self._readyz)
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, port=self._port).start()

    async def stop(self) -> None:
        await self._runner.cleanup()

    async def _healthz(self, _: web.Request) -> web.Response:
        return self._answer(self._health.live())

    async def _readyz(self, _: web.Request) -> web.Response:
        return self._answer(self._health.ready())

    def _answer(self, problem: str) -> web.Response:
        body: Mapping[str, object] = {"ok": not problem, "problem": problem, "leader": self._health.is_leader()}
        return web.json_response(body, status=503 if problem else 200)
