"""The sentence of a recommendation and the figures that it is made of. Decides nothing."""

from __future__ import annotations

import math
from collections.abc import Mapping
from decimal import Decimal

from frugal.api.status import Size
from frugal.sizing.horizontal import Basis, rate_quantile
from frugal.sizing.needs import Needs
from frugal.sizing.request import SizingRequest
from frugal.sizing.state import WorkloadState
from frugal.units import duration_text, size_text


def figures_of(
    state: WorkloadState, needs: Needs, target: Size, *, hourly: tuple[Decimal, Decimal] | None
) -> Mapping[str, float]:
    """Return every figure with its unit in its name; what was not measured is left out.

    hourly: what the applied and the target size cost; here only for display, so a float is enough.
    """
    replica = needs.replicas.replica
    found: dict[str, float | None] = {
        "history_seconds": state.history_seconds,
        "usage_minutes": state.usage_minutes,
        "load_minutes": state.rates.minutes,
        "cpu_p95_cores": needs.cpu.measured if needs.cpu else None,
        "memory_peak_bytes": needs.memory.measured if needs.memory else None,
        "gpu_p95_ratio": None if state.gpu.is_empty else state.gpu.percentile(0.95),
        "gpu_memory_peak_bytes": None if state.gpu_memory.is_empty else state.gpu_memory.percentile(0.98),
        "peak_requests_per_second": needs.replicas.rate,
        "service_seconds": replica.service_seconds if replica else None,
        "cpu_seconds_per_request": state.service.cpu_seconds_per_request,
        "needed_replicas": needs.replicas.target,
        "target_cpu_cores": target.cpu.cores,
        "target_memory_bytes": target.memory.whole,
        "target_replicas": target.replicas,
        "applied_cost_per_hour": float(hourly[0]) if hourly else None,
        "target_cost_per_hour": float(hourly[1]) if hourly else None,
    }
    return {name: float(value) for name, value in found.items() if value is not None}


def sentence(figures: Mapping[str, float], request: SizingRequest, needs: Needs, target: Size) -> str:
    """Return why the target is what it is."""
    parts = (
        _vertical(figures, target),
        _accelerator(figures, request, target),
        _horizontal(figures, request, needs, target),
        *_notes(needs),
        "" if request.scaling_owned else "an external scaler owns their number",
        _money(figures, request.running),
    )
    return "; ".join(part for part in parts if part)


def after_kill_sentence(killed_bytes: int, target: Size) -> str:
    """Return why memory grows although little else is known."""
    return f"killed for lack of memory at {size_text(killed_bytes)}: request {target.memory}, twice as much"


def _vertical(figures: Mapping[str, float], target: Size) -> str:
    measured = []
    if "cpu_p95_cores" in figures:
        measured.append(f"p95 CPU {_cores(figures['cpu_p95_cores'])}")
    if "memory_peak_bytes" in figures:
        measured.append(f"peak memory {size_text(figures['memory_peak_bytes'])}")
    if not measured:
        return f"requests stay at {target.cpu} and {target.memory}"
    span = _span(figures["history_seconds"])
    return f"{' and '.join(measured)} over {span}: requests {target.cpu} and {target.memory}"


def _accelerator(figures: Mapping[str, float], request: SizingRequest, target: Size) -> str:
    ran = request.running
    if not target.count and not ran.count:
        return ""
    measured = []
    if "gpu_p95_ratio" in figures:
        measured.append(f"p95 GPU activity {figures['gpu_p95_ratio']:.0%}")
    if "gpu_memory_peak_bytes" in figures:
        measured.append(f"peak GPU memory {size_text(figures['gpu_memory_peak_bytes'])}")
    stays = (ran.accelerator, ran.product, ran.count) == (target.accelerator, target.product, target.count)
    what = f"{kind_text(target)} stays" if stays else f"{kind_text(target)} instead of {kind_text(ran)}"
    return f"{' and '.join(measured) or 'GPU not measured'}: {what}"


def kind_text(size: Size) -> str:
    """Return what each replica of a size runs on, for people."""
    if not size.count:
        return size.accelerator
    return f"{size.count} {size.accelerator}" + (f" ({size.product})" if size.product else "")


def _horizontal(figures: Mapping[str, float], request: SizingRequest, needs: Needs, target: Size) -> str:
    need, count = needs.replicas, target.replicas
    replicas = f"{count} {'replica' if count == 1 else 'replicas'}"
    verb = "keeps" if count == 1 else "keep"
    if need.basis is Basis.UNMEASURED:
        return f"{replicas} {'stays' if count == 1 else 'stay'}: no load is measured"
    if need.rate == 0:
        return f"{replicas}: no request came"
    load = f"{need.rate:.3g} req/s ({_per_request(figures)})"
    if need.basis is Basis.UTILIZATION or request.slo is None:
        return f"{replicas} {verb} utilization under 70 % at {load}"
    if need.basis is Basis.SERVICE_TOO_SLOW:
        return (
            f"{replicas} carry {load}, but no number of them answers within {request.slo.threshold}: "
            "compress the model or give it more compute"
        )
    quantile = f"p{rate_quantile(request.slo) * 100:.4g}"
    if need.target > count:
        return f"{replicas} cannot keep {quantile} under {request.slo.threshold} at {load}"
    return f"{replicas} {verb} {quantile} under {request.slo.threshold} at {load}"


def _per_request(figures: Mapping[str, float]) -> str:
    """Tell the CPU of a request where it is more than its computing."""
    service, cpu = figures["service_seconds"], figures.get("cpu_seconds_per_request", 0.0)
    around = f", {_short(cpu)} of CPU" if cpu > 1.05 * service else ""
    return f"service time {_short(service)}{around}"


def _notes(needs: Needs) -> tuple[str, ...]:
    return tuple(chosen.note for chosen in (needs.chosen_cpu, needs.chosen_memory, needs.count) if chosen.note)


def _money(figures: Mapping[str, float], ran: Size) -> str:
    """Tell the money against the size that ran, by name: the sentence stays true when it runs no more."""
    applied, target = figures.get("applied_cost_per_hour"), figures.get("target_cost_per_hour")
    if not applied or target is None or math.isclose(applied, target):
        return ""
    change = round(abs(1 - target / applied) * 100)
    asked = f"{ran.cpu} and {ran.memory}" + (f" and {kind_text(ran)}" if ran.count else "")
    return f"{change} % {'cheaper' if target < applied else 'dearer'} than {ran.replicas} x {asked}"


def _cores(cores: float) -> str:
    return f"{math.ceil(cores * 1000 - 1e-9)}m"


def _span(seconds: float) -> str:
    """A history of days is told to the hour."""
    return duration_text(round(seconds / 3_600) * 3_600 if seconds > 86_400 else seconds)


def _short(seconds: float) -> str:
    return f"{seconds * 1000:.3g} ms" if seconds < 1 else f"{seconds:.3g} s"
