"""Money in the statuses of both kinds: what was spent and saved, and whether compressing pays. Computes none of it."""

from __future__ import annotations

from decimal import Decimal
from typing import Annotated

from pydantic import Field

from frugal.api.base import MachineModel, Money, SignedMoney

DAYS_KEPT = 35  # a whole month, and the days of the one before that people compare with


class JobCost(MachineModel):
    """What the compression itself cost."""

    amount: Annotated[Money | None, Field(description="Money; absent where a price is missing.")] = None
    currency: Annotated[str, Field(description="ISO 4217.")] = ""
    cpu_seconds: Annotated[float, Field(description="CPU time used.")] = 0
    gpu_seconds: Annotated[float, Field(description="GPU time reserved.")] = 0
    problem: Annotated[str, Field(max_length=512, description="Why the amount is not known; empty when it is.")] = ""


class Swing(MachineModel):
    """How the net present value moves when one figure does, the others held: one bar of a tornado."""

    figure: Annotated[str, Field(max_length=64, description="Which figure.")]
    low: Annotated[str, Field(max_length=64, description="Its pessimistic value, for people.")]
    high: Annotated[str, Field(max_length=64, description="Its optimistic value, for people.")]
    net_at_low: Annotated[SignedMoney, Field(description="Net present value at the pessimistic one.")]
    net_at_high: Annotated[SignedMoney, Field(description="Net present value at the optimistic one.")]


class SpeedupStatus(MachineModel):
    """How many times faster the compressed model is expected to be, and from what."""

    low: Annotated[float, Field(description="Lower end of an interval that holds four of five outcomes.")]
    expected: Annotated[float, Field(description="The middle.")]
    high: Annotated[float, Field(description="Upper end.")]
    jobs: Annotated[int, Field(description="Earlier jobs that it rests on; 0: published figures alone.")] = 0
    measured: Annotated[float | None, Field(description="What it became; absent before.")] = None
    error_ratio: Annotated[float | None, Field(description="Measured / expected - 1.")] = None
    is_within: Annotated[bool | None, Field(description="Whether the interval held what was measured.")] = None


class Verdict(MachineModel):
    """One cost-benefit verdict with the sentence that explains it."""

    worth_it: Annotated[
        bool | None, Field(description="Whether it pays within the horizon; absent when it cannot be told.")
    ] = None
    monthly_saving: Annotated[SignedMoney | None, Field(description="Money saved a month.")] = None
    once: Annotated[Money | None, Field(description="Spent once: compute, labour, software and data.")] = None
    net_present_value: Annotated[
        SignedMoney | None, Field(description="Benefit over the horizon, discounted, less what is spent once.")
    ] = None
    payback_days: Annotated[float | None, Field(description="When the saving has paid the cost.")] = None
    break_even_requests_per_second: Annotated[
        float | None, Field(description="Load from which it pays within the horizon.")
    ] = None
    sensitivity: Annotated[
        list[Swing], Field(max_length=3, description="The figures that move the net present value most.")
    ] = []
    explanation: Annotated[str, Field(description="A sentence with its figures.")] = ""


class CostBenefitStatus(MachineModel):
    """The verdicts before the work and after it, and how good the prediction was."""

    speedup: Annotated[SpeedupStatus | None, Field(description="The prediction and its score.")] = None
    before: Verdict | None = None
    after: Verdict | None = None


class Saving(MachineModel):
    """What a recommendation would save against what is applied."""

    monthly: Annotated[SignedMoney, Field(description="Money a month.")]
    percent: Annotated[float, Field(description="Percent of the present cost.")]


class DayCost(MachineModel):
    """What one day cost, in UTC."""

    day: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="The day.")]
    amount: Annotated[Money, Field(description="Spent on it, so far.")]


class CostStatus(MachineModel):
    """What it costs. The month to date at a later moment is monthToDate + hourly * (moment - observedAt)."""

    hourly: Annotated[Money, Field(description="What the present size costs an hour.")]
    hourly_by_resource: Annotated[
        dict[str, Money], Field(max_length=8, description="The same by cpu, memory, gpu, storage; adds up to hourly.")
    ] = {}
    month_to_date: Annotated[Money, Field(description="Spent since the month began, in UTC.")]
    forecast_month: Annotated[Money, Field(description="Expected for the whole month at the present rate.")]
    currency: Annotated[str, Field(description="ISO 4217, the price book's.")]
    days: Annotated[
        list[DayCost], Field(max_length=DAYS_KEPT, description="The newest days on which it cost something.")
    ] = []
    observed_at: Annotated[str, Field(description="When monthToDate was exact (RFC 3339).")]


class SavingsStatus(MachineModel):
    """Money saved against the size that ran before Frugal's first change.

    Allocated: smaller requests. Realized: of that, what is no longer paid for, because nodes that carried the old size
    are gone and the cluster has fewer; only this is verified.
    """

    since_creation: Annotated[
        SignedMoney, Field(description="Allocated since Frugal's first change; negative when it cost more.")
    ]
    realized: Annotated[Money, Field(description="Of it, what is no longer paid for: verified.")] = Decimal(0)
    low: Annotated[SignedMoney | None, Field(description="Allocated, had the old size shrunk with the load.")] = None
    high: Annotated[SignedMoney | None, Field(description="Allocated, had the old size grown with the load.")] = None
    reference_hourly: Annotated[Money, Field(description="Hourly cost of the size before the first change.")]
    reference_requests_per_second: Annotated[
        float | None, Field(description="The load that the size before the first change carried.")
    ] = None
    reference_nodes: Annotated[list[str], Field(max_length=64, description="Nodes that carried it then.")] = []
    reference_node_count: Annotated[int, Field(description="Nodes of the cluster then.")] = 0
    realized_ratio: Annotated[
        float, Field(ge=0, le=1, description="Share of the allocated saving that is realized now.")
    ] = 0
    counterfactual: Annotated[str, Field(max_length=512, description="What the saving is measured against.")] = ""
    observed_at: Annotated[str, Field(description="When sinceCreation was exact (RFC 3339).")]
