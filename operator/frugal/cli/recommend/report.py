"""What `frugal recommend` says of one object: the size, its saving, what holds it back, and what it rests on."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from pydantic import ValidationError

from frugal.api.conditions import Condition, ConditionType
from frugal.api.status import InferenceDeploymentStatus, RecommendationStatus, Size
from frugal.api.validation import parse_inference_deployment
from frugal.cli.recommend.drawing import bars, series
from frugal.decisions.snapshot import Manifest
from frugal.errors import InvalidObject
from frugal.sizing.explanation import kind_text
from frugal.sizing.histogram import Histogram
from frugal.sizing.horizontal import rate_quantile
from frugal.sizing.state import WorkloadState
from frugal.sizing.vertical import CPU_QUANTILE, MEMORY_QUANTILE, samples_for
from frugal.units import duration_text, parse_rfc3339, size_text


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """An InferenceDeployment and what was learnt of it; `state` is None where nothing was saved yet."""

    manifest: Manifest
    state: WorkloadState | None
    now: datetime

    @property
    def status(self) -> InferenceDeploymentStatus:
        """Return the status; one that cannot be read says nothing."""
        try:
            return InferenceDeploymentStatus.model_validate(self.manifest.get("status") or {})
        except ValidationError:
            return InferenceDeploymentStatus()

    @property
    def quantile(self) -> float:
        """Return the share of the minutes whose load is carried."""
        try:
            latency = parse_inference_deployment(self.manifest).spec.slo.latency
        except InvalidObject:
            latency = None
        return rate_quantile(latency)


def as_text(report: Report, *, explain: bool) -> str:
    """Return the report for people."""
    sections = [_head(report)]
    if explain:
        sections += _measured(report) + _alternatives(report) + _rejected(report)
    return "\n\n".join(section for section in sections if section)


def as_json(report: Report, *, explain: bool) -> dict[str, Any]:
    """Return the report for programs: the status' own fields, and with `explain` what they rest on."""
    status = report.status
    said: dict[str, Any] = {
        "namespace": report.manifest["metadata"].get("namespace", "default"),
        "name": report.manifest["metadata"]["name"],
        "recommendation": status.recommendation.to_json() if status.recommendation else None,
        "applied": status.applied.to_json() if status.applied else None,
        "rightSized": (told := _right_sized(status)) and told.to_json(),
    }
    if explain:
        said["rejected"] = [one.to_json() for one in status.rejected]
        said["measured"] = _figures(report)
    return said


def _head(report: Report) -> str:
    status, metadata = report.status, report.manifest["metadata"]
    lines = [f"{metadata.get('namespace', 'default')}/{metadata['name']}"]
    lines += [f"  runs now     {_size(status.applied.size)}"] if status.applied else []
    lines += _recommended(status.recommendation, report.now)
    told = _right_sized(status)
    if told is not None:
        held = {"True": "applied", "False": "not applied", "Unknown": "cannot be told"}[told.status]
        lines.append(f"  {held:<12} {told.reason}: {told.message}")
    return "\n".join(lines)


def _recommended(found: RecommendationStatus | None, now: datetime) -> list[str]:
    if found is None:
        return ["  recommended  nothing yet"]
    age = duration_text(max(0.0, (now - parse_rfc3339(found.observed_at)).total_seconds()))
    bounds = f"between {_size(found.lower)} and {_size(found.upper)}"
    lines = [f"  recommended  {_size(found.target)} ({age} ago)", f"  bounds       {bounds}"]
    if found.saving is not None and found.saving.monthly:
        lines.append(f"  saves        {found.saving.monthly:.2f} a month ({found.saving.percent:g} %)")
    return [*lines, f"  because      {found.explanation}"]


def _measured(report: Report) -> list[str]:
    state = report.state
    if state is None or state.is_empty:
        return ["Nothing that was measured is saved yet: it is every 15 minutes."]
    return [
        _evidence(report, state),
        _picture("CPU of a replica", state.cpu, _cores, CPU_QUANTILE),
        _picture("Memory of a replica, its daily peaks", state.memory.all(), size_text, MEMORY_QUANTILE),
        _picture("GPU activity of a replica", state.gpu, lambda ratio: f"{ratio:.0%}", CPU_QUANTILE),
        _picture("GPU memory of a replica, its daily peaks", state.gpu_memory.all(), size_text, 1.0),
        _picture("Requests per second, by minute", state.rates.histogram, _rate, report.quantile),
        _forecast(report, state),
    ]


