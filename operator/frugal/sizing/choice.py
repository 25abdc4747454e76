"""Which kind of accelerator: the cheapest whose memory fits and that holds the objective. Measures and prices nothing.

What was measured on a kind comes first; what was not is expected from published compute and bandwidth.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import datetime
from decimal import Decimal

from frugal.api.status import Size
from frugal.sizing.accelerators import Kind, misfit, slowdown
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
    """The size on the best kind, whether only that kind keeps the objective, and what else was looked at."""

    best: Sized
    is_rescue: bool = False
    alternatives: tuple[Alternative, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class _Candidate:
    kind: Kind
    sized: Sized
    fault: str
    is_measured: bool


def choose(
    state: WorkloadState, request: SizingRequest, present: Sized, *, price: HourlyPrice | None, now: datetime
) -> Choice:
    """Return the cheapest kind that does; the present one while another would save nothing or is not sure."""
    if request.kind is None or not request.kinds:
        return Choice(best=present)
    others = [kind for kind in request.kinds if kind.key != request.kind.key]
    candidates = [_candidate(state, request, kind, price, now) for kind in others]
    fault_now = _carries(state, request, present, 1.0)
    best = _cheapest(candidates, present, is_rescue=bool(fault_now), held=_too_little(state, request))
    return Choice(
        best=best.sized if best else present,
        is_rescue=bool(fault_now) and best is not None,
        alternatives=_alternatives(candidates, best, present, request, fault_now, _too_little(state, request)),
    )


def _candidate(
    state: WorkloadState, request: SizingRequest, kind: Kind, price: HourlyPrice | None, now: datetime
) -> _Candidate:
    assert request.kind is not None
    applied = request.applied.model_copy(
        update={"accelerator": kind.accelerator, "product": kind.product, "count": kind.count}
    )
    asked = replace(request, applied=applied, ran=request.running)
    measured = state.capacity_on(kind.key)
    factor = slowdown(request.kind, kind)
    view = state.with_capacity(measured or state.capacity.slower(factor or 1.0))
    sized = size_on(view, asked, price=price, now=now)
    fault = (
        misfit(kind, _needed_bytes(state))
        or ("" if measured or factor else "nothing is published of it, and nothing was measured on it")
        or _carries(view, asked, sized, 1.0 if measured else factor or 1.0)
        or (NO_PRICE if sized.hourly is None else "")
    )
    return _Candidate(kind=kind, sized=sized, fault=fault, is_measured=measured is not None)


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
    candidates: list[_Candidate],
    best: _Candidate | None,
    present: Sized,
    request: SizingRequest,
    fault_now: str,
    held: str,
) -> tuple[Alternative, ...]:
    """Return what was not taken, cheapest first, what has no price last."""
    found = [
        Alternative(
            size=one.sized.target,
            hourly=one.sized.hourly,
            reason=one.fault or held or "it costs more",
            is_measured=one.is_measured,
        )
        for one in candidates
        if one is not best
    ]
    if best is not None:
        reason = fault_now or "it costs more"
        found.append(Alternative(size=present.target, hourly=present.hourly, reason=reason, is_measured=True))
    return tuple(sorted(found, key=lambda one: (one.hourly is None, one.hourly or Decimal(0), str(one.size))))
