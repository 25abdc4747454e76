"""`python -m frugal`: reads the settings, puts the parts together, and runs them in one event loop until a signal.

Only the process that holds the Lease reconciles; the others keep their caches warm. Exit status 0 after a signal, 1
when a part failed or the Lease was lost: then Kubernetes starts the process anew, and nothing in its memory mattered.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
import time
import uuid
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import kopf

from frugal import __version__
from frugal.cluster.capabilities import discover, watchable
from frugal.cluster.client import Api
from frugal.cluster.kinds import OURS, Resource
from frugal.cluster.kubernetes_cluster import KubernetesCluster
from frugal.cluster.lease import LeaderElection, LeaseSettings
from frugal.decisions.snapshot import Capabilities, Manifest
from frugal.errors import ClusterError, FrugalError
from frugal.handlers.health import Health, HealthServer
from frugal.handlers.watches import Watches
from frugal.loop.engine import Engine
from frugal.loop.fleet import Fleet
from frugal.loop.ports import ObjectKey
from frugal.metrics.exposition import Exposition, serve_metrics
from frugal.metrics.instruments import OperatorInstruments
from frugal.metrics.snapshot import OperatorFigures
from frugal.settings import Settings
from frugal.telemetry.client import PrometheusClient
from frugal.telemetry.credentials import Credentials
from frugal.telemetry.kubelet import Kubelets
from frugal.telemetry.prometheus import PrometheusTelemetry
from frugal.telemetry.scrape import PodScraper

OUR_KINDS = frozenset(resource.kind for resource in OURS)
ALL_ADDRESSES = "0.0.0.0"  # noqa: S104 - Prometheus asks from outside the pod
LEASE_NAME = "frugal-operator"
STOP_SECONDS = 20.0  # from the signal to the end; Kubernetes grants 30

_log = logging.getLogger("frugal")


class LeaseLost(FrugalError):
    """Another process may lead now: this one must not write any more."""


class Operator:
    """The operator's parts, wired; `run` works until `stop` is set."""

    def __init__(self, api: Api, settings: Settings, capabilities: Capabilities, watched: tuple[Resource, ...]) -> None:
        self._api, self._settings = api, settings
        fleet = Fleet(lambda: self._engine.see(), asyncio.get_running_loop(), settings.workload_labels)
        self._exposition = Exposition(self._figures, fleet, refresh_seconds=settings.tick_seconds)
        self._cluster = KubernetesCluster(
            api, settings, capabilities, watched, clock, wake=self._wake, wake_all=self._wake_all
        )
        telemetry = prometheus(settings) if settings.prometheus_url else pods(settings)
        instruments = OperatorInstruments(self._exposition.registry)
        self._engine = Engine(self._cluster, telemetry, settings, clock, instruments)
        lease = LeaseSettings(
            namespace=settings.operator_namespace,
            name=LEASE_NAME,
            identity=settings.identity,
            seconds=settings.lease_seconds,
        )
        self._election = LeaderElection(api, lease, clock, time.monotonic)
        self._watches = Watches(self._cluster, api)

    async def run(self, stop: asyncio.Event) -> None:
        """Serve probes and metrics, watch, and lead when it is this process's turn; raises what made it end early."""
        async with self._probes(), self._metrics():
            await self._cluster.resync()
            leading = asyncio.create_task(self._lead(stop), name="leader")
            parts = [
                leading,
                asyncio.create_task(stop.wait(), name="stop"),
                asyncio.create_task(self._watches.resync_forever(), name="resync"),
                asyncio.create_task(self._cluster.prices.run(), name="price book"),
                asyncio.create_task(self._watch(stop), name="kopf"),  # last: at its end it cancels every later task
            ]
            try:
                done, _ = await asyncio.wait(parts, return_when=asyncio.FIRST_COMPLETED)
                for part in done:
                    part.result()
                stop.set()
                await asyncio.wait({leading}, timeout=STOP_SECONDS)
            finally:
                await _cancel(*parts)
                await self._cluster.logs.close()
                await self._cluster.targets.close()

    async def _lead(self, stop: asyncio.Event) -> None:
        """Reconcile while this process holds the Lease; raises LeaseLost as soon as it does not."""
        await _first(self._election.acquire(), stop.wait())
        if stop.is_set():
            return await self._election.release()
        self._engine.notice_all()
        await _first(self._engine.run(stop), self._hold())
        return await self._election.release()

    async def _hold(self) -> None:
        await self._election.hold()
        raise LeaseLost("the Lease is lost; this process ends, so that it writes nothing beside the new leader")

    async def _watch(self, stop: asyncio.Event) -> None:
        """Run kopf until it is cancelled; a watch that cannot go on ends it."""
        ours = asyncio.all_tasks()
        tasks = await kopf.spawn_tasks(
            registry=self._watches.registry(),
            standalone=True,
            clusterwide=not self._settings.namespaces,
            namespaces=self._settings.namespaces,
        )
        _stop_on_signals(stop)  # kopf has just taken them, and would cancel what is in hand
        await kopf.run_tasks(tasks, ignored=ours)
        if not stop.is_set():
            raise ClusterError("kopf ended by itself; its log says why")

    def _wake(self, manifest: Manifest) -> None:
        metadata = manifest["metadata"]
        if manifest["kind"] in OUR_KINDS:
            self._engine.notice(ObjectKey(manifest["kind"], metadata["namespace"], metadata["name"]))
        else:
            self._engine.notice_child(metadata.get("labels") or {}, metadata["namespace"])

    def _wake_all(self) -> None:
        self._engine.notice_all()

    def _figures(self) -> OperatorFigures:
        return self._engine.figures(is_leader=self._election.is_leader)

    @asynccontextmanager
    async def _probes(self) -> AsyncIterator[None]:
        health = Health(
            longest_in_hand_seconds=self._engine.longest_in_hand_seconds,
            silent_seconds=lambda: self._api.silent_seconds,
            is_synced=lambda: self._cluster.is_synced,
            is_leader=lambda: self._election.is_leader,
        )
        server = HealthServer(health, port=self._settings.health_port)
        await server.start()
        try:
            yield
        finally:
            await server.stop()

    @asynccontextmanager
    async def _metrics(self) -> AsyncIterator[None]:
        server = serve_metrics(self._exposition, address=ALL_ADDRESSES, port=self._settings.metrics_port)
        try:
            yield
        finally:
            await asyncio.to_thread(server.stop)


