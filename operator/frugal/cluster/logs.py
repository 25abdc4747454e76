"""What the pods of ours print: each running one is followed to its end, and its newest lines are kept.

One follower per pod, bounded memory, and a lost connection resumes where the log was left.
"""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable

import aiohttp

from frugal.cluster.client import Api
from frugal.cluster.kinds import PODS
from frugal.decisions.snapshot import Manifest
from frugal.errors import ClusterError, ClusterUnavailable, NotFound

KEPT_LINES = 2000  # the port's promise
LINE_BYTES = 64 * 1024  # a longer line is no progress line: it is dropped
RESUME_SECONDS = 2.0  # between two tries

Wake = Callable[[Manifest], None]

_log = logging.getLogger(__name__)


class LogFollowers:
    """The followers of all pods. `wake` is called with the pod whenever it printed a line of JSON."""

    def __init__(self, api: Api, wake: Wake) -> None:
        self._api, self._wake = api, wake
        self._lines: dict[str, deque[str]] = {}  # by the pod's uid
        self._newest: dict[str, str] = {}  # moment of the newest line, by the pod's uid
        self._tasks: dict[str, asyncio.Task[None]] = {}

    def lines(self, pod: Manifest) -> tuple[str, ...]:
        """Return what the pod has printed so far; follows it from the first call, once it has started."""
        uid = pod["metadata"]["uid"]
        if uid not in self._tasks and _has_started(pod):
            self._lines[uid] = deque(maxlen=KEPT_LINES)
            self._tasks[uid] = asyncio.create_task(self._follow(pod), name=f"log of {pod['metadata']['name']}")
        return tuple(self._lines.get(uid, ()))

    def forget_all_but(self, pods: Iterable[Manifest]) -> None:
        """End the followers of pods that are gone, and forget what they printed."""
        living = {pod["metadata"]["uid"] for pod in pods}
        for uid in self._tasks.keys() - living:
            self.forget(uid)

    def forget(self, uid: str) -> None:
        """End the follower of one pod, and forget what it printed."""
        self._lines.pop(uid, None)
        self._newest.pop(uid, None)
        if (task := self._tasks.pop(uid, None)) is not None:
            task.cancel()

    async def close(self) -> None:
        """End every follower."""
        tasks = list(self._tasks.values())
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _follow(self, pod: Manifest) -> None:
        """Read the pod's log to its end, through any number of lost connections."""
        while True:
            try:
                await self._read(pod)
                if await self._has_ended(pod):
                    return
            except NotFound:
                return
            except ClusterUnavailable as error:
                _log.info("log of pod %s: %s; resuming", pod["metadata"]["name"], error)
            except ClusterError as error:
                _log.warning("log of pod %s cannot be read: %s", pod["metadata"]["name"], error)
                return
            await asyncio.sleep(RESUME_SECONDS)

    async def _read(self, pod: Manifest) -> None:
        """Keep what comes after the newest line that is known, until the stream ends, in whatever way."""
        metadata = pod["metadata"]
        last = self._newest.get(metadata["uid"], "")
        query = {"follow": "true", "timestamps": "true", "container": pod["spec"]["containers"][0]["name"]}
        if last:
            query["sinceTime"] = f"{last[:19]}Z"  # whole seconds: lines of that second come again
        kept = self._lines[metadata["uid"]]
        path = f"{PODS.path(metadata['namespace'], metadata['name'])}/log"
        async with self._api.stream(path, **query) as content:
            async for lines in _whole_lines(content):
                told = [(moment, text) for moment, text in map(_parted, lines) if moment > last]
                kept.extend(text for _, text in told)
                last = self._newest[metadata["uid"]] = max([last, *(moment for moment, _ in told)])
                if any(text.startswith("{") for _, text in told):
                    self._wake(pod)

    async def _has_ended(self, pod: Manifest) -> bool:
        metadata = pod["metadata"]
        newest = await self._api.get(PODS.path(metadata["namespace"], metadata["name"]))
        is_same = newest["metadata"]["uid"] == metadata["uid"]
        return not is_same or newest.get("status", {}).get("phase") in ("Succeeded", "Failed")


async def _whole_lines(content: aiohttp.StreamReader) -> AsyncIterator[list[str]]:
    """Yield the lines of each chunk that arrives; a line that is too long is dropped."""
    rest = b""
    async for chunk in content.iter_any():
        *lines, rest = (rest + chunk).split(b"\n")
        yield [line.decode(errors="replace") for line in lines if len(line) <= LINE_BYTES]
        if len(rest) > LINE_BYTES:
            rest = rest[: LINE_BYTES + 1]  # enough to know that it is too long
    if rest and len(rest) <= LINE_BYTES:
        yield [rest.decode(errors="replace")]


def _parted(line: str) -> tuple[str, str]:
    """Return the moment that the kubelet wrote before a line (RFC 3339, always nine decimals), and the line."""
    moment, _, text = line.partition(" ")
    return moment, text


def _has_started(pod: Manifest) -> bool:
    return pod.get("status", {}).get("phase") in ("Running", "Succeeded", "Failed")
