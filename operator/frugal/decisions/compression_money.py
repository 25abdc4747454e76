"""What compressing costs and whether it pays, put together from the snapshot. The arithmetic stands in pricing/."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal

from pydantic import ValidationError

from frugal.api.compression_job import CompressionJob, CompressionJobSpec, CostBenefitMode
from frugal.api.conditions import ConditionType, Reason
from frugal.api.money import JobCost, Verdict
from frugal.api.result import CompressionResult, ModelFigures, Usage
from frugal.api.status import CompressionJobStatus, InferenceDeploymentStatus, JobUtilization
from frugal.decisions.compression_work import Work
from frugal.decisions.conditions import Told
from frugal.decisions.node_prices import labels_of_node, pricing_of
from frugal.decisions.parsing import parsed_compression_job
from frugal.decisions.snapshot import CompressionSnapshot, Environment, Manifest
from frugal.errors import InvalidObject, PriceUnknown
from frugal.pricing.cost import job_cost
from frugal.pricing.cost_benefit import ServingCost, expected_serving_cost, verdict_after, verdict_before
from frugal.pricing.pricebook import core_hour
from frugal.pricing.speedup import Outcome, Speedup, predicted, sort_of
from frugal.resources.compression import requirements


def cost_of(job: CompressionJob, usage: Usage, work: Work, environment: Environment) -> JobCost:
    """Return what the pod cost; its amount is absent where a price is missing."""
    return _cost(job.spec, usage, environment, labels_of_node(work.pods, environment))


def utilization_of(spec: CompressionJobSpec, usage: Usage) -> JobUtilization | None:
    """Return used / available: CPU time over requested cores and wall time, peak memory over the limit."""
    if usage.wall_seconds <= 0:
        return None
    needed = requirements(spec)
    cores = needed.requests.get("cpu") or needed.limits.get("cpu")
    memory = needed.limits.get("memory") or needed.requests.get("memory")
    return JobUtilization(
        cpu=_share(usage.cpu_seconds, cores.cores * usage.wall_seconds if cores else 0),
        memory=_share(usage.peak_memory_bytes, memory.whole if memory else 0),
    )


def before_work(
    job: CompressionJob, seen: CompressionSnapshot, speedup: Speedup, baseline: ModelFigures | None = None
) -> Verdict | None:
    """Return the verdict on a prediction; None when nobody asked for one.

    baseline: what was measured of the original, once it was: with an expected load alone, that is needed.
    """
    terms = job.spec.cost_benefit
    if terms.mode is CostBenefitMode.OFF:
        return None
    environment = seen.environment
    serving = _serving(seen)
    if terms.requests_per_second is not None:
        if baseline is None or baseline.latency_p50_seconds is None:
            return Verdict(
                explanation="cannot tell before the baseline is measured: its latency says what "
                f"{terms.requests_per_second:g} requests per second cost"
            )
        serving = _expected(terms.requests_per_second, baseline, environment)
    wall = Usage(wall_seconds=job.spec.strategy.search.timeout.seconds)
    expected = _cost(job.spec, wall, environment, {})
    return verdict_before(
        terms,
        serving=serving,
        compute_cost=expected.amount,
        currency=_currency(environment),
        speedup=speedup,
    )


def speedup_of(job: CompressionJob, seen: CompressionSnapshot) -> Speedup:
    """Return how many times faster the model will become, by its steps and by what earlier jobs became."""
    return predicted(job.spec, [one for one in map(_outcome, seen.earlier) if one is not None])


def after_work(
    job: CompressionJob, result: CompressionResult, cost: JobCost, seen: CompressionSnapshot
) -> Verdict | None:
    """Return the verdict on what was measured; None when nobody asked for one or nothing was published."""
    terms = job.spec.cost_benefit
    if terms.mode is CostBenefitMode.OFF or result.best is None or not result.artifacts:
        return None
    serving = _serving(seen)
    if terms.requests_per_second is not None:
        serving = _expected(terms.requests_per_second, result.baseline, seen.environment)
    return verdict_after(
        terms, serving=serving, best=result.best, compute_cost=cost.amount, currency=_currency(seen.environment)
    )


def told_worth_it(mode: CostBenefitMode, verdict: Verdict | None) -> Told:
    """Return `WorthIt` for the newest verdict."""
    if mode is CostBenefitMode.OFF:
        return Told(ConditionType.WORTH_IT, None, Reason.OFF, "spec.costBenefit.mode is Off")
    if verdict is None or verdict.worth_it is None:
        said = verdict.explanation if verdict is not None else "nothing was published, so nothing is saved"
        return Told(ConditionType.WORTH_IT, None, Reason.PAYBACK_UNKNOWN, said)
    reason = Reason.WORTH_IT if verdict.worth_it else Reason.NOT_WORTH_IT
    return Told(ConditionType.WORTH_IT, verdict.worth_it, reason, verdict.explanation)


def _cost(spec: CompressionJobSpec, usage: Usage, environment: Environment, node_labels: Mapping[str, str]) -> JobCost:
    needed = requirements(spec)
    return job_cost(
        usage,
        requests={**needed.limits, **needed.requests},
        wall_seconds=usage.wall_seconds,
        book=environment.prices,
        node_labels=node_labels,
        pricing=pricing_of(node_labels),
    )


def _serving(seen: CompressionSnapshot) -> ServingCost | None:
    """Return what the deployment of `inferenceDeploymentRef` costs now, or None where that is not known."""
    try:
        status = InferenceDeploymentStatus.model_validate((seen.served_by or {}).get("status") or {})
    except ValidationError:
        return None
    if status.cost is None:
        return None
    rate = status.utilization.requests_per_second if status.utilization is not None else None
    latency = status.utilization.latency_seconds if status.utilization is not None else None
    return ServingCost(hourly=status.cost.hourly, requests_per_second=rate, latency_seconds=latency)


def _outcome(manifest: Manifest) -> Outcome | None:
    """Return what became of an earlier job; None for one that tells nothing, or that cannot be read."""
    try:
        status = CompressionJobStatus.model_validate(manifest.get("status") or {})
        job = parsed_compression_job(manifest)
    except (ValidationError, InvalidObject):
        return None
    if status.finished_at is None or status.best is None or not status.artifacts:
        return None
    return Outcome(sort=sort_of(job.spec), latency_ratio=status.best.latency_ratio)


def _expected(rate: float, baseline: ModelFigures | None, environment: Environment) -> ServingCost | None:
    latency = baseline.latency_p50_seconds if baseline is not None else None
    price = _price_per_core_hour(environment)
    if latency is None or price is None:
        return None
    return expected_serving_cost(rate, latency_seconds=latency, price_per_core_hour=price)


def _price_per_core_hour(environment: Environment) -> Decimal | None:
    if environment.prices is None:
        return None
    try:
        return core_hour(environment.prices, node_labels={}, pricing=pricing_of({}))
    except PriceUnknown:
        return None


def _currency(environment: Environment) -> str:
    return environment.prices.currency if environment.prices is not None else ""


def _share(used: float, available: float) -> float | None:
    return round(used / available, 4) if available else None
