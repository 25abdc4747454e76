"""Which configuration should serve from now on: the cheapest rule that held the objective when replayed, applied.

Fed one minute at a time, it answers with a flavor and a count. It knows no cluster and no clock; see
docs/decisions/20261124-sizing-policy.md for what was tuned on what.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from frugal.sizing.brakes import Brakes
from frugal.sizing.ladder import Ladder, Rung, Service, build_ladder
from frugal.sizing.minute import Minute
from frugal.sizing.recent import RecentLoad
from frugal.sizing.shadows import EPISODE_MINUTES, Shadows
from frugal.sizing.waiting import Floats

PRIOR_MINUTES = 360  # the weight of what is expected of a rule before anything was seen: a quarter of a day
PRIOR_RATIO = 0.02  # of requests that a rule without margin is expected to miss, falling with its margin
PRIOR_MARGIN = 0.1  # by which that falls to a third
BUDGET = 1.4  # of the violation target that a rule may spend while the service itself has spent nothing yet
BUDGET_BEFORE_A_DAY = 0.7
BUDGET_RANGE = (0.15, 1.0)
WORST_AGAIN = 1.0  # how many more of its worst half-hours a rule must be able to afford
CAUTION = 0.15  # on top of every rule while the service has spent half as much again as it may, and in proportion
BETTER = 0.03  # relative; a rule that is not so much cheaper does not take another's place
MAX_CHANGES_PER_DAY = 85.0  # of a rule; the brakes hold 100 whatever happens


class SizingPolicy:
    """The policy of one service; mutable, and saved and loaded as JSON."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.recent = RecentLoad()
        self.shadows = Shadows(service)
        self.brakes = Brakes()
        self.planned_load = 0.0
        self.ladder: Ladder = build_ladder(service, up_to_load=self.planned_load)
        self.rule = self._safest()
        self.caution = 1.0
        self.spent = 0.0
        self.asked = 0.0
        self.rung: Rung | None = None

    def decide(self, minute: Minute) -> Rung:
        """Take in the minute that is over and return what should run from now on."""
        self._reach(minute.load)
        self.shadows.account(minute.load, minute.requests, self.ladder)
        self._spend(minute)
        if self.recent.seen_minutes and self.recent.seen_minutes % EPISODE_MINUTES == 0:
            self.shadows.close_episode()
            self.rule = self._chosen()
            self.caution = 1 + CAUTION * float(np.clip(self.spent_ratio() - 0.5, 0.0, 1.0))
        self.recent.add(minute.load)
        wanted = float(self.shadows.order(self.recent)[self.rule]) * self.caution
        self._reach(wanted)
        self.rung = self._braked(wanted, minute.rung or self.rung)
        return self.rung

    def _braked(self, wanted: float, current: Rung | None) -> Rung:
        """Return the rung for the wanted load, or the current one where a change must wait."""
        target = self.ladder.rung(int(self.ladder.rungs_for(np.array(wanted))))
        if current is None:
            return target
        return self.brakes.passed(
            current, target, service=self.service, ladder=self.ladder, load=wanted, recent=self.recent
        )

    def _reach(self, load: float) -> None:
        """Build a higher ladder where the load needs one."""
        if load >= self.ladder.reach:
            self._plan_for(2 * load)

    def _plan_for(self, load: float) -> None:
        self.planned_load = load
        self.ladder = build_ladder(self.service, up_to_load=load)

    def _spend(self, minute: Minute) -> None:
        self.spent += minute.violations
        self.asked += minute.requests

    def _safest(self) -> int:
        """Return the rule of a day's hold and a margin of a half: what acts while nothing is known."""
        rules = self.shadows.rules
        is_safe = (rules.hold == rules.hold.max()) & (rules.margin == 0.55) & ~rules.is_additive & (rules.floor == 0)
        return int(np.flatnonzero(is_safe & np.isinf(rules.cap))[0])

    def _chosen(self) -> int:
        """Return the cheapest rule whose past, and what is expected of it, is within the budget; else the safest."""
        shadows, missed = self.shadows, self.missed_ratios()
        is_calm = shadows.changes / max(shadows.minutes, 720.0) * 1_440 <= MAX_CHANGES_PER_DAY
        holds = (missed <= self.budget() * self.service.violation_ratio) & is_calm
        if not holds.any():
            return int(np.argmin(missed + np.where(is_calm, 0.0, 1.0)))
        best = int(np.argmin(np.where(holds, shadows.cost, np.inf)))
        is_better = shadows.cost[best] < shadows.cost[self.rule] * (1 - BETTER)
        return best if is_better or not holds[self.rule] else self.rule

    def missed_ratios(self) -> Floats:
        """Return the share of requests that each rule is expected to miss: one more time its worst, and a prior."""
        shadows = self.shadows
        prior = PRIOR_RATIO * np.exp(-shadows.rules.margin / PRIOR_MARGIN)
        weight = PRIOR_MINUTES / max(shadows.minutes, 1.0) * max(shadows.requests, 1e-9)
        return (shadows.missed + WORST_AGAIN * shadows.worst + weight * prior) / (max(shadows.requests, 1e-9) + weight)

    def budget(self) -> float:
        """Return how much of the violation target a rule may spend: less when more than planned was spent."""
        if self.recent.seen_minutes < 1_440:
            return BUDGET_BEFORE_A_DAY
        return float(np.clip(BUDGET - self.spent_ratio(), *BUDGET_RANGE))

    def spent_ratio(self) -> float:
        """Return how much of the violation target was spent so far: 1 is all of it."""
        return self.spent / max(self.asked, 1e-9) / self.service.violation_ratio

    def to_json(self) -> dict[str, Any]:
        """Return the state, without the service that it was made for."""
        rung = [self.rung.flavor, self.rung.replicas] if self.rung else None
        return {
            "recent": self.recent.to_json(),
            "shadows": self.shadows.to_json(),
            "brakes": self.brakes.to_json(),
            "rule": self.rule,
            "budget": [self.spent, self.asked, self.caution],
            "rung": rung,
            "plannedLoad": self.planned_load,
        }

    @classmethod
    def from_json(cls, saved: Mapping[str, Any], service: Service) -> SizingPolicy:
        """Return what `to_json` saved; it decides as the saved one would have."""
        policy = cls(service)
        policy.recent = RecentLoad.from_json(saved["recent"])
        policy.shadows = Shadows.from_json(saved["shadows"], service)
        policy.brakes = Brakes.from_json(saved["brakes"])
        policy.rule = int(saved["rule"])
        policy.spent, policy.asked, policy.caution = (float(one) for one in saved["budget"])
        policy.rung = Rung(flavor=saved["rung"][0], replicas=saved["rung"][1]) if saved["rung"] else None
        policy._plan_for(float(saved["plannedLoad"]))
        return policy
