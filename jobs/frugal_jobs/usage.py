"""What the pod used: wall time, CPU time of itself and its children, peak memory; added up over its attempts."""

from __future__ import annotations

import resource
import time

from frugal.api.result import Usage


class Meter:
    """Measures from the process's start; `before` is what earlier attempts used."""

    def __init__(self, before: Usage) -> None:
        self._before = before
        self._start = time.monotonic()

    def now(self) -> Usage:
        """Return the use of all attempts so far."""
        own, children = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = sum(part.ru_utime + part.ru_stime for part in (own, children))
        peak = max(own.ru_maxrss, children.ru_maxrss) * 1024  # Linux counts it in KiB
        return Usage(
            wall_seconds=round(self._before.wall_seconds + time.monotonic() - self._start, 2),
            cpu_seconds=round(self._before.cpu_seconds + cpu, 2),
            peak_memory_bytes=max(self._before.peak_memory_bytes, peak),
        )
