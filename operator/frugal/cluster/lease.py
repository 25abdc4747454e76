"""Leader election by a Lease, as client-go does it: one process leads, and one that loses the Lease stops at once.

Clocks of two machines are never compared: a Lease has run out when this process has not seen it change for its whole
length on its own monotonic clock.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC

from frugal.cluster.client import Api
from frugal.cluster.kinds import LEASES
from frugal.decisions.snapshot import Manifest
from frugal.errors import ClusterError, Conflict, NotFound
from frugal.loop.ports import Clock

RENEW_RATIO = 2 / 3  # of the length: when a leader that could not renew gives up; client-go's 10 of 15 s
RETRY_RATIO = 2 / 15  # of the length: between two tries; client-go's 2 of 15 s
JITTER = 1.2  # as client-go: tries of several processes drift apart

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class LeaseSettings:
    """Which Lease, and how long it holds without renewal."""

    namespace: str
    name: str
    identity: str
    seconds: float


class LeaderElection:
    """One candidate. `acquire` returns when it leads; `hold` returns when it leads no more."""

    def __init__(self, api: Api, settings: LeaseSettings, clock: Clock, monotonic: Callable[[], float]) -> None:
        self._api, self._settings = api, settings
        self._clock, self._monotonic = clock, monotonic
        self._observed: tuple[str, str, int] | None = None  # holder, renew time, transitions
        self._observed_at = 0.0
        self._jitter = random.Random(settings.identity)  # noqa: S311 - spreads tries, guards nothing
        self.holder = ""  # as last seen

    @property
    def is_leader(self) -> bool:
        """Whether this process holds the Lease as far as it knows."""
        return self.holder == self._settings.identity

    async def acquire(self) -> None:
        """Return when this process leads."""
        while not await self._try():  # noqa: ASYNC110 - the Lease is the API server's: there is no event to wait on
            await asyncio.sleep(self._settings.seconds * RETRY_RATIO * self._jitter.uniform(1.0, JITTER))
        _log.info("leading as %s", self._settings.identity)

    async def hold(self) -> None:
        """Renew the Lease; return when it is lost: taken by another, or not renewed for RENEW_RATIO of its length."""
        deadline = self._monotonic() + self._settings.seconds * RENEW_RATIO
        while True:
            await asyncio.sleep(self._settings.seconds * RETRY_RATIO)
            began = self._monotonic()
            if await self._try_within(deadline - began):
                deadline = began + self._settings.seconds * RENEW_RATIO  # others count from no earlier than `began`
            elif not self.is_leader:
                _log.error("the Lease was taken by %s", self.holder or "nobody")
                return
            elif self._monotonic() >= deadline:
                _log.error("the Lease was not renewed for %.1f s", self._settings.seconds * RENEW_RATIO)
                self.holder = ""
                return

    async def release(self) -> None:
        """Give the Lease back, so that the next process need not wait; harmless when it is not held."""
        if not self.is_leader:
            return
        try:
            lease = await self._api.get(self._path)
            if _holder(lease) == self._settings.identity:
                lease["spec"] |= {"holderIdentity": "", "leaseDurationSeconds": 1, "renewTime": self._now()}
                await self._api.replace(self._path, lease)
        except ClusterError as error:
            _log.warning("the Lease was not released, it runs out by itself: %s", error)
        self.holder = ""

    async def _try_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                return await self._try()
        except TimeoutError:
            return False

    async def _try(self) -> bool:
        """Take or renew the Lease if it is ours to take; return whether we hold it now."""
        try:
            lease = await self._api.get(self._path)
        except NotFound:
            return await self._create()
        except ClusterError as error:
            _log.warning("the Lease cannot be read: %s", error)
            return False
        self._observe(lease)
        if self.holder and not self.is_leader and not self._has_run_out(lease):
            return False
        return await self._write(lease)

    def _observe(self, lease: Manifest) -> None:
        spec = lease.get("spec") or {}
        seen = (_holder(lease), str(spec.get("renewTime")), int(spec.get("leaseTransitions") or 0))
        if seen != self._observed:
            self._observed, self._observed_at = seen, self._monotonic()
        self.holder = seen[0]

    def _has_run_out(self, lease: Manifest) -> bool:
        length = float((lease.get("spec") or {}).get("leaseDurationSeconds") or self._settings.seconds)
        return self._monotonic() >= self._observed_at + length

    async def _write(self, lease: Manifest) -> bool:
        before = lease.get("spec") or {}
        is_ours = _holder(lease) == self._settings.identity
        transitions = int(before.get("leaseTransitions") or 0) + (0 if is_ours else 1)
        acquired = before.get("acquireTime") if is_ours else None
        spec = self._spec(transitions, acquired=acquired)
        return await self._kept(self._api.replace(self._path, {**lease, "spec": spec}))

    async def _create(self) -> bool:
        metadata = {"namespace": self._settings.namespace, "name": self._settings.name}
        body = {"apiVersion": LEASES.api_version, "kind": LEASES.kind, "metadata": metadata, "spec": self._spec(0)}
        return await self._kept(self._api.create(LEASES.collection(self._settings.namespace), body))

    async def _kept(self, writing: Awaitable[Manifest]) -> bool:
        """Return whether a write of the Lease went through; another candidate was faster, or there is an outage."""
        try:
            self._observe(await writing)
        except ClusterError as error:
            _log.log(logging.DEBUG if isinstance(error, Conflict) else logging.WARNING, "Lease not written: %s", error)
            return False
        return self.is_leader

    def _spec(self, transitions: int, *, acquired: str | None = None) -> Manifest:
        now = self._now()
        return {
            "holderIdentity": self._settings.identity,
            "leaseDurationSeconds": max(1, round(self._settings.seconds)),
            "acquireTime": acquired or now,
            "renewTime": now,
            "leaseTransitions": transitions,
        }

    def _now(self) -> str:
        return self._clock().astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")  # a MicroTime

    @property
    def _path(self) -> str:
        return LEASES.path(self._settings.namespace, self._settings.name)


def _holder(lease: Manifest) -> str:
    return str((lease.get("spec") or {}).get("holderIdentity") or "")
