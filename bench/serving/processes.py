"""Servers under load: each a process on one core, the client on another. Knows no figures and no goals."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError
from urllib.request import urlopen

START_SECONDS = 60.0
CORES = sorted(os.sched_getaffinity(0))
SERVER_CORE, CLIENT_CORE = CORES[0], CORES[-1]
PATHS = os.pathsep.join(str(path) for path in (Path.cwd(), Path("operator").resolve(), Path("jobs").resolve()))


def environment(**more: str) -> Mapping[str, str]:
    """Return what every process here gets: this tree's packages, and one thread for every library."""
    return {**os.environ, "PYTHONPATH": PATHS, "OMP_NUM_THREADS": "1", **more}


def pin(core: int) -> None:
    """Keep this process on one core; called in the child, before it becomes its program."""
    os.sched_setaffinity(0, {core})


@dataclass(frozen=True, slots=True)
class Served:
    """One running server."""

    port: int
    process: int


@contextmanager
def served(command: Sequence[str], port: int, **more: str) -> Iterator[Served]:
    """Start a server on its core, wait until it is ready, and yield it."""
    with subprocess.Popen(
        command,
        env=environment(**more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: pin(SERVER_CORE),
    ) as process:
        try:
            _wait(process, f"http://127.0.0.1:{port}/v2/health/ready")
            yield Served(port, process.pid)
        finally:
            process.terminate()
            process.wait(30)


def _wait(process: subprocess.Popen[bytes], url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urlopen(url, timeout=5):
                return
        except (URLError, ConnectionError):
            time.sleep(0.1)
    raise RuntimeError(f"{process.args!r} did not become ready")


@dataclass(frozen=True, slots=True, kw_only=True)
class Rate:
    """How fast rows were answered: by the clock, and by the server's own CPU, which other processes do not disturb."""

    per_second: float
    per_cpu_second: float


def rate(server: Served, *, connections: int, seconds: float, form: str) -> tuple[Rate, Mapping[str, float]]:
    """Return what one load on `server` reached, and all that the load found; raises when a request failed."""
    used_seconds = cpu_seconds(server.process)
    arguments = (str(server.port), str(connections), str(seconds), form)
    found: dict[str, float] = json.loads(_run("bench.serving.load", *arguments, core=CLIENT_CORE, seconds=seconds))
    used_seconds = cpu_seconds(server.process) - used_seconds
    if found["failed"]:
        raise RuntimeError(f"{found['failed']} of {found['requests']} requests failed")
    requests = found["requests"]
    return Rate(per_second=requests / found["seconds"], per_cpu_second=requests / used_seconds), found


def bare_rate(model: Path, *, batch: int, seconds: float) -> Rate:
    """Return what the runtime alone reaches on the servers' core."""
    arguments = (str(model), str(batch), str(seconds))
    found: dict[str, float] = json.loads(_run("bench.serving.bare", *arguments, core=SERVER_CORE, seconds=seconds))
    return Rate(per_second=found["rows"] / found["seconds"], per_cpu_second=found["rows"] / found["cpu_seconds"])


def cpu_seconds(process: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_bytes(process: int) -> int:
    """Return the bytes that a process holds in memory."""
    line = next(line for line in Path(f"/proc/{process}/status").read_text().splitlines() if line.startswith("VmRSS"))
    return int(line.split()[1]) * 1024


def _run(module: str, *arguments: str, core: int, seconds: float) -> str:
    done = subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env=environment(),
        capture_output=True,
        text=True,
        check=True,
        timeout=seconds + START_SECONDS,
        preexec_fn=lambda: pin(core),
    )
    return done.stdout
