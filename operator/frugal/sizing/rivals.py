"""The sizing rules of the field, as their documents describe them, for the simulator; the operator uses none of them.

Each is given the cheapest flavor that fits for its whole life, as these tools choose no kind.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable

import numpy as np

from frugal.sizing.ladder import Ladder, Rung, Service, build_ladder
from frugal.sizing.minute import Minute
from frugal.sizing.waiting import Floats

HPA_DOWN_MINUTES = 5  # stabilization window of scaling down: the default of autoscaling/v2
HPA_TOLERANCE = 0.1  # no change while the ratio is within it: the default of kube-controller-manager
WEEK, DAY = 7 * 1_440, 1_440


def plain_flavor(service: Service) -> int:
    """Return the flavor with the cheapest sequence among those that hold the model; raises NothingFits."""
    build_ladder(service, up_to_load=0.0)
    fitting = [index for index, one in enumerate(service.flavors) if service.fits(one)]
    return min(fitting, key=lambda index: service.flavors[index].price_per_hour / service.flavors[index].sequences)


class StaticPeak:
    """So many replicas as the highest load of all needs, from the first minute on: sized with hindsight."""

    def __init__(self, service: Service, loads: Floats) -> None:
        ladder = build_ladder(service, up_to_load=float(loads.max()))
        self.rung = ladder.rung(int(ladder.rungs_for(np.array(loads.max()))))

    def decide(self, minute: Minute) -> Rung:
        """Return the same configuration each time."""
        return self.rung


class Hpa:
    """The Horizontal Pod Autoscaler on utilization, with its tolerance and its window for scaling down."""

    def __init__(self, service: Service, target_ratio: float = 0.7) -> None:
        self.flavor = plain_flavor(service)
        self.sequences = service.flavors[self.flavor].sequences
        self.target_ratio = target_ratio
        self.proposed: deque[int] = deque(maxlen=HPA_DOWN_MINUTES)

    def decide(self, minute: Minute) -> Rung:
        """Return ceil(ready x utilization / target) replicas, the highest of the window; at most twice as many."""
        ready = minute.ready or 1
        utilization = min(1.0, minute.load / (ready * self.sequences))
        ratio = utilization / self.target_ratio
        wanted = ready if abs(ratio - 1) <= HPA_TOLERANCE else math.ceil(ready * ratio - 1e-9)
        current = minute.rung.replicas if minute.rung else ready
        self.proposed.append(max(1, wanted))
        steady = max(self.proposed)
        return Rung(flavor=self.flavor, replicas=min(max(steady, wanted), max(2 * current, current + 4)))


class Percentile:
    """VPA (p90 of a decaying histogram, 15 % and its confidence) or KRR (p95): so much capacity as use had at most.

    half_life_minutes: of a sample's weight; None where all count alike. has_bounds: as VPA, it changes only what lies
    outside p50 / (1 + 0.001 / days)^2 and p95 x (1 + 1 / days), each with the margin; KRR changes what differs.
    """

    def __init__(
        self, service: Service, *, quantile: float, margin: float, half_life_minutes: float | None, has_bounds: bool
    ) -> None:
        self.flavor = plain_flavor(service)
        self.sequences = service.flavors[self.flavor].sequences
        self.quantile, self.margin, self.has_bounds = quantile, margin, has_bounds
        self.fade = 0.5 ** (1 / half_life_minutes) if half_life_minutes else 1.0
        self.weights: Floats = np.zeros(len(_EDGES))
        self.weight, self.minutes = 1.0, 0

    def decide(self, minute: Minute) -> Rung:
        """Return replicas for the quantile of the load, once an hour."""
        self.weight /= self.fade
        self.weights[int(np.searchsorted(_EDGES, minute.load).clip(0, len(_EDGES) - 1))] += self.weight
        self.minutes += 1
        current = minute.rung.replicas if minute.rung else 1
        days = self.minutes / DAY
        is_kept = self.has_bounds and (
            self._replicas(0.5, (1 + 0.001 / days) ** -2) <= current <= self._replicas(0.95, 1 + 1 / days)
        )
        wanted = current if is_kept or self.minutes % 60 else self._replicas(self.quantile, 1.0)
        return Rung(flavor=self.flavor, replicas=max(1, wanted))

    def _replicas(self, quantile: float, confidence: float) -> int:
        summed = np.cumsum(self.weights)
        found = float(_EDGES[int(np.searchsorted(summed, quantile * summed[-1]))])
        return math.ceil(found * (1 + self.margin) * confidence / self.sequences)


_EDGES = 0.01 * 1.05 ** np.arange(300)  # loads; VPA's buckets grow by 5 % too


class SeasonalNaive:
    """What the same minutes brought a week ago (a day ago while there is no week), and a tenth."""

    def __init__(self, service: Service, *, margin: float = 0.1) -> None:
        self.service, self.margin = service, margin
        self.loads: list[float] = []
        self.ladder: Ladder = build_ladder(service, up_to_load=1.0)
        self.flavor = plain_flavor(service)

    def decide(self, minute: Minute) -> Rung:
        """Return the cheapest configuration for that load; for the load of now while there is no day."""
        self.loads.append(minute.load)
        ahead = self.service.startup_minutes + 1
        season = next((one for one in (WEEK, DAY) if len(self.loads) > one), None)
        start = len(self.loads) - season if season else len(self.loads) - 1
        wanted = max(self.loads[start : start + ahead]) * (1 + self.margin)
        return _fewest(self, wanted)


class Saturation:
    """llm-d's default rule: one more replica when the spare capacity of a replica falls below a trigger, one less when
    the rest would still be above it. It knows no objective.
    """

    def __init__(self, service: Service, *, threshold_ratio: float = 0.8, spare_ratio: float = 0.1) -> None:
        self.flavor = plain_flavor(service)
        self.sequences = service.flavors[self.flavor].sequences
        self.threshold_ratio, self.spare_ratio = threshold_ratio, spare_ratio

    def decide(self, minute: Minute) -> Rung:
        """Return one more, one less, or as many; it waits while replicas start."""
        ready = minute.ready or 1
        current = minute.rung.replicas if minute.rung else ready
        if current != ready:
            return Rung(flavor=self.flavor, replicas=current)
        used = minute.load / self.sequences
        if self.threshold_ratio - used / ready < self.spare_ratio:
            return Rung(flavor=self.flavor, replicas=ready + 1)
        if ready > 1 and self.threshold_ratio - used / (ready - 1) >= self.spare_ratio:
            return Rung(flavor=self.flavor, replicas=ready - 1)
        return Rung(flavor=self.flavor, replicas=ready)


class KnowsNext:
    """Knows the next minutes until a new replica serves, and nothing after them; holds for as long."""

    def __init__(self, service: Service, loads: Iterable[float]) -> None:
        self.service = service
        self.future = [*loads]
        self.ladder: Ladder = build_ladder(service, up_to_load=max(self.future))
        self.flavor = plain_flavor(service)
        self.held: deque[float] = deque(maxlen=service.startup_minutes + 1)

    def decide(self, minute: Minute) -> Rung:
        """Return the cheapest configuration for the highest load that is known."""
        ahead = self.future[minute.t + 1 : minute.t + 2 + self.service.startup_minutes]
        self.held.append(max(ahead, default=minute.load))
        return _fewest(self, max(self.held))


def _fewest(policy: SeasonalNaive | KnowsNext, load: float) -> Rung:
    if load >= policy.ladder.reach:
        policy.ladder = build_ladder(policy.service, up_to_load=2 * load)
    return Rung(flavor=policy.flavor, replicas=policy.ladder.fewest(policy.flavor, load) or 1)
