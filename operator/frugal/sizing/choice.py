"""Which kind of accelerator: the cheapest whose memory fits and that holds the objective. Measures and prices nothing.

What was measured on a kind comes first; what was not is expected from published compute and bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from frugal.api.status import Size
from frugal.sizing.accelerators import Kind, misfit, slowdown
from frugal.sizing.capacity import Capacity
from frugal.sizing.horizontal import Basis, rate_quantile
from frugal.sizing.queueing import MAX_UTILIZATION
from frugal.sizing.request import HourlyPrice, SizingRequest
from frugal.sizing.sized import Sized, size_on
from frugal.sizing.state import WorkloadState
from frugal.sizing.vertical import samples_for

ACTIVITY_QUANTILE = 0.95  # of the minutes; as KRR's for CPU, with MAX_UTILIZATION over it
NO_PRICE = "it has no price"


@dataclass(frozen=True, slots=True, kw_only=True)
class Alternative:
    """A size on another kind; `hourly` is None where a price is missing, `reason` says why it was not taken.

    is_measured: whether its capacity was measured, or is expected from what is published.
    """

    size: Size
    hourly: Decimal | None
    reason: str
    is_measured: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The size on the best kind and on the present one, and what else was looked at.

    is_rescue: only on the best kind the objective is kept.
    """

    best: Sized
    present: Sized
    is_rescue: bool = False
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    kind: Kind
    sized: Sized
    fault: str
    is_measured: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Expected:
    """What a replica on a kind can do: as measured there, or by how much slower it is than where it was measured.

    factor: by which service time and activity grow; None where nothing is published. is_measured: on this very kind.
    """

    capacity: Capacity
    factor: float | None
    is_measured: bool


def expected_on(kind: Kind, state: WorkloadState, request: SizingRequest) -> Expected:
    """Return what is expected on a kind: as measured there, else by the newest kind on which enough was measured."""
    measured = state.capacity_on(kind.key)
    if measured is not None:
        return Expected(capacity=measured, factor=1.0, is_measured=True)
    origins = {one.key: one for one in (*request.kinds, *((request.kind,) if request.kind else ()))}
    for key in (state.kind, *(key for key, _ in reversed(state.elsewhere))):
        source = state.capacity_on(key)
        factor = slowdown(origins[key], kind) if key in origins else None
        if source is not None and factor is not None:
            return Expected(capacity=source.slower(factor), factor=factor, is_measured=False)
    return Expected(capacity=state.capacity, factor=1.0 if kind.key == state.kind else None, is_measured=False)


def choose(state: WorkloadState, request: SizingRequest, *, price: HourlyPrice | None, now: datetime) -> Choice:
    """Return the cheapest kind that does; the present one while another would save nothing or is not sure."""
    if request.kind is None:
        present = size_on(state, request, price=price, now=now)
        return Choice(best=present, present=present)
    if not state.kind:  # what was measured before kinds were told apart was measured on what runs
        state = replace(state, kind=request.kind.key)
    here = _candidate(state, request, request.kind, price, now)
    others = [_candidate(state, request, one, price, now) for one in request.kinds if one.key != request.kind.key]
    fault, held = ("" if here.fault == NO_PRICE else here.fault), _too_little(state, request)
    best = _cheapest(others, here.sized, is_rescue=bool(fault), held=held)
    return Choice(
        best=best.sized if best else here.sized,
        present=here.sized,
        is_rescue=bool(fault) and best is not None,
        alternatives=_alternatives(others, best, here, fault, held),
    )


def _candidate(
    state: WorkloadState, request: SizingRequest, kind: Kind, price: HourlyPrice | None, now: datetime
) -> _Candidate:
    """Return what would run on a kind, and why it would not do; on the present one memory fits, because it runs."""
    is_present = request.kind is not None and kind.key == request.kind.key
    expected = expected_on(kind, state, request)
    view = state.with_capacity(expected.capacity)
    asked = request if is_present else replace(request, applied=_on(kind, request), ran=request.running)
    sized = size_on(view, asked, price=price, now=now)
    fault = (
        ("" if is_present else misfit(kind, _needed_bytes(state)))
        or ("" if expected.factor else "nothing is published of it, and nothing was measured on it")
        or _carries(view, asked, sized, expected.factor or 1.0)
        or (NO_PRICE if sized.hourly is None else "")
    )
    return _Candidate(kind=kind, sized=sized, fault=fault, is_measured=expected.is_measured)


def _on(kind: Kind, request: SizingRequest) -> Size:
    return request.applied.model_copy(
        update={"accelerator": kind.accelerator, "product": kind.product, "count": kind.count}
    )


def _needed_bytes(state: WorkloadState) -> float:
    """Return the memory floor: the measured peak of the accelerator's, else the pod's own, which holds the weights."""
    peaks = state.gpu_memory if not state.gpu_memory.is_empty else state.memory
    return 0.0 if peaks.is_empty else peaks.percentile(1.0)


def _carries(state: WorkloadState, request: SizingRequest, sized: Sized, factor: float) -> str:
    """Return why the replicas do not carry the load; empty when they do.

    factor: by how much the measured activity grows on this kind.
    """
    need = sized.needs.replicas
    if need.basis is Basis.SERVICE_TOO_SLOW and request.slo is not None:
        return f"a request alone takes longer than {request.slo.threshold}"
    if need.target > request.max_replicas:
        return f"{need.target} replicas would be needed, replicas.max is {request.max_replicas}"
    if need.basis is not Basis.UNMEASURED:
        return ""
    if state.gpu.is_empty:
        return "" if factor == 1.0 else "neither its load nor its activity is measured"
    busy = state.gpu.percentile(ACTIVITY_QUANTILE) * factor
    return "" if factor == 1.0 or busy <= MAX_UTILIZATION else f"it would be busy for {busy:.0%} of the time"


def _too_little(state: WorkloadState, request: SizingRequest) -> str:
    """Return why a kind may not be exchanged for a cheaper one yet; empty when it may."""
    asked = request.min_shrink_samples or samples_for(rate_quantile(request.slo))
    if state.usage_minutes >= asked:
        return ""
    return f"{state.usage_minutes} of the {asked} minutes that another kind needs are measured"


def _cheapest(candidates: list[_Candidate], present: Sized, *, is_rescue: bool, held: str) -> _Candidate | None:
    """Return the candidate to take, or None to stay."""
    able = [one for one in candidates if not one.fault]
    if is_rescue:
        return min(able, key=_by_price, default=None)
    if held or present.hourly is None:
        return None
    cheaper = [one for one in able if one.sized.hourly is not None and one.sized.hourly < present.hourly]
    return min(cheaper, key=_by_price, default=None)


def _by_price(one: _Candidate) -> tuple[Decimal, str]:
    assert one.sized.hourly is not None, "a candidate without a price is at fault"
    return one.sized.hourly, one.kind.key


def _alternatives(
    others: list[_Candidate], best: _Candidate | None, here: _Candidate, fault_here: str, held: str
) -> tuple[Alternative, ...]:
    """Return what was not taken, cheapest first, what has no price last."""
    left = [(one, one.fault or held or "it costs more") for one in others if one is not best]
    left += [(here, fault_here or "it costs more")] if best is not None else []
    found = [
        Alternative(size=one.sized.target, hourly=one.sized.hourly, reason=reason, is_measured=one.is_measured)
        for one, reason in left
    ]
    return tuple(sorted(found, key=lambda one: (one.hourly is None, one.hourly or Decimal(0), str(one.size))))
