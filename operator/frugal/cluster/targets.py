"""Deployments that something else made, with their pods: each is watched by its name alone, from the first look.

They carry no label of ours, so that adopting a workload changes nothing of it.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Collection
from dataclasses import dataclass, field

import aiohttp

from frugal.cluster.client import Api
from frugal.cluster.kinds import DEPLOYMENTS, PODS, Resource
from frugal.decisions.snapshot import Children, Manifest
from frugal.errors import ClusterError
from frugal.resources.adopted import selector_text

RETRY_SECONDS = 5.0
WATCH_SECONDS = 300  # after which the server ends the watch and a fresh look begins

_Name = tuple[str, str]  # namespace, name
Wake = Callable[[str, str], None]

_log = logging.getLogger(__name__)


@dataclass(slots=True)
class _Target:
    """What is known of one Deployment; `pods` by name."""

    deployment: Manifest | None = None
    pods: dict[str, Manifest] = field(default_factory=dict)
    tasks: list[asyncio.Task[None]] = field(default_factory=list)
    selector: str = ""


class Targets:
    """The adopted workloads. `wake` is called with a Deployment's namespace and name when it or its pods changed."""

    def __init__(self, api: Api, *, wake: Wake) -> None:
        self._api, self._wake = api, wake
        self._targets: dict[_Name, _Target] = {}

    def look(self, namespace: str, name: str) -> Children:
        """Return what is known now; the first look finds nothing yet and begins to watch."""
        key = (namespace, name)
        if key not in self._targets:
            self._targets[key] = target = _Target()
            target.tasks.append(asyncio.create_task(self._follow_deployment(key), name=f"target {namespace}/{name}"))
        found = self._targets[key]
        if found.deployment is None:
            return Children()
        pods = tuple(found.pods[pod] for pod in sorted(found.pods))
        return Children(deployments=(found.deployment,), pods=pods)

    def forget_all_but(self, adopted: Collection[_Name]) -> None:
        """End the watches of workloads that nobody adopts any more."""
        for key in self._targets.keys() - set(adopted):
            for task in self._targets.pop(key).tasks:
                task.cancel()

    async def close(self) -> None:
        """End every watch."""
        tasks = [task for target in self._targets.values() for task in target.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow_deployment(self, key: _Name) -> None:
        query = {"fieldSelector": f"metadata.name={key[1]}"}
        await self._follow(DEPLOYMENTS, key, query, self._take_deployment)

    async def _follow(
        self, resource: Resource, key: _Name, query: dict[str, str], take: Callable[[_Name, Manifest, bool], None]
    ) -> None:
        """List and watch for ever; what went while nobody watched is told as gone."""
        known: dict[str, Manifest] = {}
        path = resource.collection(key[0])
        while True:
            try:
                listed = await self._api.get(path, **query)
                now = {one["metadata"]["name"]: _typed(resource, one) for one in listed["items"]}
                for gone in known.keys() - now.keys():
                    take(key, known[gone], True)
                for manifest in now.values():
                    take(key, manifest, False)
                known = now
                since = {"resourceVersion": listed["metadata"]["resourceVersion"]}
                await self._watch(resource, key, query | since, known, take)
            except ClusterError as error:
                _log.warning("Deployment %s/%s cannot be watched: %s; again in %.0f s", *key, error, RETRY_SECONDS)
                await asyncio.sleep(RETRY_SECONDS)

    async def _watch(
        self,
        resource: Resource,
        key: _Name,
        query: dict[str, str],
        known: dict[str, Manifest],
        take: Callable[[_Name, Manifest, bool], None],
    ) -> None:
        more = {"watch": "true", "timeoutSeconds": str(WATCH_SECONDS)}
        async with self._api.stream(resource.collection(key[0]), **query, **more) as content:
            async for line in _lines(content):
                event = json.loads(line)
                if event["type"] == "ERROR":
                    return
                manifest = event["object"]
                is_gone = event["type"] == "DELETED"
                if is_gone:
                    known.pop(manifest["metadata"]["name"], None)
                else:
                    known[manifest["metadata"]["name"]] = manifest
                take(key, manifest, is_gone)

    def _take_deployment(self, key: _Name, manifest: Manifest, is_gone: bool) -> None:
        target = self._targets.get(key)
        if target is None:
            return
        target.deployment = None if is_gone else manifest
        selector = "" if is_gone else selector_text(manifest)
        if selector != target.selector:
            self._follow_pods(key, target, selector)
        self._wake(*key)

    def _follow_pods(self, key: _Name, target: _Target, selector: str) -> None:
        """Watch the pods of another selector in the place of the old one."""
        for task in target.tasks[1:]:
            task.cancel()
        target.pods, target.selector = {}, selector
        del target.tasks[1:]
        if selector:
            watch = self._follow(PODS, key, {"labelSelector": selector}, self._take_pod)
            target.tasks.append(asyncio.create_task(watch, name=f"pods of {key[0]}/{key[1]}"))

    def _take_pod(self, key: _Name, manifest: Manifest, is_gone: bool) -> None:
        target = self._targets.get(key)
        if target is None:
            return
        if is_gone:
            target.pods.pop(manifest["metadata"]["name"], None)
        else:
            target.pods[manifest["metadata"]["name"]] = manifest
        self._wake(*key)


async def _lines(content: aiohttp.StreamReader) -> AsyncIterator[bytes]:
    """Yield whole lines of any length: one event of a big pod is longer than a reader's own limit."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield line


def _typed(resource: Resource, item: Manifest) -> Manifest:
    """Return an item of a list with its kind, which lists leave out."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **item}
