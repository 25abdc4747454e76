"""The least that a load could have cost had it been known: what every policy of the simulator is compared with.

It keeps the objective in every minute, pays start-up and removal like everybody, and is never late. It decides nothing.
"""

from __future__ import annotations

import numpy as np

from frugal.sizing.ladder import Service, build_ladder
from frugal.sizing.waiting import Floats, largest_load

_MARGIN = 60  # replicas over the load's own, for the queue


def least_cost(service: Service, loads: Floats, *, count_from: int) -> float:
    """Return the price-hours of minutes `count_from` and later; raises NothingFits.

    For one flavor: the replicas that each minute needs, with gaps filled that are shorter than starting again takes
    (exact). Between flavors: the cheapest path of such series, a change paying for both while the new ones start.
    """
    build_ladder(service, up_to_load=0.0)
    fitting = [one for one in range(len(service.flavors)) if service.fits(service.flavors[one])]
    needs = {flavor: _needs(service, flavor, loads) for flavor in fitting}
    prices = {flavor: service.flavors[flavor].price_per_hour / 60 for flavor in fitting}
    running = {flavor: _running(needs[flavor], service.startup_minutes) * prices[flavor] for flavor in fitting}
    total = dict.fromkeys(fitting, 0.0)
    for t in range(count_from, len(loads)):
        left = {one: total[one] + needs[one][max(t - 1, 0)] * prices[one] for one in fitting}
        cheapest = min(left.values()) if t > count_from else np.inf
        starts = service.startup_minutes
        total = {
            one: min(total[one], cheapest + starts * needs[one][t] * prices[one]) + float(running[one][t])
            for one in fitting
        }
    return min(total.values())


def _needs(service: Service, flavor: int, loads: Floats) -> Floats:
    """Return the replicas of each minute, gaps filled."""
    sequences = service.flavors[flavor].sequences
    most = int(np.ceil(loads.max() / sequences)) + _MARGIN
    carried = largest_load(
        np.arange(1.0, most + 1) * sequences,
        wait_budget_seconds=service.wait_budget_seconds,
        service_seconds=service.service_seconds,
        late_ratio=service.violation_ratio,
    )
    return _closed((np.searchsorted(carried, loads) + 1).astype(float), service.startup_minutes + 1)


def _closed(needs: Floats, gap: int) -> Floats:
    """Return the needs with every gap of at most `gap` minutes filled to the lower of its sides (a closing)."""
    ahead = np.pad(needs, (0, gap), mode="edge")
    dilated = np.max([ahead[shift : shift + len(needs)] for shift in range(gap + 1)], axis=0)
    behind = np.pad(dilated, (gap, 0), mode="edge")
    closed = np.min([behind[gap - shift : gap - shift + len(needs)] for shift in range(gap + 1)], axis=0)
    filled: Floats = np.maximum(closed, needs)
    return filled


def _running(needs: Floats, startup_minutes: int) -> Floats:
    """Return the billed replicas: each from its order, and for a minute after its removal."""
    steps = np.diff(needs, prepend=needs[0])
    billed: Floats = needs + np.maximum(steps, 0) * startup_minutes + np.maximum(-steps, 0)
    return billed
