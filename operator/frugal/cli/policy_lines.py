"""The JSON lines of `frugal policy --stdio`: what is read and checked, and the answers. Decides nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Annotated, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from frugal.errors import FrugalError
from frugal.sizing.ladder import Flavor, Rung, Service
from frugal.sizing.minute import Minute
from frugal.sizing.policy import SizingPolicy

Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]


class BadLine(FrugalError):
    """A line that cannot be understood."""

    def __init__(self, number: int, problem: str) -> None:
        self.number = number
        super().__init__(f"line {number}: {problem}; see `frugal policy --help` for the lines that are read")


class _Line(BaseModel):
    """What a machine wrote: unknown fields are ignored."""

    model_config = ConfigDict(extra="ignore", frozen=True)


class _Flavor(_Line):
    name: str = ""
    slots: Amount = 0.0
    memory_gib: Amount
    gpu_hours_price: Amount


class _Service(_Line):
    flavors: Annotated[list[_Flavor], Field(min_length=1)]
    sequences_per_replica: list[Amount]
    service_seconds: Positive
    wait_budget_seconds: Amount
    violation_target: Annotated[float, Field(gt=0, lt=1)]
    startup_minutes: Annotated[float, Field(ge=0, le=240)] = 2.0
    model_memory_gib: Amount = 0.0

    @model_validator(mode="after")
    def _has_sequences_for_each(self) -> _Service:
        if len(self.sequences_per_replica) != len(self.flavors):
            counts = f"{len(self.sequences_per_replica)} for {len(self.flavors)} flavors"
            raise ValueError(f"sequences_per_replica: expected one per flavor, found {counts}")
        return self


Read = TypeVar("Read", bound=_Line)


class First(_Line):
    """The first line, which describes the service."""

    service: _Service


class _Minute(_Line):
    t: float
    requests: Amount
    load: Amount
    util: float | None = None
    capacity: float | None = None
    backlog: float | None = None
    violations: float | None = None
    flavor: int | None = None
    replicas: float | None = None
    ready: float | None = None


def answers(lines: Iterable[str]) -> Iterator[str]:
    """Yield the answer to each minute as soon as its line is read; blank lines are skipped."""
    policy: SizingPolicy | None = None
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        if policy is None:
            policy = SizingPolicy(_service(number, line))
        else:
            rung = policy.decide(_minute(number, line, policy.service))
            yield json.dumps({"flavor": rung.flavor, "replicas": rung.replicas})


def _service(number: int, line: str) -> Service:
    return service_of(_read(number, line, First))


def service_of(first: First) -> Service:
    """Return the service as the sizing rules know it."""
    read = first.service
    flavors = tuple(
        Flavor(
            name=one.name,
            memory_gib=one.memory_gib,
            price_per_hour=one.gpu_hours_price,
            sequences=sequences,
        )
        for one, sequences in zip(read.flavors, read.sequences_per_replica, strict=True)
    )
    return Service(
        flavors=flavors,
        service_seconds=read.service_seconds,
        wait_budget_seconds=read.wait_budget_seconds,
        violation_ratio=read.violation_target,
        startup_minutes=int(-(-read.startup_minutes // 1)),
        model_memory_gib=read.model_memory_gib,
    )


def _minute(number: int, line: str, service: Service) -> Minute:
    read = _read(number, line, _Minute)
    rung = None
    if read.flavor is not None and read.replicas is not None:
        if not 0 <= read.flavor < len(service.flavors):
            raise BadLine(number, f"flavor: expected 0 to {len(service.flavors) - 1}, found {read.flavor}")
        rung = Rung(flavor=read.flavor, replicas=int(read.replicas))
    return Minute(
        t=int(read.t),
        requests=read.requests,
        load=read.load,
        util=read.util,
        capacity=read.capacity,
        backlog_seconds=read.backlog or 0.0,
        violations=max(0.0, read.violations or 0.0),
        rung=rung,
        ready=None if read.ready is None else int(read.ready),
    )


def _read(number: int, line: str, kind: type[Read]) -> Read:
    try:
        return kind.model_validate_json(line)
    except ValidationError as fault:
        first = fault.errors(include_url=False)[0]
        path = ".".join(str(step) for step in first["loc"])
        raise BadLine(number, f"{path + ': ' if path else ''}{first['msg']}, found {line.strip()[:80]!r}") from None
