"""What a policy would cost and miss on a load trace: minute steps, start-up time, billing, queue and backlog.

The model is that of docs/benchmarks.md. Policies see the minutes that are over alone; nothing here chooses.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from frugal.sizing.ladder import Rung, Service
from frugal.sizing.minute import Minute
from frugal.sizing.waiting import Floats, late_share

SLOW_REMOVAL_MINUTES = 1  # billed after a replica is told to go


class Policy(Protocol):
    """Answers each minute with what should run from now on."""

    def decide(self, minute: Minute) -> Rung:
        """Return the flavor and count to order."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What a policy came to over the counted minutes.

    cost: in price-hours. late_ratio: share of requests that waited longer than the budget. changes_per_day: of flavor
    or count. capacities: of every minute.
    """

    cost: float
    late_ratio: float
    changes_per_day: float
    capacities: Floats


@dataclass(slots=True)
class _Cluster:
    """Replicas that serve, that start (with the minutes left), and old ones that serve until a new flavor does."""

    service: Service
    rung: Rung
    ready: int
    starting: list[tuple[int, int]] = field(default_factory=list)  # minutes left, replicas
    old: tuple[int, int] | None = None  # flavor, replicas

    def order(self, wanted: Rung) -> float:
        """Turn to the wanted rung and return what removed replicas still cost, in price-minutes."""
        before = self.rung
        self.rung = wanted
        if wanted.flavor != before.flavor:
            return self._turn(before, wanted)
        missing = wanted.replicas - self.ready - sum(count for _, count in self.starting)
        if missing > 0:
            self.starting.append((self.service.startup_minutes, missing))
        return self._remove(-missing) * SLOW_REMOVAL_MINUTES if missing < 0 else 0.0

    def _turn(self, before: Rung, wanted: Rung) -> float:
        """Order all of the new flavor; the old ready ones stay. Those that were starting go."""
        gone = sum(count for _, count in self.starting) * self._price(before.flavor)
        if self.old is None:
            self.old = (before.flavor, self.ready)
        elif self.old[0] == wanted.flavor:  # back again before the new ones served
            self.ready, self.old, self.starting = self.old[1], None, []
            return gone + self.order(wanted)
        self.ready, self.starting = 0, [(self.service.startup_minutes, wanted.replicas)]
        return gone

    def _remove(self, count: int) -> float:
        """Take away starting ones first, then ready ones; return their price."""
        left = count
        while left and self.starting:
            minutes, starting = self.starting.pop()
            gone = min(left, starting)
            left -= gone
            if starting > gone:
                self.starting.append((minutes, starting - gone))
        self.ready -= left
        return count * self._price(self.rung.flavor)

    def serve(self) -> tuple[float, float]:
        """Return the capacity of the minute and what it costs, in price-minutes, then let the minute pass."""
        began = [(left, count) for left, count in self.starting if left > 0]
        self.ready += sum(count for left, count in self.starting if left <= 0)
        self.starting = [(left - 1, count) for left, count in began]
        freed = 0.0
        if self.old is not None and self.ready >= self.rung.replicas:
            freed = self.old[1] * self._price(self.old[0]) * SLOW_REMOVAL_MINUTES
            self.old = None
        running = self.ready + sum(count for _, count in self.starting)
        cost = running * self._price(self.rung.flavor) + freed
        capacity = self.ready * self.service.flavors[self.rung.flavor].sequences
        if self.old is not None:
            cost += self.old[1] * self._price(self.old[0])
            capacity = self.old[1] * self.service.flavors[self.old[0]].sequences
        return capacity, cost

    def _price(self, flavor: int) -> float:
        return self.service.flavors[flavor].price_per_hour


def simulate(
    policy: Policy, service: Service, *, loads: Floats, requests: Floats, start: Rung, count_from: int
) -> Outcome:
    """Return what the policy comes to on minutes `count_from` and later; those before are for warming up.

    loads, requests: of each minute. start: what runs, ready, in minute 0.
    """
    cluster = _Cluster(service=service, rung=start, ready=start.replicas)
    backlog, cost, late, changes = 0.0, 0.0, 0.0, 0
    capacities = np.zeros(len(loads))
    for t, (load, arrived) in enumerate(zip(loads.tolist(), requests.tolist(), strict=True)):
        capacity, price = cluster.serve()
        capacities[t] = capacity
        share = late_in_minute(service, load=load, capacity=capacity, backlog_seconds=backlog)
        backlog = max(0.0, backlog + (load - capacity) * 60)
        minute = Minute(
            t=t, requests=arrived, load=load, util=min(1.0, load / capacity) if capacity else 1.0, capacity=capacity,
            backlog_seconds=backlog, violations=arrived * share, rung=cluster.rung, ready=cluster.ready,
        )  # fmt: skip
        before = cluster.rung
        price += cluster.order(policy.decide(minute))
        if t >= count_from:
            cost, late, changes = cost + price, late + arrived * share, changes + (cluster.rung != before)
    counted = len(loads) - count_from
    return Outcome(
        cost=cost / 60,
        late_ratio=late / max(1.0, float(requests[count_from:].sum())),
        changes_per_day=changes / counted * 1_440,
        capacities=capacities,
    )


def late_in_minute(service: Service, *, load: float, capacity: float, backlog_seconds: float) -> float:
    """Return the share of a minute's requests that wait too long: the larger of the queue's tail and the backlog's.

    A backlog of B request-seconds means a wait of B / capacity, and shrinks by capacity - load a second.
    """
    if load >= capacity:
        return 1.0 if load > 0 else 0.0
    over = max(0.0, backlog_seconds - service.wait_budget_seconds * capacity)
    fluid = min(1.0, over / ((capacity - load) * 60))
    tail = late_share(
        np.array(load),
        np.array(capacity),
        wait_budget_seconds=service.wait_budget_seconds,
        service_seconds=service.service_seconds,
    )
    return max(fluid, float(tail))
