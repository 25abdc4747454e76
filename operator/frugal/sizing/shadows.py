"""Every sizing rule replayed beside the service on its load: what each would have cost and missed so far.

The load is open loop (who asks does not wait for capacity), so a rule need not have acted to be judged.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from frugal.sizing.ladder import TAIL_BUDGET, Ladder, Service
from frugal.sizing.recent import RecentLoad
from frugal.sizing.rules import Rules, all_rules
from frugal.sizing.waiting import Floats

HALF_LIFE_MINUTES = 14 * 1_440  # of what is remembered of a rule: two weeks, so that a weekend forgets no workday
EPISODE_MINUTES = 30  # a jump and its backlog are over by then
DEAD_BAND = (0.1, 0.25)  # a rule that wants so much less stays: a tenth, and the more the larger its margin
DEAD_BAND_PER_MARGIN = 0.25

_FADE = 0.5 ** (1 / HALF_LIFE_MINUTES)
_ACCOUNTS = ("missed", "cost", "changes", "episode", "worst")


class Shadows:
    """The rules' orders and their accounts; arrays of shape (rules,).

    orders: (startup + 1, rules), the loads for which each rule ordered capacity, newest last.
    backlog: request-seconds that wait. missed: requests over the budget. cost: price-minutes in units of the ladder.
    changes: of the configuration. episode: missed since the last `close_episode`, worst: the highest of these.
    missed, cost and changes fade with the half-life, as do `requests` and `minutes`.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.rules: Rules = all_rules()
        count = len(self.rules)
        self.dead_band = np.clip(DEAD_BAND[0] + DEAD_BAND_PER_MARGIN * self.rules.margin, *DEAD_BAND)
        self.orders: Floats = np.zeros((0, count))
        self.backlog: Floats = np.zeros(count)
        self.missed: Floats = np.zeros(count)
        self.cost: Floats = np.zeros(count)
        self.changes: Floats = np.zeros(count)
        self.episode: Floats = np.zeros(count)
        self.worst: Floats = np.zeros(count)
        self.requests = 0.0
        self.minutes = 0.0

    def account(self, load: float, requests: float, ladder: Ladder) -> None:
        """Take in the minute that is over; nothing before the first order."""
        if not len(self.orders):
            return
        rungs = ladder.rungs_for(self.orders)
        serving, paid, before = rungs.min(axis=0), ladder.prices[rungs[-1]], ladder.prices[rungs[-2]]
        late = self._late(load, ladder.loads[serving], ladder.capacities[serving])
        self.missed = self.missed * _FADE + requests * late
        self.episode += requests * late
        self.cost = self.cost * _FADE + paid + np.maximum(0.0, before - paid)  # a removed replica costs a minute more
        self.changes = self.changes * _FADE + (rungs[-1] != rungs[-2])
        self.requests = self.requests * _FADE + requests
        self.minutes = self.minutes * _FADE + 1

    def close_episode(self) -> None:
        """Begin the next episode: how much a rule missed at once at most is kept."""
        self.worst = np.maximum(self.worst * 0.5 ** (EPISODE_MINUTES / HALF_LIFE_MINUTES), self.episode)
        self.episode = np.zeros(len(self.rules))

    def order(self, recent: RecentLoad) -> Floats:
        """Return, and remember, the load for which each rule orders capacity now."""
        wanted = self.rules.wanted(recent)
        if not len(self.orders):
            self.orders = np.tile(wanted, (max(1, self.service.startup_minutes) + 1, 1))
        before = self.orders[-1]
        stays = (wanted <= before) & (wanted >= before * (1 - self.dead_band))
        self.orders = np.vstack((self.orders[1:], np.where(stays, before, wanted)))
        ordered: Floats = self.orders[-1]
        return ordered

    def _late(self, load: float, carried: Floats, capacity: Floats) -> Floats:
        """Return the share of the minute's requests that wait too long, and carry the backlog over.

        The queue's tail falls about exponentially with the spare capacity: it is interpolated between its values at
        the load that is just carried and at the full capacity.
        """
        tail_at_carried = np.log(self.service.violation_ratio * TAIL_BUDGET)
        spare = np.maximum(capacity - load, 0.0)
        tail = np.exp(tail_at_carried * np.minimum(spare / np.maximum(capacity - carried, 1e-9), 50.0))
        over = np.maximum(self.backlog - self.service.wait_budget_seconds * capacity, 0.0)
        fluid = np.minimum(over / np.maximum(spare * 60, 1e-9), 1.0)
        self.backlog = np.maximum(self.backlog + (load - capacity) * 60, 0.0)
        return np.where(load >= capacity, 1.0, np.maximum(tail, fluid))

    def to_json(self) -> dict[str, Any]:
        """Return it exactly."""
        arrays = {name: getattr(self, name).tolist() for name in ("orders", "backlog", *_ACCOUNTS)}
        return {**arrays, "requests": self.requests, "minutes": self.minutes}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], service: Service) -> Shadows:
        """Return what `to_json` saved."""
        shadows = cls(service)
        for name in ("orders", "backlog", *_ACCOUNTS):
            setattr(shadows, name, np.array(saved[name], dtype=float))
        shadows.orders = shadows.orders.reshape(-1, len(shadows.rules))
        shadows.requests, shadows.minutes = float(saved["requests"]), float(saved["minutes"])
        return shadows
