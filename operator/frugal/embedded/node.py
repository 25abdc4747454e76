"""This machine as the node: pods in the store become processes; Jobs, Deployments and Services are looked after.

What belongs to an object of ours is decided by the loop; the node only carries out what children say.
"""

from __future__ import annotations

import asyncio
import logging
import shutil
import time
from collections.abc import Callable

from frugal.decisions.snapshot import Manifest
from frugal.embedded.container import PROCESS_SCHEME
from frugal.embedded.deployment_runner import DeploymentRunner
from frugal.embedded.job_runner import DISRUPTED, JobRunner
from frugal.embedded.pod import Ground, PodLife, remove_pod_files
from frugal.embedded.pod_template import Ports
from frugal.embedded.process import kill_left_behind
from frugal.embedded.service import ServiceProxies
from frugal.embedded.store import Change, key_of
from frugal.errors import ClusterError
from frugal.loop.ports import ObjectKey
from frugal.loop.queue import KeyedQueue
from frugal.units import rfc3339

CONTROLLED = ("Job", "Deployment")
NEEDED = ("ConfigMap", "Secret", "PersistentVolumeClaim")  # what a pod may wait for

_log = logging.getLogger(__name__)


class Node:
    """Runs what the store holds."""

    def __init__(self, ground: Ground, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._ground = ground
        self._queue = KeyedQueue(monotonic)
        self._lives: dict[str, PodLife] = {}  # by the pod's uid
        self._ends: dict[str, asyncio.Task[None]] = {}  # by the pod's uid
        self._is_stopping = False
        ports = Ports()
        self._jobs = JobRunner(ground, ports)
        self._deployments = DeploymentRunner(ground, ports)
        self._services = ServiceProxies(ground.store, ground.clock)

    def recover(self) -> None:
        """End what an earlier process left: its pods are lost, and whoever owns them makes new ones."""
        for pod in self._ground.store.all("Pod"):
            if _has_ended(pod) and "deletionTimestamp" not in pod["metadata"]:
                continue
            for pid, started in _processes(pod):
                if kill_left_behind(pid, started):
                    _log.warning("pod %s: ended process %d that an earlier run left", key_of(pod).name, pid)
            self._lose(pod)
        living = {pod["metadata"]["uid"] for pod in self._ground.store.all("Pod")}
        for folder in self._ground.folder.pods.iterdir():
            if folder.name not in living:
                shutil.rmtree(folder, ignore_errors=True)
        self._ground.store.delete_orphans()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop`, then end every pod as a node that shuts down does."""
        self._ground.store.subscribe(self._notice)
        for manifest in self._ground.store.all(*CONTROLLED, "Service"):
            self._queue.add(key_of(manifest))
        worker = asyncio.create_task(self._work())
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({worker, stopping}, return_when=asyncio.FIRST_COMPLETED)
            if worker.done():
                worker.result()
        finally:
            stopping.cancel()
            worker.cancel()
            await asyncio.gather(worker, stopping, return_exceptions=True)
            await self._shut_down()

    def lines(self, pod: Manifest) -> tuple[str, ...] | None:
        """Return what a pod that runs here printed last, or None when it does not run here."""
        life = self._lives.get(pod["metadata"]["uid"])
        return life.lines() if life is not None else None

    def look_again(self) -> None:
        """Something that pods may wait for has changed."""
        for life in self._lives.values():
            life.look_again()

    async def _work(self) -> None:
        while True:
            key = await self._queue.take()
            try:
                again = await self._look(key)
            except ClusterError as error:  # an object went while it was looked at
                _log.info("%s: %s; again in %.2f s", key, error, self._queue.failed(key))
            except Exception:  # whatever fails, this object is retried and the others go on
                _log.exception("%s could not be looked after; again in %.2f s", key, self._queue.failed(key))
            else:
                self._queue.done(key, requeue_seconds=again)

    async def _look(self, key: ObjectKey) -> float | None:
        if key.kind == "Service":
            return await self._services.look(key)
        manifest = self._ground.store.get(key)
        if manifest is None:
            return None
        return self._jobs.look(manifest) if key.kind == "Job" else self._deployments.look(manifest)

    def _notice(self, change: Change) -> None:
        manifest = change.manifest
        kind = manifest["kind"]
        if kind in (*CONTROLLED, "Service"):
            self._queue.add(key_of(manifest))
        elif kind in NEEDED:
            self.look_again()
        elif kind == "Pod":
            for owner in manifest["metadata"].get("ownerReferences") or []:
                self._queue.add(ObjectKey(owner["kind"], manifest["metadata"]["namespace"], owner["name"]))
            self._notice_pod(change)

    def _notice_pod(self, change: Change) -> None:
        """Start a pod that is new, and end one that shall go."""
        pod, uid = change.manifest, change.manifest["metadata"]["uid"]
        if self._is_stopping or uid in self._ends:
            return
        if change.is_gone or "deletionTimestamp" in pod["metadata"]:
            self._ends[uid] = asyncio.create_task(self._finish(pod), name=f"end of pod {key_of(pod)}")
            self._ends[uid].add_done_callback(lambda _: self._ends.pop(uid, None))
        elif uid not in self._lives and not _has_ended(pod):
            self._lives[uid] = PodLife(pod, self._ground)

    async def _finish(self, pod: Manifest) -> None:
        """End a pod and then remove it with its files."""
        life = self._lives.pop(pod["metadata"]["uid"], None)
        if life is not None:
            await life.stop()
        remove_pod_files(pod, self._ground.folder)
        self._ground.store.remove(key_of(pod))

    async def _shut_down(self) -> None:
        """End every pod; Jobs make theirs again at the next start, and the end counts for nothing."""
        self._is_stopping = True
        await self._services.close()
        await asyncio.gather(*(life.stop() for life in self._lives.values()), *self._ends.values())
        for pod in self._ground.store.all("Pod"):
            if pod["metadata"]["uid"] in self._lives and (pod.get("status") or {}).get("phase") != "Succeeded":
                self._lose(pod)

    def _lose(self, pod: Manifest) -> None:
        """Tell that the pod is lost: a Job's stays, so that its end is known; all others go."""
        owners = pod["metadata"].get("ownerReferences") or []
        if any(owner["kind"] == "Job" for owner in owners) and "deletionTimestamp" not in pod["metadata"]:
            condition = {
                "type": DISRUPTED,
                "status": "True",
                "reason": "NodeRestarted",
                "message": "frugal run ended while the pod was running",
                "lastTransitionTime": rfc3339(self._ground.clock()),
            }
            status = pod.get("status") or {}
            conditions = [one for one in status.get("conditions") or [] if one["type"] not in (DISRUPTED, "Ready")]
            lost = {**status, "phase": "Failed", "reason": "NodeRestarted", "conditions": [*conditions, condition]}
            self._ground.store.set_status(key_of(pod), lost)
        else:
            self._ground.store.remove(key_of(pod))


def _has_ended(pod: Manifest) -> bool:
    return (pod.get("status") or {}).get("phase") in ("Succeeded", "Failed")


def _processes(pod: Manifest) -> list[tuple[int, float]]:
    """Return (pid, start in seconds of the epoch) of each process that the pod's status names."""
    status = pod.get("status") or {}
    found = []
    for one in [*(status.get("containerStatuses") or []), *(status.get("initContainerStatuses") or [])]:
        identity = str(one.get("containerID") or "")
        if identity.startswith(PROCESS_SCHEME) and "running" in one.get("state", {}):
            pid, _, started = identity.removeprefix(PROCESS_SCHEME).partition("/")
            found.append((int(pid), float(started)))
    return found
