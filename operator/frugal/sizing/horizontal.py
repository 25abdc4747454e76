"""How many replicas carry the load within the objective. Knows what a replica is given only as a number of servers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import Enum

from frugal.api.inference_deployment import LatencyObjective
from frugal.sizing.queueing import Server, replicas_for_objective, replicas_for_utilization
from frugal.sizing.state import WorkloadState
from frugal.sizing.vertical import confidence, samples_for

USUAL_QUANTILE = 0.99  # of the minutes' rates, where no objective names one
RECENT_SECONDS = 3_600.0


class Basis(Enum):
    """What the number of replicas rests on."""

    OBJECTIVE = "objective"
    UTILIZATION = "utilization"  # there is no objective
    SERVICE_TOO_SLOW = "service too slow"  # one request alone computes longer than the threshold
    UNMEASURED = "unmeasured"  # no load, or no service time yet: replicas stay


@dataclass(frozen=True, slots=True, kw_only=True)
class ReplicaNeed:
    """Replicas for the load, before `min` and `max`.

    usual: for the rate that is usual, without what the last hour holds; the CPU of a replica rests on it, so that a
        burst changes replicas and restarts nothing.
    rate: requests per second that `target` is made for. replica: None where no service time was measured.
    """

    basis: Basis
    lower: int
    target: int
    upper: int
    usual: int
    rate: float = 0.0
    replica: Server | None = None


def kept(replicas: int, basis: Basis) -> ReplicaNeed:
    """Return the need that leaves the replicas as they are."""
    return ReplicaNeed(basis=basis, lower=replicas, target=replicas, upper=replicas, usual=replicas)


def replica_need(
    state: WorkloadState,
    *,
    objective: LatencyObjective | None,
    servers_per_replica: int,
    cores_per_replica: int,
    applied_replicas: int,
) -> ReplicaNeed:
    """Return the replicas for the peak rate; bounds for the median and for the widened highest rate.

    servers_per_replica: requests that it computes at a time. cores_per_replica: whole cores that these share.
    """
    rate = 0.0 if state.rates.is_empty else state.rates.peak(rate_quantile(objective))
    replica = _server(state, servers_per_replica, cores_per_replica)
    if state.rates.is_empty or (replica is None and rate > 0):
        return kept(applied_replicas, Basis.UNMEASURED)

    def count(for_rate: float) -> int:
        return 1 if replica is None or for_rate == 0 else _count(for_rate, replica, objective)

    highest = max(rate, state.rates.peak(1.0)) * (1 + 1 / confidence(state))
    return ReplicaNeed(
        basis=_basis(replica, objective),
        lower=count(min(rate, state.rates.usual(0.5))),
        target=count(rate),
        upper=count(highest),
        usual=count(state.rates.usual(rate_quantile(objective)) or rate),
        rate=rate,
        replica=replica,
    )


def rate_quantile(objective: LatencyObjective | None) -> float:
    """Return which quantile of the minutes' rates to carry: as many minutes as requests must be in time."""
    return objective.quantile if objective else USUAL_QUANTILE


def samples_for_fewer(objective: LatencyObjective | None) -> int:
    """Return how many minutes of load must be known before replicas are taken away."""
    return samples_for(rate_quantile(objective))


def is_objective_missed(state: WorkloadState, objective: LatencyObjective | None, *, now: datetime) -> bool:
    """Tell whether the last hour's requests, when there were enough to judge, missed the objective."""
    if objective is None:
        return False
    requests = state.latency.requests(window_seconds=RECENT_SECONDS, now=now)
    share = state.latency.share_within(objective.threshold.seconds, window_seconds=RECENT_SECONDS, now=now)
    return requests >= samples_for(objective.quantile) and share is not None and share < objective.quantile


def _server(state: WorkloadState, servers: int, cores: int) -> Server | None:
    """Return what a replica can do, or None where no service time was measured.

    A request occupies its server at least while it computes, and for its share of the cores' time with the CPU that it
    takes around that: what parses a request cannot compute the next one.
    """
    service = state.service.mean_seconds
    if not service:
        return None
    cpu = state.service.cpu_seconds_per_request or 0.0
    return Server(servers=servers, service_seconds=service, occupied_seconds=max(service, cpu * servers / cores))


def _basis(replica: Server | None, objective: LatencyObjective | None) -> Basis:
    if objective is None:
        return Basis.UTILIZATION
    is_too_slow = replica is not None and replica.service_seconds > objective.threshold.seconds
    return Basis.SERVICE_TOO_SLOW if is_too_slow else Basis.OBJECTIVE


def _count(rate: float, replica: Server, objective: LatencyObjective | None) -> int:
    """An objective that no number of replicas keeps still gets enough of them to carry the load."""
    carrying = replicas_for_utilization(rate, replica=replica)
    if objective is None:
        return carrying
    within = replicas_for_objective(
        rate, replica=replica, threshold_seconds=objective.threshold.seconds, quantile=objective.quantile
    )
    return carrying if within is None else within
