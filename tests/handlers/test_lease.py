"""Leader election on a real API server, with two candidates in one process."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import pytest

from frugal.cluster.client import Api
from frugal.cluster.lease import LeaderElection, LeaseSettings
from tests.cluster.cluster import ControlPlane

SECONDS = 3.0
NOWHERE = "https://127.0.0.1:1"


@asynccontextmanager
async def connected(cluster: ControlPlane) -> AsyncIterator[Api]:
    api = await Api.connect(str(cluster.kubeconfig))
    try:
        yield api
    finally:
        await api.close()


def candidate(api: Api, lease: str, identity: str, *, ahead: timedelta = timedelta(0)) -> LeaderElection:
    """Return a candidate whose time of day is `ahead` of the others'."""
    settings = LeaseSettings(namespace="default", name=lease, identity=identity, seconds=SECONDS)
    return LeaderElection(api, settings, lambda: datetime.now(UTC) + ahead, time.monotonic)


@pytest.fixture
def lease() -> str:
    return f"lease-{secrets.token_hex(4)}"


async def test_only_one_of_two_leads(control_plane: ControlPlane, lease: str) -> None:
    async with connected(control_plane) as api:
        first, second = candidate(api, lease, "first"), candidate(api, lease, "second")
        await first.acquire()
        holding = asyncio.create_task(first.hold())

        with pytest.raises(TimeoutError):
            await asyncio.wait_for(second.acquire(), 2 * SECONDS)

        assert first.is_leader
        assert not second.is_leader
        assert not holding.done()
        holding.cancel()


async def test_a_lease_that_is_given_back_is_free_at_once(control_plane: ControlPlane, lease: str) -> None:
    async with connected(control_plane) as api:
        first, second = candidate(api, lease, "first"), candidate(api, lease, "second")
        await first.acquire()
        await first.release()

        await asyncio.wait_for(second.acquire(), SECONDS)

        assert second.is_leader
        assert not first.is_leader


@pytest.mark.parametrize("hours", [-24, 24], ids=["late clock", "early clock"])
async def test_a_dead_leader_is_followed_after_its_time_whatever_its_clock_said(
    control_plane: ControlPlane, lease: str, hours: int
) -> None:
    async with connected(control_plane) as api:
        dead = candidate(api, lease, "dead", ahead=timedelta(hours=hours))
        await dead.acquire()
        second = candidate(api, lease, "second")

        started = time.monotonic()
        await asyncio.wait_for(second.acquire(), 5 * SECONDS)

        assert time.monotonic() - started >= SECONDS  # a wrong clock must not make it leave earlier


async def test_a_leader_whose_lease_is_taken_learns_it(control_plane: ControlPlane, lease: str) -> None:
    async with connected(control_plane) as api:
        first = candidate(api, lease, "first")
        await first.acquire()
        holding = asyncio.create_task(first.hold())
        usurper = '{"spec": {"holderIdentity": "usurper"}}'
        control_plane.kubectl("patch", "lease", lease, "--type=merge", "-p", usurper)

        await asyncio.wait_for(holding, 2 * SECONDS)

        assert not first.is_leader


async def test_a_leader_that_cannot_renew_gives_up_before_another_may_lead(
    control_plane: ControlPlane, lease: str
) -> None:
    async with connected(control_plane) as api:
        first = candidate(api, lease, "first")
        await first.acquire()
        renewed = time.monotonic()
        api._client.configuration.host = NOWHERE

        await asyncio.wait_for(first.hold(), 2 * SECONDS)

        assert not first.is_leader
        assert time.monotonic() - renewed < SECONDS
