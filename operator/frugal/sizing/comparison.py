"""Our policy and those of the field on one load, each with its cost relative to the least possible. Prints nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from frugal.sizing.ladder import Rung, Service, build_ladder
from frugal.sizing.oracle import least_cost
from frugal.sizing.policy import SizingPolicy
from frugal.sizing.rivals import (
    Hpa,
    KnowsNext,
    Percentile,
    Saturation,
    SeasonalNaive,
    StaticPeak,
    plain_flavor,
)
from frugal.sizing.simulation import Outcome, Policy, simulate
from frugal.sizing.waiting import Floats

OURS = "Frugal"
HINDSIGHT = "HPA, target chosen in hindsight"
HPA_TARGETS = tuple(round(0.9 - 0.05 * step, 2) for step in range(17))  # 0.9 to 0.1
DAY = 1_440


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What came: requests and mean requests in service of each minute; all of shape (minutes,)."""

    requests: Floats
    loads: Floats

    @property
    def warm_up_minutes(self) -> int:
        """The first day, or a quarter of what is shorter than two."""
        return DAY if len(self.loads) >= 2 * DAY else len(self.loads) // 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Line:
    """What one policy came to. cost_ratio: to the clairvoyant oracle."""

    policy: str
    cost: float
    cost_ratio: float
    late_ratio: float
    changes_per_day: float


def compare(service: Service, load: Load) -> list[Line]:
    """Return a line for each policy, ours first; raises NothingFits."""
    least = least_cost(service, load.loads, count_from=load.warm_up_minutes)
    outcomes = {name: run(make(), service, load) for name, make in policies(service, load).items()}
    outcomes[HINDSIGHT] = hpa_in_hindsight(service, load)
    return [line(name, outcome, least) for name, outcome in outcomes.items()]


def line(name: str, outcome: Outcome, least: float) -> Line:
    """Return an outcome beside the least cost."""
    return Line(
        policy=name,
        cost=outcome.cost,
        cost_ratio=outcome.cost / least,
        late_ratio=outcome.late_ratio,
        changes_per_day=outcome.changes_per_day,
    )


def policies(service: Service, load: Load) -> dict[str, Callable[[], Policy]]:
    """Return every policy by name, none with a state yet."""
    return {
        OURS: lambda: SizingPolicy(service),
        "static peak": lambda: StaticPeak(service, load.loads),
        "HPA at 70 %": lambda: Hpa(service),
        "VPA p90 + 15 %": lambda: Percentile(
            service, quantile=0.9, margin=0.15, half_life_minutes=DAY, has_bounds=True
        ),
        "KRR p95": lambda: Percentile(service, quantile=0.95, margin=0.0, half_life_minutes=None, has_bounds=False),
        "seasonal-naive + 10 %": lambda: SeasonalNaive(service),
        "llm-d saturation": lambda: Saturation(service),
        "knows the next minutes": lambda: KnowsNext(service, load.loads.tolist()),
    }


def run(policy: Policy, service: Service, load: Load) -> Outcome:
    """Return what a policy comes to from a warm start."""
    return simulate(
        policy,
        service,
        loads=load.loads,
        requests=load.requests,
        start=warm_start(service, load),
        count_from=load.warm_up_minutes,
    )


def warm_start(service: Service, load: Load) -> Rung:
    """Return replicas for one and a half times the first minute's load, of the flavor that rivals use."""
    first = 1.5 * float(load.loads[0])
    flavor = plain_flavor(service)
    count = build_ladder(service, up_to_load=first).fewest(flavor, first)
    return Rung(flavor=flavor, replicas=count or 1)


def hpa_in_hindsight(service: Service, load: Load) -> Outcome:
    """Return the cheapest HPA target that kept the violation target; the safest where none did."""
    outcomes = [run(Hpa(service, target), service, load) for target in HPA_TARGETS]
    kept = [one for one in outcomes if one.late_ratio <= service.violation_ratio]
    if not kept:
        return min(outcomes, key=lambda one: one.late_ratio)
    return min(kept, key=lambda one: one.cost)


def geometric_mean(ratios: list[float]) -> float:
    """Return the geometric mean of ratios above 0."""
    return float(np.exp(np.mean(np.log(ratios))))
