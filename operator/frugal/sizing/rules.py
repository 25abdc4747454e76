"""The simple sizing rules among which the policy chooses, and the load for which each would order capacity.

A rule is a hold (the highest load of the last minutes), a margin on it, and a bound or a floor from earlier days.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from frugal.sizing.recent import RecentLoad
from frugal.sizing.waiting import Floats

HOLDS = (3, 6, 12, 25, 50, 100, 200, 400, 1440)  # minutes
MARGINS = (0.0, 0.05, 0.1, 0.2, 0.35, 0.55, 0.8, 1.2, 2.0)  # on top of the held load
FLOOR_MARGINS = MARGINS[:6]
CAPS = (np.inf, 1.15)  # a margin does not reach over so many times the highest load of a day
SEASONS = tuple(product((1, 7), (30, 90), (0.7, 0.85, 1.0)))  # days back, minutes around, share that is the floor
SEASON_KEYS = tuple(product((1, 7), (30, 90)))


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """One row a rule; arrays of shape (rules,).

    hold, season: indices into `HOLDS` and `SEASON_KEYS`. margin: of the held load, or of the long-run mean where
    `is_additive` (a jump by a client of fixed size is no multiple of a quiet night). cap: over the day's highest load.
    floor: share of the highest load at this time of earlier days.
    """

    hold: NDArray[np.int64]
    margin: Floats
    is_additive: NDArray[np.bool_]
    cap: Floats
    season: NDArray[np.int64]
    floor: Floats

    def __len__(self) -> int:
        return len(self.hold)

    def wanted(self, recent: RecentLoad) -> Floats:
        """Return the load for which each rule would order capacity now; more recent load never means less."""
        held = recent.highest(HOLDS)[self.hold]
        day = recent.highest((1440,))[0]
        margin = self.margin * np.where(self.is_additive, recent.mean, held)
        bounded = np.maximum(held, np.minimum(held + margin, self.cap * day if day > 0 else np.inf))
        seasons = np.array([recent.around_now(days, around) for days, around in SEASON_KEYS])
        wanted: Floats = np.maximum(bounded, self.floor * seasons[self.season])
        return wanted


def all_rules() -> Rules:
    """Return every rule; the same ones for every service."""
    margins = product(range(len(HOLDS)), MARGINS, (True, False), CAPS)
    rows = [(hold, margin, additive, cap, 0, 0.0) for hold, margin, additive, cap in margins]
    for hold, margin, (days, around, share) in product(range(len(HOLDS)), FLOOR_MARGINS, SEASONS):
        rows.append((hold, margin, False, np.inf, SEASON_KEYS.index((days, around)), share))
    hold, margin, additive, cap, season, floor = (np.array(column) for column in zip(*rows, strict=True))
    return Rules(hold=hold, margin=margin, is_additive=additive, cap=cap, season=season, floor=floor)
