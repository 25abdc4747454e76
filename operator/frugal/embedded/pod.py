"""One pod's life on this machine: from its volumes to its last exit status, told as a Pod's status.

Which pods there should be is decided by `job_runner` and `deployment_runner`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from frugal.decisions.snapshot import Manifest
from frugal.embedded.container import Container
from frugal.embedded.container_log import ContainerLog
from frugal.embedded.events import node_event
from frugal.embedded.pod_environment import ADDRESS, Launch, launch_of
from frugal.embedded.pod_files import NotYet, check_claims, make_container_files
from frugal.embedded.state_folder import StateFolder
from frugal.embedded.store import Store, key_of
from frugal.errors import NotFound
from frugal.loop.ports import Clock
from frugal.units import Quantity, rfc3339

PORTS_ANNOTATION = "frugal.dev/ports"  # JSON: container's port -> port on this machine
DEFAULT_GRACE_SECONDS = 30.0  # Kubernetes' terminationGracePeriodSeconds


@dataclass(frozen=True, slots=True, kw_only=True)
class Timing:
    """How long the node waits between tries; the defaults are Kubernetes' own."""

    restart_seconds: float = 10.0  # the kubelet's first back-off, doubled each time
    longest_restart_seconds: float = 300.0
    job_backoff_seconds: float = 10.0  # the Job controller's first, doubled each time
    longest_job_backoff_seconds: float = 360.0


DEFAULT_TIMING = Timing()


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every pod stands on.

    volumes: the folder behind each claim, as it is now. printed: a pod printed a line of JSON.
    """

    store: Store
    folder: StateFolder
    clock: Clock
    volumes: Callable[[], Mapping[str, Path]]
    printed: Callable[[Manifest], None]
    timing: Timing = DEFAULT_TIMING
    machine: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))


class PodLife:
    """One pod from its first look at its volumes to its end."""

    def __init__(self, pod: Manifest, ground: Ground) -> None:
        self._pod, self._ground = pod, ground
        self._key = key_of(pod)
        spec = pod["spec"]
        self._policy: str = spec.get("restartPolicy", "Always")
        self._initial = [self._container(one) for one in spec.get("initContainers") or []]
        self._containers = [self._container(one) for one in spec["containers"]]
        self._unschedulable = ""
        self._is_ending = False
        self._has_initialized = not self._initial
        self._started_at = rfc3339(ground.clock())
        self._look_again = asyncio.Event()
        self._task = asyncio.create_task(self._live(), name=f"pod {self._key}")

    @property
    def folder(self) -> Path:
        return self._ground.folder.pod_folder(self._pod["metadata"]["uid"])

    def look_again(self) -> None:
        """A ConfigMap, a Secret or a claim appeared or changed: whoever waits for one tries again."""
        self._look_again.set()

    def lines(self) -> tuple[str, ...]:
        """Return what its first container printed last."""
        return tuple(self._containers[0].log.lines)

    async def stop(self) -> None:
        """End it: TERM, and KILL after its grace period. Its status then tells how each container ended."""
        self._is_ending = True
        self._publish()  # not ready: the Service sends nothing new
        grace = float(self._pod["spec"].get("terminationGracePeriodSeconds", DEFAULT_GRACE_SECONDS))
        await asyncio.gather(*(one.stop(grace) for one in [*self._initial, *self._containers]))
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)
        for one in [*self._initial, *self._containers]:
            one.log.close()

    async def _live(self) -> None:
        self._publish()
        await self._admitted()
        for one in self._initial:
            if await self._keep(one, "Never" if self._policy == "Never" else "OnFailure"):
                self._publish()
                return
        self._has_initialized = True
        await asyncio.gather(*(self._keep(one, self._policy) for one in self._containers))
        self._write_use()

    async def _admitted(self) -> None:
        """Wait until this machine can take the pod."""
        while True:
            self._look_again.clear()
            try:
                check_claims(self._pod, self._ground.volumes())
                check_fits(self._pod)
            except NotYet as fault:
                self._unschedulable = fault.message
                self._publish()
                await self._look_again.wait()
            else:
                self._unschedulable = ""
                return

    async def _keep(self, container: Container, policy: str) -> int:
        """Run the container as often as its policy wants, and return its last exit status."""
        delay = 0.0
        while True:
            code = await container.run(await self._launch(container))
            self._write_use()
            if self._is_ending or policy == "Never" or (policy == "OnFailure" and code == 0):
                return code
            if delay:
                name = f"{self._key.name}_{self._key.namespace}({self._pod['metadata']['uid']})"
                text = f"back-off {delay:.0f}s restarting failed container={container.name} pod={name}"
                container.waits("CrashLoopBackOff", text)
                self._tell("Warning", "BackOff", f"Back-off restarting failed container {container.name}")
                await asyncio.sleep(delay)
            timing = self._ground.timing
            delay = min(delay * 2 or timing.restart_seconds, timing.longest_restart_seconds)
            container.restarts += 1
            if "terminated" in container.state:
                container.last_state = container.state

    async def _launch(self, container: Container) -> Launch:
        """Return how to start the container, as soon as everything that it names is there."""
        while True:
            self._look_again.clear()
            find = self._ground.store.get
            try:
                paths = make_container_files(
                    self._pod, container.spec, self.folder, find=find, volumes=self._ground.volumes()
                )
                return launch_of(self._pod, container.spec, paths, find=find, machine=self._ground.machine)
            except NotYet as fault:
                container.waits(fault.reason, fault.message)
                self._tell("Warning", "Failed", f"Error: {fault.message}")
                await self._look_again.wait()

    def _container(self, spec: Mapping[str, Any]) -> Container:
        metadata = self._pod["metadata"]
        file = self._ground.folder.log_file(metadata["namespace"], metadata["name"], spec["name"])
        return Container(
            spec,
            log=ContainerLog(file, on_json=lambda: self._ground.printed(self._pod)),
            port_of=lambda port: port_of(self._pod, port),
            on_change=self._publish,
            tell=self._tell,
            clock=self._ground.clock,
        )

    def _tell(self, type_: str, reason: str, message: str) -> None:
        event = node_event(self._pod, type_, reason, message, now=self._ground.clock())
        self._ground.store.record(event)

    def _publish(self) -> None:
        with contextlib.suppress(NotFound):
            self._ground.store.set_status(self._key, self._status())

    def _status(self) -> Manifest:
        is_ready = not self._is_ending and all(one.is_ready for one in self._containers)
        conditions = {
            "PodScheduled": not self._unschedulable,
            "Initialized": self._has_initialized,
            "ContainersReady": is_ready,
            "Ready": is_ready,
        }
        reasons = {"PodScheduled": {"reason": "Unschedulable", "message": self._unschedulable}}
        before = (self._ground.store.get(self._key) or {}).get("status") or {}
        status: Manifest = {
            "phase": self._phase(),
            "startTime": self._started_at,
            "podIP": ADDRESS,
            "hostIP": ADDRESS,
            "qosClass": "Burstable",
            "conditions": [
                self._condition(type_, holds, before, {} if holds else reasons.get(type_, {}))
                for type_, holds in conditions.items()
            ],
            "containerStatuses": [one.status() for one in self._containers],
        }
        if self._initial:
            status["initContainerStatuses"] = [one.status() for one in self._initial]
        return status

    def _condition(self, type_: str, holds: bool, before: Manifest, why: Mapping[str, str]) -> Manifest:
        old: Manifest = next((one for one in before.get("conditions", ()) if one["type"] == type_), {})
        word = str(holds)
        since = old["lastTransitionTime"] if old.get("status") == word else rfc3339(self._ground.clock())
        return {"type": type_, "status": word, "lastTransitionTime": since, **why}

    def _phase(self) -> str:
        ends = [one.state.get("terminated") for one in self._containers]
        if any("terminated" in one.state and one.state["terminated"]["exitCode"] for one in self._initial):
            return "Failed" if self._policy == "Never" else "Pending"
        if all(ends) and (self._policy != "Always" or self._is_ending):
            codes = [end["exitCode"] for end in ends if end]
            if not any(codes):
                return "Succeeded"
            if self._policy == "Never" or self._is_ending:
                return "Failed"
        has_run = any(one.restarts or "waiting" not in one.state for one in self._containers)
        return "Running" if has_run else "Pending"

    def _write_use(self) -> None:
        """Keep what the pod used, for people: not fsynced, because nothing decides by it."""
        used = {
            "cpuSeconds": round(sum(one.cpu_seconds for one in self._containers), 3),
            "peakMemoryBytes": sum(one.peak_memory_bytes for one in self._containers),
        }
        if self.folder.is_dir():
            (self.folder / "use.json").write_text(json.dumps(used))


def remove_pod_files(pod: Manifest, folder: StateFolder) -> None:
    """Remove the pod's folder and its logs; what a claim holds stays."""
    metadata = pod["metadata"]
    shutil.rmtree(folder.pod_folder(metadata["uid"]), ignore_errors=True)
    shutil.rmtree(folder.log_file(metadata["namespace"], metadata["name"], "any").parent, ignore_errors=True)