def _evidence(report: Report, state: WorkloadState) -> str:
    asked = samples_for(report.quantile)
    words = [
        f"Measured over {duration_text(state.history_seconds)}: {state.usage_minutes} minutes of use, "
        f"{state.rates.minutes} of load; {asked} carry a statement about p{report.quantile * 100:.4g}."
    ]
    if state.service.mean_seconds:
        words.append(f"A request computes {state.service.mean_seconds * 1000:.3g} ms")
        if state.concurrency.requests:
            words[-1] += f", {state.concurrency.requests:.2g} at a time"
        words[-1] += f" on {state.kind or 'what runs'}."
    words += [
        f"On {kind} it computed {capacity.service.mean_seconds * 1000:.3g} ms."
        for kind, capacity in state.elsewhere
        if capacity.service.mean_seconds
    ]
    return "\n".join(words)


def _picture(title: str, histogram: Histogram, written: Any, quantile: float) -> str:
    if histogram.is_empty:
        return ""
    name = "highest" if quantile == 1.0 else f"p{quantile * 100:.4g}"
    return "\n".join([title, *bars(histogram, written, marks=[(name, histogram.percentile(quantile))])])


def _forecast(report: Report, state: WorkloadState) -> str:
    """Return the load that is expected: the last hour as it came, and the rate that is sized for."""
    if state.rates.is_empty:
        return ""
    hour = [rate for _, rate in state.rates.recent]
    expected, usual = state.rates.peak(report.quantile), state.rates.usual(report.quantile)
    why = "the last hour's highest minute" if expected > usual else f"p{report.quantile * 100:.4g} of all minutes"
    lines = [f"Load of the last hour, and what is expected: {_rate(expected)} req/s ({why})"]
    return "\n".join([*lines, f"  |{series(hour)}|"] if hour else lines)


def _alternatives(report: Report) -> list[str]:
    found = report.status.recommendation
    if found is None or not found.alternatives:
        return []
    rows = [
        f"  {_size(one.size):<72} {f'{one.hourly:.4f} an hour' if one.hourly is not None else 'no price':<18} "
        f"{one.reason}{'' if one.measured else ' (by published figures)'}"
        for one in found.alternatives
    ]
    return ["\n".join(["Alternatives", *rows])]


def _rejected(report: Report) -> list[str]:
    rows = [f"  {_size(one.size)}: taken back at {one.at}: {one.reason}" for one in report.status.rejected]
    return ["\n".join(["Tried and taken back", *rows])] if rows else []


def _figures(report: Report) -> Mapping[str, Any] | None:
    state = report.state
    if state is None or state.is_empty:
        return None
    return {
        "historySeconds": state.history_seconds,
        "usageMinutes": state.usage_minutes,
        "loadMinutes": state.rates.minutes,
        "serviceSeconds": state.service.mean_seconds,
        "concurrency": state.concurrency.requests,
        "kind": state.kind,
        "cpuCores": _percentiles(state.cpu),
        "memoryBytes": _percentiles(state.memory.all()),
        "gpuRatio": _percentiles(state.gpu),
        "gpuMemoryBytes": _percentiles(state.gpu_memory.all()),
        "requestsPerSecond": _percentiles(state.rates.histogram),
        "expectedRequestsPerSecond": None if state.rates.is_empty else state.rates.peak(report.quantile),
    }


def _percentiles(histogram: Histogram) -> Mapping[str, float] | None:
    if histogram.is_empty:
        return None
    quantiles = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "max": 1.0}
    return {name: histogram.percentile(quantile) for name, quantile in quantiles.items()}


def _right_sized(status: InferenceDeploymentStatus) -> Condition | None:
    wanted = ConditionType.RIGHT_SIZED.value
    return next((one for one in status.conditions if one.type == wanted), None)


def _size(size: Size) -> str:
    kind = f", {kind_text(size)}" if size.count else ""
    return f"{size.replicas} x {size.cpu} CPU, {size.memory}{kind}"


def _cores(cores: float) -> str:
    return f"{math.ceil(cores * 1000 - 1e-9)}m"


def _rate(rate: float) -> str:
    return f"{rate:.3g}"
