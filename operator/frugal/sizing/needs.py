"""What a workload needs, vertical and horizontal together, and what of it may be asked for now. Says nothing."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

from frugal.sizing.horizontal import (
    ReplicaNeed,
    is_objective_missed,
    replica_need,
    samples_for_fewer,
)
from frugal.sizing.request import SizingRequest
from frugal.sizing.state import WorkloadState
from frugal.sizing.vertical import (
    CPU_QUANTILE,
    MEMORY_QUANTILE,
    Need,
    cpu_need,
    memory_need,
    out_of_memory_floor,
    samples_for,
    settled,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Chosen:
    """An amount to ask for, and why it is not what was needed; the note is empty when it is."""

    amount: float
    note: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Needs:
    """Needs of one replica in cores and bytes when `count` of them run, and what is chosen of each.

    cpu, memory: None where they were not measured; the request then stays.
    """

    replicas: ReplicaNeed
    count: Chosen
    cpu: Need | None
    memory: Need | None
    chosen_cpu: Chosen
    chosen_memory: Chosen


def needs_of(state: WorkloadState, request: SizingRequest, *, now: datetime) -> Needs:
    """Return the needs; fewer cores mean less that a replica can do, so both are found together.

    The cores of a replica only fall from round to round, so the search ends; it starts from what runs now.
    """
    cores = _whole_cores(request.applied.cpu.cores)
    while True:
        needs = _needs_with(state, request, cores, now)
        left = min(cores, _whole_cores(needs.chosen_cpu.amount))
        if left == cores:
            return needs
        cores = left


def _needs_with(state: WorkloadState, request: SizingRequest, cores: int, now: datetime) -> Needs:
    replicas = _replica_need(state, request, cores)
    count = _choose_count(replicas, state, request, now)
    shared_by = _shared_by(replicas, state, request) if request.scaling_owned else None
    cpu = None if state.cpu.is_empty else cpu_need(state, replicas=shared_by)
    memory = None if state.memory.is_empty else memory_need(state, now=now)
    return Needs(
        replicas=replicas,
        count=count,
        cpu=cpu,
        memory=memory,
        chosen_cpu=_choose("CPU", cpu, request.applied.cpu.cores, CPU_QUANTILE, state, request),
        chosen_memory=_choose_memory(memory, state, request, now),
    )


def _replica_need(state: WorkloadState, request: SizingRequest, cores: int) -> ReplicaNeed:
    return replica_need(
        state,
        objective=request.slo,
        servers_per_replica=request.servers_per_replica or _measured_servers(state) or cores,
        cores_per_replica=cores,
        applied_replicas=request.applied.replicas,
    )


def _measured_servers(state: WorkloadState) -> int:
    """Return how many requests a busy replica was seen to serve at once, rounded down; 0 where it was not measured."""
    requests = state.concurrency.requests
    return max(1, int(requests)) if requests is not None else 0


def _choose_count(need: ReplicaNeed, state: WorkloadState, request: SizingRequest, now: datetime) -> Chosen:
    """Choose the number of replicas, or what an external scaler would be told.

    Never below `min` or 1 (nothing would wake a service at 0), never above `max`, not fewer without evidence.
    """
    applied = request.applied.replicas
    least, most = max(1, request.min_replicas), request.max_replicas
    wanted = min(max(need.target, least), most)
    asked = request.min_shrink_samples or samples_for_fewer(request.slo)
    if wanted < min(applied, most):
        if state.rates.minutes < asked:
            return Chosen(amount=min(applied, most), note=_too_few("replicas stay", state.rates.minutes, asked))
        if is_objective_missed(state, request.slo, now=now):
            return Chosen(amount=min(applied, most), note="replicas stay while the last hour misses the objective")
    note = f"{need.target} would be needed, replicas.max is {most}" if need.target > most else ""
    return Chosen(amount=wanted, note=note)


def _shared_by(need: ReplicaNeed, state: WorkloadState, request: SizingRequest) -> int:
    """Return by how many replicas the CPU is shared: as many as the usual load needs."""
    usual = min(max(need.usual, request.min_replicas, 1), request.max_replicas)
    asked = request.min_shrink_samples or samples_for_fewer(request.slo)
    return usual if state.rates.minutes >= asked else max(usual, min(request.applied.replicas, request.max_replicas))


def _choose(
    name: str, need: Need | None, applied: float, quantile: float, state: WorkloadState, request: SizingRequest
) -> Chosen:
    if need is None:
        return Chosen(amount=applied, note=f"{name} stays: it was not measured")
    wanted = settled(need, applied)
    asked = request.min_shrink_samples or samples_for(quantile)
    if wanted < applied and state.usage_minutes < asked:
        return Chosen(amount=applied, note=_too_few(f"{name} stays", state.usage_minutes, asked))
    return Chosen(amount=wanted)


def _choose_memory(need: Need | None, state: WorkloadState, request: SizingRequest, now: datetime) -> Chosen:
    chosen = _choose("memory", need, float(request.applied.memory.value), MEMORY_QUANTILE, state, request)
    floor = out_of_memory_floor(state, now=now)
    if not floor or state.out_of_memory is None:
        return chosen
    return Chosen(amount=max(chosen.amount, floor), note="twice what the killed container had")


def _too_few(what: str, samples: int, asked: int) -> str:
    return f"{what}: {samples} of the {asked} minutes that a shrink needs are measured"


def _whole_cores(cores: float) -> int:
    return max(1, int(cores + 1e-9))
