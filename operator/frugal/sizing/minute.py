"""What was measured of one minute of one service: all that a sizing policy is ever shown. Measures nothing itself."""

from __future__ import annotations

from dataclasses import dataclass

from frugal.sizing.ladder import Rung


@dataclass(frozen=True, slots=True, kw_only=True)
class Minute:
    """What was measured in a minute that is over.

    load: mean requests in service, that is, arrival rate times service time. util: load over capacity, at most 1.
    capacity: sequences that served. backlog_seconds: request-seconds that still waited at its end. violations: requests
    that waited longer than the budget. rung, ready: what was ordered, and how many of its replicas served; None where
    nothing ran yet.
    """

    t: int
    requests: float
    load: float
    util: float | None = None
    capacity: float | None = None
    backlog_seconds: float = 0.0
    violations: float = 0.0
    rung: Rung | None = None
    ready: int | None = None
