"""One container of a pod: its process, probes, memory limit and state, as a kubelet runs and reports them.

When it starts again, and what its end means for the pod, stands in `pod.py`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

from frugal.api.result import MAX_TERMINATION_MESSAGE_BYTES
from frugal.decisions.snapshot import Manifest
from frugal.embedded.container_log import ContainerLog
from frugal.embedded.pod_environment import Launch
from frugal.embedded.probes import Probe
from frugal.embedded.process import Exit, LocalProcess
from frugal.loop.ports import Clock
from frugal.units import Quantity, rfc3339

MEASURE_SECONDS = 1.0  # a tree of processes above its memory limit is killed within so long
PROCESS_SCHEME = "process://"  # containerID: process://PID/START, by which a pod is known again

Told = Callable[[str, str, str], None]  # event type, reason, message


class Container:
    """One container.

    port_of: the port on this machine of a container's port. on_change: the state changed. tell: something happened.
    """

    def __init__(
        self,
        spec: Mapping[str, Any],
        *,
        log: ContainerLog,
        port_of: Callable[[str | int], int],
        on_change: Callable[[], None],
        tell: Told,
        clock: Clock,
    ) -> None:
        self.name: str = spec["name"]
        self.spec, self.log = spec, log
        self._port_of, self._on_change, self._tell, self._clock = port_of, on_change, tell, clock
        self.state: Manifest = {"waiting": {"reason": "ContainerCreating"}}
        self.last_state: Manifest = {}
        self.restarts = 0
        self.is_ready = self.is_started = False
        self.cpu_seconds = 0.0
        self.memory_bytes = self.peak_memory_bytes = 0
        self._identity = ""
        self._process: LocalProcess | None = None
        self._was_out_of_memory = False
        self._launch: Launch | None = None

    def waits(self, reason: str, message: str) -> None:
        """Report why there is no process."""
        if "terminated" in self.state:
            self.last_state = self.state
        self.state = {"waiting": {"reason": reason, "message": message}}
        self._on_change()

    async def run(self, launch: Launch) -> int:
        """Run it once and return its exit status; a cancellation kills it."""
        self._was_out_of_memory, self._launch = False, launch
        process = await LocalProcess.start(
            launch.command, environment=launch.environment, folder=launch.folder, on_line=self.log.add
        )
        self._process = process
        identity = f"{PROCESS_SCHEME}{process.pid}/{process.started_seconds}"
        started = rfc3339(self._clock())
        self.state = {"running": {"startedAt": started}}
        self._identity = identity
        self._on_change()
        watchers = [asyncio.create_task(self._measure(process)), asyncio.create_task(self._probe(launch))]
        before = self.cpu_seconds
        try:
            ended = await process.wait()
        finally:
            for watcher in watchers:
                watcher.cancel()
            process.kill()
            self._process = None
        self.cpu_seconds = max(self.cpu_seconds, before + ended.cpu_seconds)
        self._end(ended, launch, identity, started)
        return ended.code

    async def stop(self, grace_seconds: float) -> None:
        """Ask it to end, and kill it when it has not after the grace period."""
        process = self._process
        if process is None:
            return
        try:
            async with asyncio.timeout(grace_seconds):
                await self._pre_stop()
                process.terminate()
                await process.wait()
        except TimeoutError:
            process.kill()
            await process.wait()

    def status(self) -> Manifest:
        """Return its containerStatus."""
        return {
            "name": self.name,
            "image": self.spec.get("image", ""),
            "containerID": self._identity,
            "ready": self.is_ready,
            "started": self.is_started,
            "restartCount": self.restarts,
            "state": self.state,
            **({"lastState": self.last_state} if self.last_state else {}),
        }

    def _end(self, ended: Exit, launch: Launch, identity: str, started: str) -> None:
        reason = "OOMKilled" if self._was_out_of_memory else "Completed" if ended.code == 0 else "Error"
        message = _read_message(launch)
        if not message and ended.code and self.spec.get("terminationMessagePolicy") == "FallbackToLogsOnError":
            message = self.log.tail(lines=80, characters=2048)
        self.is_ready = self.is_started = False
        self.memory_bytes = 0
        terminated: Manifest = {
            "exitCode": ended.code,
            "reason": reason,
            "startedAt": started,
            "finishedAt": rfc3339(self._clock()),
            "containerID": identity,
            **({"message": message} if message else {}),
        }
        self.state = {"terminated": terminated}
        self._on_change()

    async def _measure(self, process: LocalProcess) -> None:
        """Measure the process, and kill it above its memory limit as the kernel kills a control group.

        Memory is the sum of what its processes hold resident: pages that they share count once for each.
        """
        limit = ((self.spec.get("resources") or {}).get("limits") or {}).get("memory")
        limit_bytes = Quantity(limit).whole if limit is not None else None
        before = self.cpu_seconds
        while (use := process.use()) is not None:
            self.cpu_seconds = before + use.cpu_seconds
            self.memory_bytes = use.memory_bytes
            self.peak_memory_bytes = max(self.peak_memory_bytes, use.memory_bytes)
            if limit_bytes is not None and use.memory_bytes > limit_bytes:
                self._was_out_of_memory = True
                self._tell(
                    "Warning", "OOMKilling", f"container {self.name} used {use.memory_bytes} bytes, limit {limit}"
                )
                process.kill()
                return
            await asyncio.sleep(MEASURE_SECONDS)

    async def _probe(self, launch: Launch) -> None:
        """Ask the startup probe first, then the other two at a time."""
        if "startupProbe" in self.spec:
            async for is_up, why in self._asked("startupProbe", launch):
                if is_up:
                    break
                self._tell("Warning", "Unhealthy", f"Startup probe failed: {why}")
                await self._restart("startup")
                return
        self.is_started = True
        await asyncio.gather(self._follow_readiness(launch), self._follow_liveness(launch))

    async def _follow_readiness(self, launch: Launch) -> None:
        if "readinessProbe" not in self.spec:
            self.is_ready = True
            self._on_change()
            return
        async for is_ready, why in self._asked("readinessProbe", launch):
            self.is_ready = is_ready
            if not is_ready:
                self._tell("Warning", "Unhealthy", f"Readiness probe failed: {why}")
            self._on_change()

    async def _follow_liveness(self, launch: Launch) -> None:
        if "livenessProbe" not in self.spec:
            return
        async for is_alive, why in self._asked("livenessProbe", launch):
            if not is_alive:
                self._tell("Warning", "Unhealthy", f"Liveness probe failed: {why}")
                await self._restart("liveness")

    def _asked(self, probe: str, launch: Launch) -> AsyncIterator[tuple[bool, str]]:
        return Probe(self.spec[probe], self._port_of, launch).changes()

    async def _restart(self, probe: str) -> None:
        self._tell("Normal", "Killing", f"Container {self.name} failed {probe} probe, will be restarted")
        await self.stop(float(self.spec.get("terminationGracePeriodSeconds", 30)))

    async def _pre_stop(self) -> None:
        hook = (self.spec.get("lifecycle") or {}).get("preStop") or {}
        if "sleep" in hook:
            await asyncio.sleep(hook["sleep"]["seconds"])
        elif "exec" in hook and self._launch is not None:
            hooked = await LocalProcess.start(
                hook["exec"]["command"],
                environment=self._launch.environment,
                folder=self._launch.folder,
                on_line=self.log.add,
            )
            try:
                await hooked.wait()
            finally:
                hooked.kill()


def _read_message(launch: Launch) -> str:
    """Return the termination message, cut where the kubelet cuts it."""
    if not launch.message_file.is_file():
        return ""
    with launch.message_file.open("rb") as file:
        return file.read(MAX_TERMINATION_MESSAGE_BYTES).decode(errors="replace")
