"""How any model server's metrics become counters: which name counts what. The names stand with each runtime."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

PROCESS_CPU = "process_cpu_seconds_total"
PROCESS_MEMORY = "process_resident_memory_bytes"


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestCounter:
    """A counter of answers. Their status is `status`, or what `label` says; a value in `failing` means 500."""

    metric: str
    label: str = ""
    status: str = ""
    failing: tuple[str, ...] = ()

    def status_of(self, labels: Mapping[str, str]) -> str:
        """Return the HTTP status that a series counts."""
        said = labels.get(self.label, "")
        if said in self.failing:
            return "500"
        return self.status or said


@dataclass(frozen=True, kw_only=True)
class ServerMetrics:
    """The names under which one runtime tells its load.

    anchor: a metric that such a server has from its start; the time of its scrape dates all others.
    latency: name of the histogram of whole answers, without _bucket; unit_seconds: the unit of its edges.
    compute: counters of computing, of all requests together, with the seconds that one unit is.
    in_flight: gauges that add up to the requests accepted and not yet answered.
    failures_are_requests: the failures are counted among the requests too.
    """

    runtime: str
    anchor: str
    requests: tuple[RequestCounter, ...]
    latency: str = ""
    unit_seconds: float = 1.0
    compute: tuple[tuple[str, float], ...] = ()
    in_flight: tuple[str, ...] = ()
    input_tokens: str = ""
    output_tokens: str = ""
    failures_are_requests: bool = False

    @property
    def names(self) -> frozenset[str]:
        """Every name that must be asked for."""
        return frozenset(self.roles)

    @cached_property
    def roles(self) -> Mapping[str, tuple[str, RequestCounter | float]]:
        """What each name is for: the field of a ServerTally, and how to read it."""
        roles: dict[str, tuple[str, RequestCounter | float]] = {
            counter.metric: ("requests", counter) for counter in self.requests
        }
        if self.latency:
            roles[f"{self.latency}_bucket"] = ("latency", self.unit_seconds)
        roles |= {name: ("compute", unit) for name, unit in self.compute}
        roles |= dict.fromkeys(self.in_flight, ("in_flight", 1.0))
        roles |= {
            name: (field, 1.0)
            for field, name in (("input_tokens", self.input_tokens), ("output_tokens", self.output_tokens))
            if name
        }
        return roles


class ServerTally:
    """The sums of one server's series, filled one by one; a sum that nothing was added to stays None."""

    __slots__ = ("_of", "compute", "in_flight", "input_tokens", "latency", "output_tokens", "requests")

    def __init__(self, of: ServerMetrics) -> None:
        self._of = of
        self.requests: dict[str, float] = {}
        self.latency: dict[float, float] = {}
        self.compute: float | None = None
        self.in_flight: float | None = None
        self.input_tokens: float | None = None
        self.output_tokens: float | None = None

    def add(self, name: str, labels: Mapping[str, str], value: float) -> None:
        """Take one series; `name` is one of the runtime's."""
        field, how = self._of.roles[name]
        if isinstance(how, RequestCounter):
            status = how.status_of(labels)
            self.requests[status] = self.requests.get(status, 0.0) + value
        elif field == "latency":
            edge = _edge(labels.get("le", "")) * how
            if math.isfinite(edge):
                self.latency[edge] = self.latency.get(edge, 0.0) + value
        else:
            setattr(self, field, (getattr(self, field) or 0.0) + value * how)

    @property
    def answers(self) -> Mapping[str, float]:
        """Requests by status, each counted once."""
        if not self._of.failures_are_requests or not self.requests:
            return self.requests
        failed = self.requests.get("500", 0.0)
        return {"200": max(0.0, self.requests.get("200", 0.0) - failed), "500": failed}

    @property
    def tells_load(self) -> bool:
        """Whether this server said anything of requests."""
        return bool(self.requests) or self.in_flight is not None


def _edge(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan
