"""What one pod's counters and gauges stand at, whoever read them. Differences over time are made in `deltas`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from frugal.telemetry.exposition import Sample
from frugal.telemetry.sources.registry import RUNTIMES
from frugal.telemetry.sources.server import PROCESS_CPU, PROCESS_MEMORY, ServerMetrics, ServerTally


@dataclass(frozen=True, slots=True, kw_only=True)
class PodCounters:
    """Where one pod stands; a field is None where nothing says it, never where it is 0.

    at: when the figures were true; cpu_at: when cpu_seconds was, where another source says it.
    cpu_seconds, compute_seconds, input_tokens, output_tokens: since the process began.
    gpu_source: the metric that gpu_ratio is read from, and how a shared card's activity was shared out.
    requests: answers by HTTP status. latency: answers at most so many seconds slow, by that edge.
    problem: what is wrong with a figure that is therefore left out; empty where nothing is.
    """

    at: datetime
    cpu_at: datetime | None = None
    cpu_seconds: float | None = None
    memory_bytes: int | None = None
    gpu_ratio: float | None = None
    gpu_memory_bytes: int | None = None
    gpu_source: str = ""
    requests: Mapping[str, float] = field(default_factory=dict)
    latency: Mapping[float, float] = field(default_factory=dict)
    compute_seconds: float | None = None
    in_flight: float | None = None
    input_tokens: float | None = None
    output_tokens: float | None = None
    problem: str = ""

    @property
    def cpu_moment(self) -> datetime:
        """When cpu_seconds was true."""
        return self.cpu_at or self.at


def pod_counters(
    samples: Iterable[Sample], *, at: datetime, runtimes: Sequence[ServerMetrics] = RUNTIMES
) -> PodCounters:
    """Return where a pod stands by its own metrics, of whatever models it serves together."""
    tally = PodTally(runtimes)
    for sample in samples:
        tally.add(sample.name, sample.labels, sample.value)
    return tally.counters(at)


class PodTally:
    """One pod's own series, added up as they come.

    `runtimes` are those that it may be, best first: what a pod says as one of them is not counted as another's too.
    """

    __slots__ = ("_cpu_seconds", "_memory_bytes", "_runtimes", "_tallies")

    def __init__(self, runtimes: Sequence[ServerMetrics]) -> None:
        self._runtimes = runtimes
        self._tallies: dict[str, ServerTally] = {}
        self._cpu_seconds: float | None = None
        self._memory_bytes: float | None = None

    def add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Take one series; one of a name that nobody knows changes nothing."""
        if name == PROCESS_CPU:
            self._cpu_seconds = (self._cpu_seconds or 0.0) + value
        elif name == PROCESS_MEMORY:
            self._memory_bytes = (self._memory_bytes or 0.0) + value
        else:
            for runtime in self._runtimes:
                if name in runtime.roles:
                    self._tally(runtime).add(name, labels, value)

    def counters(self, at: datetime) -> PodCounters:
        """Return where the pod stands."""
        own = next((one for name in self._order() if (one := self._tallies[name]).tells_load), None)
        memory = self._memory_bytes
        process = PodCounters(
            at=at, cpu_seconds=self._cpu_seconds, memory_bytes=int(memory) if memory is not None else None
        )
        if own is None:
            return process
        return PodCounters(
            at=at,
            cpu_seconds=process.cpu_seconds,
            memory_bytes=process.memory_bytes,
            requests=own.answers,
            latency=own.latency,
            compute_seconds=own.compute,
            in_flight=own.in_flight,
            input_tokens=own.input_tokens,
            output_tokens=own.output_tokens,
        )

    def _tally(self, runtime: ServerMetrics) -> ServerTally:
        tally = self._tallies.get(runtime.runtime)
        if tally is None:
            tally = self._tallies[runtime.runtime] = ServerTally(runtime)
        return tally

    def _order(self) -> list[str]:
        return [runtime.runtime for runtime in self._runtimes if runtime.runtime in self._tallies]
