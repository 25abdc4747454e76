"""Everything that is learnt of one workload, as one value that grows by observations. Decides nothing.

It is small (under 32 KiB as JSON), so it survives a restart in a ConfigMap or a file.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from frugal.sizing.capacity import Capacity, Concurrency
from frugal.sizing.histogram import CPU_CORES, RATIO, Histogram
from frugal.sizing.latency import LatencyHistory
from frugal.sizing.peaks import Peaks
from frugal.sizing.rates import Rates
from frugal.sizing.samples import LoadSample, Observation, UsageSample
from frugal.sizing.service_time import ServiceTime

VERSION = 1
MAX_KINDS = 8  # of which the capacity is remembered
KILL_HOLD_SECONDS = 86_400.0  # one window of memory peaks: by then the peaks that killed it have been measured


@dataclass(frozen=True, slots=True, kw_only=True)
class OutOfMemory:
    """The newest out-of-memory kill, and the largest limit at which one happened within the hold before it.

    at: None while nothing else was ever measured: a container that dies at once leaves no sample.
    """

    at: datetime | None
    killed_bytes: int

    def holds(self, now: datetime) -> bool:
        """Whether the kill is too recent for measured peaks to have taken its place."""
        return self.at is None or (now - self.at).total_seconds() < KILL_HOLD_SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkloadState:
    """What is known of one workload.

    cpu: cores of one replica.
    cpu_total: cores of one replica times the replicas that shared the load at that moment, so that the figure
        survives a change of their number, and an uneven share of one of them counts.
    memory, gpu_memory: daily peaks of one replica, in bytes.
    kind: the key of the kind on which `gpu`, `service` and `concurrency` were measured; empty where it is not known.
    gpu: engine activity of one replica, in [0, 1]. concurrency: requests that it serves at once.
    elsewhere: what was measured on other kinds, the newest last.
    usage_minutes: distinct minutes in which use was measured; several samples in a minute count once.
    usage_minute: the newest of them, since the epoch.
    """

    cpu: Histogram = field(default_factory=lambda: Histogram.empty(CPU_CORES))
    cpu_total: Histogram = field(default_factory=lambda: Histogram.empty(CPU_CORES))
    memory: Peaks = field(default_factory=Peaks.empty)
    gpu: Histogram = field(default_factory=lambda: Histogram.empty(RATIO))
    gpu_memory: Peaks = field(default_factory=Peaks.empty)
    rates: Rates = field(default_factory=Rates.empty)
    service: ServiceTime = field(default_factory=ServiceTime)
    concurrency: Concurrency = field(default_factory=Concurrency)
    kind: str = ""
    elsewhere: tuple[tuple[str, Capacity], ...] = ()
    latency: LatencyHistory = field(default_factory=LatencyHistory)
    first_at: datetime | None = None
    last_at: datetime | None = None
    usage_minutes: int = 0
    usage_minute: int | None = None
    out_of_memory: OutOfMemory | None = None

    @classmethod
    def empty(cls) -> WorkloadState:
        return cls()

    @property
    def is_empty(self) -> bool:
        """Whether nothing was ever measured."""
        return self.last_at is None

    @property
    def history_seconds(self) -> float:
        """Time between the first and the newest sample."""
        if self.first_at is None or self.last_at is None:
            return 0.0
        return (self.last_at - self.first_at).total_seconds()

    def observe(self, observation: Observation) -> WorkloadState:
        """Return the state that has learnt `observation`; one with no sample in it changes nothing but the kills."""
        state = self._moved_to(observation.kind)
        replicas = observation.load.replicas if observation.load else 0
        for sample in observation.usage:
            state = state._with_usage(sample, replicas=max(1, replicas or len(observation.usage)))
        if observation.load is not None:
            state = state._with_load(observation.load, _cores_of_all(observation), _activity(observation))
        if observation.out_of_memory_bytes:
            state = state._with_kill(max(observation.out_of_memory_bytes))
        return state

    @property
    def capacity(self) -> Capacity:
        """What was measured on the present kind."""
        return Capacity(service=self.service, gpu=self.gpu, concurrency=self.concurrency)

    def capacity_on(self, kind: str) -> Capacity | None:
        """Return what was measured on a kind, or None when too little was."""
        known = self.capacity if kind == self.kind else dict(self.elsewhere).get(kind)
        return known if known is not None and known.is_known else None

    def with_capacity(self, capacity: Capacity) -> WorkloadState:
        """Return the state as if its replicas had this capacity; for asking what would be."""
        return replace(self, service=capacity.service, gpu=capacity.gpu, concurrency=capacity.concurrency)

    def to_json(self) -> dict[str, Any]:
        """Return the state compactly: weights to 1/10,000 of the heaviest, rates to four digits, times to seconds."""
        kill = self.out_of_memory
        return {
            "version": VERSION,
            "cpu": self.cpu.to_json(),
            "cpuTotal": self.cpu_total.to_json(),
            "memory": self.memory.to_json(),
            "gpu": self.gpu.to_json(),
            "gpuMemory": self.gpu_memory.to_json(),
            "rates": self.rates.to_json(),
            "service": self.service.to_json(),
            "concurrency": self.concurrency.to_json(),
            "kind": self.kind,
            "elsewhere": [[kind, capacity.to_json()] for kind, capacity in self.elsewhere],
            "latency": self.latency.to_json(),
            "firstAt": _saved(self.first_at),
            "lastAt": _saved(self.last_at),
            "usageMinutes": [self.usage_minutes, self.usage_minute],
            "outOfMemory": [_saved(kill.at), kill.killed_bytes] if kill else None,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> WorkloadState:
        """Return what `to_json` saved; a state of another version is empty, because it is learnt again."""
        if saved.get("version") != VERSION:
            return cls.empty()
        kill = saved["outOfMemory"]
        return cls(
            cpu=Histogram.from_json(saved["cpu"], CPU_CORES),
            cpu_total=Histogram.from_json(saved["cpuTotal"], CPU_CORES),
            memory=Peaks.from_json(saved["memory"]),
            gpu=Histogram.from_json(saved["gpu"], RATIO),
            gpu_memory=Peaks.from_json(saved["gpuMemory"]),
            rates=Rates.from_json(saved["rates"]),
            service=ServiceTime.from_json(saved["service"]),
            concurrency=Concurrency.from_json(saved["concurrency"]) if "concurrency" in saved else Concurrency(),
            kind=str(saved.get("kind", "")),
            elsewhere=tuple((kind, Capacity.from_json(one)) for kind, one in saved.get("elsewhere", ())),
            latency=LatencyHistory.from_json(saved["latency"]),
            first_at=_loaded(saved["firstAt"]),
            last_at=_loaded(saved["lastAt"]),
            usage_minutes=int(saved["usageMinutes"][0]),
            usage_minute=saved["usageMinutes"][1],
            out_of_memory=OutOfMemory(at=_loaded(kill[0]), killed_bytes=int(kill[1])) if kill else None,
        )

    def _with_usage(self, sample: UsageSample, *, replicas: int) -> WorkloadState:
        at, cores, memory = sample.at, sample.cpu_cores, sample.memory_bytes
        minute = int(at.timestamp()) // 60
        is_new_minute = self.usage_minute is None or minute > self.usage_minute
        return replace(
            self,
            **self._seen(at),
            cpu=self.cpu if cores is None else self.cpu.add(cores, at=at),
            cpu_total=self.cpu_total if cores is None else self.cpu_total.add(cores * replicas, at=at),
            memory=self.memory if memory is None else self.memory.add(memory, at=at),
            gpu=self.gpu if sample.gpu_ratio is None else self.gpu.add(sample.gpu_ratio, at=at),
            gpu_memory=self.gpu_memory
            if sample.gpu_memory_bytes is None
            else self.gpu_memory.add(sample.gpu_memory_bytes, at=at),
            usage_minutes=self.usage_minutes + is_new_minute,
            usage_minute=minute if is_new_minute else self.usage_minute,
        )

    def _moved_to(self, kind: str) -> WorkloadState:
        """Return the state whose capacity is measured on `kind` from now on; what was known of it comes back."""
        if not kind or kind == self.kind:
            return self
        if not self.kind:
            return replace(self, kind=kind)
        others = tuple((name, one) for name, one in self.elsewhere if name not in (kind, self.kind))
        kept = (*others, (self.kind, self.capacity))[-MAX_KINDS:]
        back = dict(self.elsewhere).get(kind, Capacity())
        return replace(self.with_capacity(back), kind=kind, elsewhere=kept)

    def _with_load(self, load: LoadSample, cpu_cores: float | None, activity: float | None) -> WorkloadState:
        return replace(
            self,
            **self._seen(load.at),
            rates=self.rates.add(load.requests, seconds=load.interval_seconds, at=load.at),
            service=self.service.add(load, cpu_cores=cpu_cores),
            concurrency=self.concurrency.add(load, activity=activity),
            latency=self.latency.add(load),
        )

    def _with_kill(self, killed_bytes: int) -> WorkloadState:
        before = self.out_of_memory
        if before is not None and (self.last_at is None or before.holds(self.last_at)):
            killed_bytes = max(killed_bytes, before.killed_bytes)
        return replace(self, out_of_memory=OutOfMemory(at=self.last_at, killed_bytes=killed_bytes))

    def _seen(self, at: datetime) -> dict[str, Any]:
        """Return what a sample at `at` changes, whatever it measured."""
        kill = self.out_of_memory
        return {
            "first_at": at if self.first_at is None else min(at, self.first_at),
            "last_at": at if self.last_at is None else max(at, self.last_at),
            "out_of_memory": kill if kill is None or kill.at is not None else replace(kill, at=at),
        }


def _cores_of_all(observation: Observation) -> float | None:
    """Return the cores that all replicas use, by the mean of those that were measured."""
    measured = [sample.cpu_cores for sample in observation.usage if sample.cpu_cores is not None]
    if not measured or observation.load is None:
        return None
    return sum(measured) / len(measured) * max(observation.load.replicas, len(measured))


def _activity(observation: Observation) -> float | None:
    measured = [sample.gpu_ratio for sample in observation.usage if sample.gpu_ratio is not None]
    return sum(measured) / len(measured) if measured else None


def _saved(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp())


def _loaded(seconds: int | None) -> datetime | None:
    return None if seconds is None else datetime.fromtimestamp(seconds, tz=UTC)
