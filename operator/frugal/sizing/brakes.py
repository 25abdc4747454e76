"""When a wanted configuration has to wait: small savings, a kind that would come back, too many changes in a day.

More capacity is never held back but by the day's limit, and then it comes in larger steps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from frugal.sizing.ladder import Ladder, Rung, Service
from frugal.sizing.recent import RecentLoad

DAY = 1_440
CHANGES_A_DAY = 96  # under the promised 100
CHANGES_FOR_LESS = 80  # what is left of them is for more capacity
COOLDOWN_MINUTES = 30  # within it no configuration comes back that was just left, unless the load needs it
FLAVOR_SAVING = 0.15  # relative, that another flavor must bring: both run while one takes the other's place
STEADY_RANGE = 1.35  # highest load of a day over its mean below which the load only trembles
STEADY_SLACK = 1.02  # and by which factor it must then fit before anything is taken away
LARGE_STEP = 1.3  # of the wanted load once few changes are left


@dataclass(slots=True, kw_only=True)
class Brakes:
    """Minutes of the last day's changes, what was left when, and what was wanted at most.

    minute: minutes seen. changed: when, newest last. left: (minute, flavor, replicas) of the newest change.
    highest: load for which capacity was wanted, the highest of this day and of the day before, days counted from the
    first minute.
    """

    minute: int = 0
    changed: list[int] = field(default_factory=list)
    left: tuple[int, int, int] | None = None
    highest: tuple[float, float] = (0.0, 0.0)

    def passed(
        self, current: Rung, target: Rung, *, service: Service, ladder: Ladder, load: float, recent: RecentLoad
    ) -> Rung:
        """Return the target, the current one, or, when few changes are left, something larger."""
        self.minute += 1
        today, yesterday = self.highest if self.minute % DAY else (0.0, self.highest[0])
        self.highest = (max(today, load), yesterday)
        self.changed = [at for at in self.changed if at > self.minute - DAY]
        next_one = self._next(current, target, service=service, ladder=ladder, load=load, recent=recent)
        if next_one != current:
            self.changed.append(self.minute)
            self.left = (self.minute, current.flavor, current.replicas)
        return next_one

    def _next(
        self, current: Rung, target: Rung, *, service: Service, ladder: Ladder, load: float, recent: RecentLoad
    ) -> Rung:
        needed = load
        if ladder.carried(current) >= load and is_steady(recent):
            needed = max(*self.highest, STEADY_SLACK * float(recent.highest((DAY,))[0]))
            target = ladder.rung(int(ladder.rungs_for(np.array(needed))))
        target = same_flavor(current, target, service=service, ladder=ladder, load=needed)
        if target == current or load <= ladder.carried(current) < needed:
            return current
        if ladder.carried(current) < load:
            return self._more(current, target, service=service, ladder=ladder, load=load)
        may_wait = len(self.changed) >= CHANGES_FOR_LESS or self._comes_back(target)
        return current if may_wait else target

    def _more(self, current: Rung, target: Rung, *, service: Service, ladder: Ladder, load: float) -> Rung:
        """Return the target, or a larger step where few changes are left, or the current one where none is."""
        if len(self.changed) >= CHANGES_A_DAY:
            return current
        if len(self.changed) < CHANGES_FOR_LESS:
            return target
        index = int(ladder.rungs_for(np.array(load * LARGE_STEP)))
        return same_flavor(current, ladder.rung(index), service=service, ladder=ladder, load=load * LARGE_STEP)

    def _comes_back(self, target: Rung) -> bool:
        """Tell whether the target was left within the cooldown."""
        if self.left is None:
            return False
        at, flavor, replicas = self.left
        return self.minute - at < COOLDOWN_MINUTES and (flavor, replicas) == (target.flavor, target.replicas)

    def to_json(self) -> dict[str, Any]:
        """Return it exactly."""
        left = list(self.left) if self.left else None
        return {"minute": self.minute, "changed": self.changed, "left": left, "highest": list(self.highest)}

    @classmethod
    def from_json(cls, saved: Mapping[str, Any]) -> Brakes:
        """Return what `to_json` saved."""
        left = saved["left"]
        return cls(
            minute=int(saved["minute"]),
            changed=[int(one) for one in saved["changed"]],
            left=(int(left[0]), int(left[1]), int(left[2])) if left else None,
            highest=(float(saved["highest"][0]), float(saved["highest"][1])),
        )


def same_flavor(current: Rung, target: Rung, *, service: Service, ladder: Ladder, load: float) -> Rung:
    """Return the fewest replicas of the current flavor for the load, unless another flavor saves enough."""
    count = ladder.fewest(current.flavor, load)
    if target.flavor == current.flavor or count is None or current.replicas < 1:
        return target
    price = count * service.flavors[current.flavor].price_per_hour
    other = target.replicas * service.flavors[target.flavor].price_per_hour
    return target if other < price * (1 - FLAVOR_SAVING) else Rung(flavor=current.flavor, replicas=count)


def is_steady(recent: RecentLoad) -> bool:
    """Tell whether the load of the last day only trembles around its mean."""
    return float(recent.highest((DAY,))[0]) <= STEADY_RANGE * recent.mean
