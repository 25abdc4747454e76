"""One kopf event handler for every watched resource: the newest version goes into the cache, its owner into the queue.

kopf writes nothing here: no annotation, no finalizer, no event. What it misses while disconnected, a resync finds.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import kopf

from frugal.cluster.client import Api
from frugal.cluster.kinds import Resource
from frugal.cluster.kubernetes_cluster import KubernetesCluster
from frugal.errors import ClusterError

WATCH_SECONDS = 300  # after which the server ends a watch and kopf resumes it where it was
SILENCE_SECONDS = 360.0  # a watch that is dead without an end; bookmarks come every minute, an end after WATCH_SECONDS
CALL_SECONDS = 20.0
RESYNC_PAUSE_SECONDS = 2.0  # listings of several resources after an outage become one resync
RESYNC_SECONDS = 600.0  # even when no watch was seen to break

_log = logging.getLogger(__name__)


class Watches:
    """kopf's part of the operator, made for one cluster."""

    def __init__(self, cluster: KubernetesCluster, api: Api) -> None:
        self._cluster, self._api = cluster, api
        self._listed_again = asyncio.Event()

    def registry(self) -> kopf.OperatorRegistry:
        """Return kopf's handlers: one for the events of each watched resource, one to log in, one to configure."""
        registry = kopf.OperatorRegistry()
        kopf.on.login(registry=registry)(self._login)
        kopf.on.startup(registry=registry)(self._configure)
        for resource in self._cluster.watched:
            kopf.on.event(_matches(resource), registry=registry, id=resource.plural)(self._notice)
        return registry

    async def resync_forever(self) -> None:
        """List everything anew after a watch had to begin again, because deletions may have been missed meanwhile."""
        while True:
            try:
                await asyncio.wait_for(self._listed_again.wait(), RESYNC_SECONDS)
                await asyncio.sleep(RESYNC_PAUSE_SECONDS)
            except TimeoutError:
                pass
            self._listed_again.clear()
            try:
                await self._cluster.resync()
            except ClusterError as error:
                _log.warning("objects could not be listed anew: %s", error)
                self._listed_again.set()

    async def _notice(self, event: kopf.RawEvent, **_: Any) -> None:
        """An object appeared, changed or went."""
        if event["type"] is None:
            self._listed_again.set()
        manifest: Any = event["object"]
        self._cluster.take(dict(manifest), is_deleted=event["type"] == "DELETED")

    async def _login(self, **_: Any) -> kopf.ConnectionInfo:
        """Log kopf in as the client is: one place knows how to reach the cluster."""
        known = await self._api.connection()
        return kopf.ConnectionInfo(
            server=known.server,
            ca_path=known.ca_path,
            insecure=known.is_insecure,
            certificate_path=known.certificate_path,
            private_key_path=known.private_key_path,
            scheme="Bearer" if known.token else None,
            token=known.token,
        )

    async def _configure(self, settings: kopf.OperatorSettings, **_: Any) -> None:
        settings.posting.enabled = False
        settings.scanning.disabled = True  # our kinds are there before we start
        settings.queueing.idle_timeout = 0.5  # a worker per object is kept so long; no limit: docs/decisions
        settings.watching.server_timeout = WATCH_SECONDS
        settings.watching.inactivity_timeout = SILENCE_SECONDS
        settings.watching.connect_timeout = CALL_SECONDS
        settings.watching.chunk_size = 500
        settings.networking.request_timeout = CALL_SECONDS
        for resource in self._cluster.watched:
            if resource.selector:
                settings.watching.label_selectors[_matches(resource)] = resource.selector


def _matches(resource: Resource) -> Callable[[kopf.Resource], bool]:
    """Return kopf's way to say exactly this resource, whatever else has a similar name."""
    group, _, version = resource.api_version.rpartition("/")

    def is_it(other: kopf.Resource) -> bool:
        return (other.group, other.version, other.plural) == (group, version, resource.plural)

    return is_it
