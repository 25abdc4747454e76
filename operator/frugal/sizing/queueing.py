"""Waiting in a queue with several servers (M/M/c, Erlang C) and the replicas that keep a latency objective.

Each replica is a queue of its own: kube-proxy and a plain load balancer pick a replica without looking at its queue.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

MAX_UTILIZATION = 0.7  # without an objective: the HPA's customary target, far enough from saturation for bursts
MAX_REPLICAS = 100_000  # where a search for the number needed ends


def erlang_b(offered_load: float, servers: int) -> float:
    """Return the probability that all of `servers` are busy when who finds them so leaves (A. K. Erlang, 1917).

    offered_load: arrival rate times service time, in erlangs. The recursion B(c) = a B(c-1) / (c + a B(c-1)) is stable.
    """
    blocked = 1.0
    for count in range(1, servers + 1):
        blocked = offered_load * blocked / (count + offered_load * blocked)
    return blocked


def erlang_c(offered_load: float, servers: int) -> float:
    """Return the probability that an arrival must wait; 1 when the servers cannot carry the load."""
    if offered_load >= servers:
        return 1.0
    blocked = erlang_b(offered_load, servers)
    return servers * blocked / (servers - offered_load * (1 - blocked))


def waits_longer_ratio(offered_load: float, *, service_seconds: float, servers: int, wait_seconds: float) -> float:
    """Return the share of arrivals that wait longer than `wait_seconds` in M/M/c, first come, first served.

    P(W > t) = C(c, a) * exp(-(c - a) * t / S); 1 when the load is not less than the servers.
    """
    if offered_load >= servers:
        return 1.0
    rest = math.exp(-(servers - offered_load) * max(0.0, wait_seconds) / service_seconds)
    return erlang_c(offered_load, servers) * rest


@dataclass(frozen=True, slots=True, kw_only=True)
class Server:
    """What one replica can do: `servers` requests at a time.

    service_seconds: compute time of a request, above 0. occupied_seconds: for how long it takes one of the servers,
    with the CPU time around its computing; at least `service_seconds`.
    """

    servers: int
    service_seconds: float
    occupied_seconds: float


def late_ratio(rate_per_second: float, *, replicas: int, replica: Server, threshold_seconds: float) -> float:
    """Return the share of requests that take longer than the threshold when `replicas` share the rate evenly.

    A request is late when it waits longer than the threshold less its mean service time: a model of fixed size computes
    about equally long each time. Exponential service in the wait keeps this on the safe side (M/D/c waits less).
    """
    if replica.service_seconds > threshold_seconds:
        return 1.0
    return waits_longer_ratio(
        rate_per_second / replicas * replica.occupied_seconds,
        service_seconds=replica.service_seconds,
        servers=replica.servers,
        wait_seconds=threshold_seconds - replica.service_seconds,
    )


def replicas_for_objective(
    rate_per_second: float, *, replica: Server, threshold_seconds: float, quantile: float
) -> int | None:
    """Return the fewest replicas that answer the share `quantile` within the threshold, at least 1.

    None when no number does: the service time alone is over the threshold.
    """
    if replica.service_seconds > threshold_seconds:
        return None

    def holds(replicas: int) -> bool:
        late = late_ratio(rate_per_second, replicas=replicas, replica=replica, threshold_seconds=threshold_seconds)
        return late <= 1 - quantile

    return _fewest(holds)


def replicas_for_utilization(rate_per_second: float, *, replica: Server) -> int:
    """Return the fewest replicas, at least 1, that are busy for at most `MAX_UTILIZATION` of the time."""
    offered_load = rate_per_second * replica.occupied_seconds
    return max(1, math.ceil(offered_load / replica.servers / MAX_UTILIZATION - 1e-9))


def _fewest(holds: Callable[[int], bool]) -> int:
    """Return the smallest count for which `holds`; more must never hold less. Ends at `MAX_REPLICAS`."""
    high = 1
    while high < MAX_REPLICAS and not holds(high):
        high *= 2
    low = high // 2  # does not hold, or is 0
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if holds(middle) else (middle, high)
    return min(high, MAX_REPLICAS)
