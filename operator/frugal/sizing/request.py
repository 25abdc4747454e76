"""What a recommendation is asked for: the size that runs now and what it must stay within. Computes nothing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal

from frugal.api.inference_deployment import LatencyObjective
from frugal.api.status import Size
from frugal.sizing.accelerators import Kind

HourlyPrice = Callable[[Size], Decimal | None]
"""What a size costs an hour, all replicas together; None where a price is missing."""

STALE_AFTER_SECONDS = 180.0  # three scrapes at Prometheus' customary 60 s
MIN_HISTORY_SECONDS = 60.0  # one full minute: growth shall not wait


@dataclass(frozen=True, slots=True, kw_only=True)
class SizingRequest:
    """What runs now, and within what the recommendation must stay.

    scaling_owned: whether Frugal owns the number of replicas.
    kind: what each replica runs on now. kinds: what it may run on as well.
    ran: the size that runs now, where `applied` is only asked what it would be; None: `applied` runs.
    servers_per_replica: requests that a replica computes at a time; None: as many as was measured, or as it has whole
        cores.
    keeps_limit_ratio: the memory limit follows the request in its present ratio (adopted workloads).
    min_shrink_samples: minutes measured before anything shrinks; None: as many as its quantile needs.
    """

    applied: Size
    slo: LatencyObjective | None = None
    min_replicas: int = 1
    max_replicas: int = 10
    scaling_owned: bool = True
    kind: Kind | None = None
    kinds: tuple[Kind, ...] = ()
    ran: Size | None = None
    servers_per_replica: int | None = None
    keeps_limit_ratio: bool = False
    min_history_seconds: float = MIN_HISTORY_SECONDS
    min_shrink_samples: int | None = None
    stale_after_seconds: float = STALE_AFTER_SECONDS

    @property
    def running(self) -> Size:
        """Return the size that runs now, against which money and words compare."""
        return self.ran or self.applied