def prometheus(settings: Settings) -> PrometheusTelemetry:
    """Return the telemetry that asks the Prometheus of the settings."""
    credentials = Credentials(
        folder=settings.prometheus_credentials, token=settings.prometheus_token, tenant=settings.prometheus_tenant
    )
    client = PrometheusClient(settings.prometheus_url, credentials, query_seconds=settings.prometheus_query_seconds)
    return PrometheusTelemetry(client)


def pods(settings: Settings) -> PodScraper:
    """Return the telemetry that asks the pods themselves, and their kubelets where the settings allow it."""
    folder = settings.kubelet_credentials
    return PodScraper(clock, kubelets=Kubelets(Credentials(folder=folder)) if folder else None)


def clock() -> datetime:
    """Return the time of day; the only place of the operator that reads it."""
    return datetime.now(UTC)  # noqa: TID251 - the clock that all others are passed


async def operate(settings: Settings, kubeconfig: str) -> None:
    """Run the operator until SIGTERM or SIGINT; raises FrugalError when it cannot go on."""
    stop = asyncio.Event()
    _stop_on_signals(stop)
    api = await Api.connect(kubeconfig)
    try:
        capabilities = await discover(api)
        _log.info("frugal %s as %s; the server has %s", __version__, settings.identity, capabilities)
        await Operator(api, settings, capabilities, await watchable(api, capabilities)).run(stop)
    finally:
        await api.close()


def main() -> int:
    """Run the operator and return the exit status of the process."""
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    logging.getLogger("kopf").setLevel(logging.WARNING)
    try:
        settings = Settings.from_environment(os.environ)
        # A pod's name is its own, but two processes of one developer must not take each other for themselves.
        unique = replace(settings, identity=f"{settings.identity}_{uuid.uuid4().hex[:8]}")
        asyncio.run(operate(unique, os.environ.get("KUBECONFIG", "")))
    except (FrugalError, OSError) as error:
        _log.error("%s", error)
        return 1
    return 0


def _stop_on_signals(stop: asyncio.Event) -> None:
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)


async def _first(*works: Coroutine[Any, Any, object]) -> None:
    """Return when the first of them ends, or raise what ended it; the others are cancelled by then."""
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        await _cancel(*tasks)
    for task in done:
        task.result()


async def _cancel(*tasks: asyncio.Task[Any]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    sys.exit(main())
