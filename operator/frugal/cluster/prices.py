"""The price book's ConfigMap, watched by its name alone: the right to read it needs no right to read any other."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable

from frugal.cluster.client import Api
from frugal.cluster.kinds import CONFIG_MAPS
from frugal.decisions.snapshot import Manifest
from frugal.errors import ClusterError

PRICES_KEY = "prices.yaml"
RETRY_SECONDS = 5.0
WATCH_SECONDS = 300  # after which the server ends the watch and a fresh look begins

_log = logging.getLogger(__name__)


class PriceBookWatch:
    """The newest text of the price book."""

    def __init__(self, api: Api, *, namespace: str, name: str, wake: Callable[[], None]) -> None:
        self._api, self._wake = api, wake
        self._namespace, self._name = namespace, name
        self.text: str | None = None

    async def run(self) -> None:
        """Follow the ConfigMap for ever; `wake` is called whenever its text changed."""
        while True:
            try:
                await self._watch(await self.read())
            except ClusterError as error:
                _log.warning("the price book cannot be watched: %s; again in %.0f s", error, RETRY_SECONDS)
                await asyncio.sleep(RETRY_SECONDS)

    async def read(self) -> str:
        """Look at the ConfigMap once, and return the resource version from which to watch; raises ClusterError."""
        query = {"fieldSelector": f"metadata.name={self._name}"}
        listed = await self._api.get(CONFIG_MAPS.collection(self._namespace), **query)
        self._take(listed["items"][0] if listed["items"] else None)
        return str(listed["metadata"]["resourceVersion"])

    async def _watch(self, version: str) -> None:
        query = {
            "watch": "true",
            "fieldSelector": f"metadata.name={self._name}",
            "resourceVersion": version,
            "timeoutSeconds": str(WATCH_SECONDS),
        }
        async with self._api.stream(CONFIG_MAPS.collection(self._namespace), **query) as content:
            async for line in content:
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                self._take(None if event["type"] == "DELETED" else event["object"])

    def _take(self, manifest: Manifest | None) -> None:
        text = (manifest.get("data") or {}).get(PRICES_KEY) if manifest is not None else None
        if text != self.text:
            self.text = text
            self._wake()
