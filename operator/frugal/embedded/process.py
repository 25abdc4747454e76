"""One local process tree: started behind a shim, its output told line by line, its end exact. Knows no pod."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

SHIM = Path(__file__).with_name("shim.py")
LINE_BYTES = 64 * 1024  # a longer line is told in pieces
CLOCK_SECONDS = 1.5  # Linux knows a start by the time since boot, and boot by the clock: both round


@dataclass(frozen=True, slots=True)
class Exit:
    """How a process tree ended: exit status (128 + signal) and the CPU seconds of all its processes."""

    code: int
    cpu_seconds: float


@dataclass(frozen=True, slots=True)
class Use:
    """What a process tree uses now."""

    memory_bytes: int
    cpu_seconds: float


class LocalProcess:
    """A running command with all that it starts. When this process dies, it dies."""

    def __init__(
        self,
        shim: asyncio.subprocess.Process,
        reader: asyncio.StreamReader,
        channel: asyncio.StreamWriter,
        *,
        pid: int,
        on_line: Callable[[str], None],
    ) -> None:
        self._shim, self._channel = shim, channel
        self.pid = pid
        self.started_seconds = _start_of(pid)
        self._ended = asyncio.create_task(self._watch(reader, on_line))

    @classmethod
    async def start(
        cls, command: Sequence[str], *, environment: Mapping[str, str], folder: Path, on_line: Callable[[str], None]
    ) -> LocalProcess:
        """Start `command` in `folder` with exactly this environment; `on_line` gets both its outputs."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                shim = await asyncio.create_subprocess_exec(
                    sys.executable, "-I", "-S", str(SHIM), *command,
                    stdin=theirs.fileno(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                    env=dict(environment), cwd=folder, start_new_session=True,
                )  # fmt: skip
            reader, writer = await asyncio.open_connection(sock=ours)
            said = (await reader.readline()).split()
        except BaseException:
            ours.close()  # which ends the shim, and all behind it
            raise
        return cls(shim, reader, writer, pid=int(said[1]) if said[:1] == [b"pid"] else 0, on_line=on_line)

    async def wait(self) -> Exit:
        """Return how it ended, once it has."""
        return await asyncio.shield(self._ended)

    def terminate(self) -> None:
        """Ask it to end by SIGTERM."""
        with contextlib.suppress(ProcessLookupError):
            self._shim.terminate()

    def kill(self) -> None:
        """Kill all of it: the shim does so when its channel ends."""
        if not self._channel.is_closing():
            self._channel.write_eof()

    def use(self) -> Use | None:
        """Return what all its processes use now, or None when it has ended."""
        memory, seconds = 0, 0.0
        try:
            shim = psutil.Process(self._shim.pid)
            seconds += sum(shim.cpu_times()[2:4])  # of those that it has waited for
            tree = shim.children(recursive=True)
        except psutil.Error:
            return None
        for one in tree:
            with contextlib.suppress(psutil.Error):
                memory += one.memory_info().rss
                seconds += sum(one.cpu_times()[:4])
        return Use(memory, seconds) if tree else None

    async def _watch(self, reader: asyncio.StreamReader, on_line: Callable[[str], None]) -> Exit:
        assert self._shim.stdout is not None
        assert self._shim.stderr is not None
        pumps = [asyncio.create_task(_pump(stream, on_line)) for stream in (self._shim.stdout, self._shim.stderr)]
        said = (await reader.read()).split()
        code = await self._shim.wait()
        await asyncio.gather(*pumps)  # the shim killed whoever else held the outputs
        self._channel.close()
        if said[:1] == [b"exit"]:
            return Exit(int(said[1]), float(said[2]))
        return Exit(128 - code if code < 0 else code, 0.0)


def kill_left_behind(pid: int, started_seconds: float) -> bool:
    """Kill a process group that an earlier `frugal run` left; never one that only got the same pid since."""
    if pid <= 1 or abs(_start_of(pid) - started_seconds) > CLOCK_SECONDS:
        return False
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    return True


def _start_of(pid: int) -> float:
    """Return when `pid` started, in seconds of the epoch to hundredths; 0 when there is none."""
    try:
        return round(psutil.Process(pid).create_time(), 2)
    except (psutil.Error, ValueError):
        return 0.0


async def _pump(stream: asyncio.StreamReader, on_line: Callable[[str], None]) -> None:
    rest = b""
    while chunk := await stream.read(LINE_BYTES):
        *lines, rest = (rest + chunk).split(b"\n")
        if len(rest) > LINE_BYTES:
            lines, rest = [*lines, rest], b""
        for line in lines:
            on_line(line.decode(errors="replace"))
    if rest:
        on_line(rest.decode(errors="replace"))
