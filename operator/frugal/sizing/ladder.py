"""The configurations (flavor and count) that a service can run on, from the cheapest up, and the loads they carry.

Memory is a hard floor, the waiting-time objective a limit on the load. Knows no time and no forecast.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from frugal.errors import FrugalError
from frugal.sizing.waiting import Floats, largest_load

TAIL_BUDGET = 0.5  # of the violation target that may be spent while nothing unforeseen happens; the rest is for jumps
SAME_COST = 1e-9  # relative; two prices that differ by less differ by rounding alone
_GRID = 160  # capacities at which the queue is solved; between them sqrt(capacity) interpolates the spare capacity


class NothingFits(FrugalError):
    """No flavor has the memory that the model needs."""

    def __init__(self, needed_gib: float, flavors: tuple[Flavor, ...]) -> None:
        self.needed_gib = needed_gib
        offered = ", ".join(f"{one.name} {one.memory_gib:g}" for one in flavors) or "none"
        super().__init__(
            f"the model needs {needed_gib:g} GiB and no flavor has it with room for a request (GiB: {offered}): "
            "add a larger flavor or compress the model"
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Flavor:
    """One kind of replica: its memory, its price an hour (in any money), and the sequences that it serves at once."""

    name: str
    memory_gib: float
    price_per_hour: float
    sequences: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What must be served and how well.

    service_seconds: mean time that a request holds a sequence. violation_ratio: share of requests that may wait longer
    than the budget. startup_minutes: from the order of a replica until it serves.
    """

    flavors: tuple[Flavor, ...]
    service_seconds: float
    wait_budget_seconds: float
    violation_ratio: float
    startup_minutes: int
    model_memory_gib: float

    def fits(self, flavor: Flavor) -> bool:
        """Tell whether a replica of the flavor can hold the model and serve at least one request."""
        return flavor.memory_gib >= self.model_memory_gib and flavor.sequences >= 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Rung:
    """One configuration: so many replicas of a flavor (by its index in the service)."""

    flavor: int
    replicas: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ladder:
    """Configurations of rising price, each of which carries more load than any cheaper one.

    loads: the load (mean requests in service) that a rung carries within the objective. capacities: sequences.
    prices: an hour, in units of the cheapest rung. flavor, replicas: what a rung is. All of shape (rungs,).
    by_flavor: of each flavor of the service, the loads that 1, 2, ... replicas carry; empty where the model fits not.
    """

    loads: Floats
    capacities: Floats
    prices: Floats
    flavor: NDArray[np.int64]
    replicas: NDArray[np.int64]
    by_flavor: tuple[Floats, ...]

    @property
    def reach(self) -> float:
        """The load up to which every flavor that fits is on the ladder."""
        return min(float(loads[-1]) for loads in self.by_flavor if len(loads))

    def rungs_for(self, loads: Floats) -> NDArray[np.int64]:
        """Return the cheapest rung that carries each load, the highest one where none does."""
        found = np.searchsorted(self.loads, loads * (1 - 1e-12), side="left")
        return np.minimum(found, len(self.loads) - 1)

    def rung(self, index: int) -> Rung:
        """Return what the rung is."""
        return Rung(flavor=int(self.flavor[index]), replicas=int(self.replicas[index]))

    def carried(self, rung: Rung) -> float:
        """Return the load that a rung carries, 0 for one without replicas or without the memory for the model."""
        loads = self.by_flavor[rung.flavor]
        return float(loads[min(rung.replicas, len(loads)) - 1]) if len(loads) and rung.replicas > 0 else 0.0

    def fewest(self, flavor: int, load: float) -> int | None:
        """Return the fewest replicas of a flavor that carry the load; None where the model does not fit."""
        loads = self.by_flavor[flavor]
        return min(int(np.searchsorted(loads, load * (1 - 1e-12))) + 1, len(loads)) if len(loads) else None


def carried_load(service: Service, capacities: Floats) -> Floats:
    """Return the load that each capacity carries while `TAIL_BUDGET` of the violation target is spent."""
    return largest_load(
        capacities,
        wait_budget_seconds=service.wait_budget_seconds,
        service_seconds=service.service_seconds,
        late_ratio=service.violation_ratio * TAIL_BUDGET,
    )


def build_ladder(service: Service, *, up_to_load: float) -> Ladder:
    """Return the configurations worth choosing up to the first that carries `up_to_load`; raises NothingFits."""
    fitting = [(index, one) for index, one in enumerate(service.flavors) if service.fits(one)]
    if not fitting:
        raise NothingFits(service.model_memory_gib, service.flavors)
    cheapest = min(one.price_per_hour for _, one in fitting) or 1.0
    columns = [_counts(service, index, one, cheapest, up_to_load) for index, one in fitting]
    by_flavor = {int(column[3][0]): column[0] for column in columns}
    loads, capacities, prices, flavors, counts = (np.concatenate(parts) for parts in zip(*columns, strict=True))
    order = np.lexsort((flavors, -loads, np.round(prices, 9)))
    highest = np.maximum.accumulate(loads[order])
    best = order[np.concatenate(([True], highest[1:] > highest[:-1] * (1 + SAME_COST)))]
    return Ladder(
        loads=loads[best],
        capacities=capacities[best],
        prices=prices[best],
        flavor=flavors[best].astype(np.int64),
        replicas=counts[best].astype(np.int64),
        by_flavor=tuple(by_flavor.get(index, np.zeros(0)) for index in range(len(service.flavors))),
    )


def _counts(
    service: Service, index: int, flavor: Flavor, cheapest: float, up_to_load: float
) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """Return loads, capacities, prices, flavor and counts of one flavor from one replica up."""
    margin = 4 * np.sqrt(up_to_load + 1) + 8 * service.service_seconds / max(service.wait_budget_seconds, 1e-3)
    last = int(np.ceil((up_to_load + min(margin, up_to_load + 40)) / flavor.sequences)) + 1
    counts = np.arange(1.0, last + 1)
    capacities = counts * flavor.sequences
    loads = carried_load(service, capacities) if last <= _GRID else _interpolated(service, capacities)
    return loads, capacities, counts * flavor.price_per_hour / cheapest, np.full(last, float(index)), counts


def _interpolated(service: Service, capacities: Floats) -> Floats:
    """Return the carried loads of many capacities from a few that grow geometrically."""
    grid = np.unique(np.concatenate((capacities[:32], np.geomspace(capacities[0], capacities[-1], _GRID))))
    spare = grid - carried_load(service, grid)
    return capacities - np.interp(np.sqrt(capacities), np.sqrt(grid), spare)