def port_of(pod: Manifest, port: str | int) -> int:
    """Return the port on this machine that a container's port has, by its name or its number in the template."""
    mapped: dict[str, int] = json.loads((pod["metadata"].get("annotations") or {}).get(PORTS_ANNOTATION, "{}"))
    if str(port) in mapped:
        return mapped[str(port)]
    for container in pod["spec"]["containers"]:
        for declared in container.get("ports") or []:
            if declared.get("name") == port:
                return int(declared["containerPort"])
    return int(port) if str(port).isdigit() else 0


def check_fits(pod: Manifest) -> None:
    """Raise NotYet, in the scheduler's words, when the pod requests more than this machine has."""
    has = {"cpu": float(os.cpu_count() or 1), "memory": float(psutil.virtual_memory().total)}
    wanted: dict[str, float] = {}
    for container in pod["spec"]["containers"]:
        resources = container.get("resources") or {}
        for name, amount in {**(resources.get("limits") or {}), **(resources.get("requests") or {})}.items():
            wanted[name] = wanted.get(name, 0.0) + float(Quantity(amount).value)
    short = [name for name, amount in sorted(wanted.items()) if amount > has.get(name, 0.0)]
    short = [name for name in short if name != "ephemeral-storage"]
    if short:
        listed = ", ".join(f"1 Insufficient {name}" for name in short)
        raise NotYet("Unschedulable", f"0/1 nodes are available: {listed}.", is_unschedulable=True)
