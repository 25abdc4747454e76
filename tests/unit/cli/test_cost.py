from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from frugal.api.status import InferenceDeploymentStatus
from frugal.cli import main
from frugal.cli.cost.groups import UnknownGrouping, grouped, totals
from frugal.cli.cost.lines import Line, idle_hourly, lines_of, scale_to_zero_monthly
from frugal.cli.cost.tables import WIDTH, as_json, cost_table, idle_table, savings_table
from frugal.embedded.state_folder import StateFolder
from frugal.embedded.store import Store, key_of
from frugal.pricing.cost import accrue, month_start
from frugal.units import rfc3339

NOW = datetime(2026, 3, 10, 12, tzinfo=UTC)


def cost(now: datetime = NOW, **more: Any) -> dict[str, Any]:
    return {
        "hourly": "0.50",
        "hourlyByResource": {"cpu": "0.40", "memory": "0.10"},
        "monthToDate": "100.00",
        "forecastMonth": "358.00",
        "currency": "USD",
        "days": [{"day": f"{now - timedelta(days=1):%Y-%m-%d}", "amount": "12.00"}],
        "observedAt": rfc3339(now),
        **more,
    }


def service(name: str = "fashion", *, namespace: str = "shop", team: str = "red", **status: Any) -> dict[str, Any]:
    metadata = {"name": name, "namespace": namespace, "labels": {"team": team}}
    return {"kind": "InferenceDeployment", "metadata": metadata, "spec": {}, "status": {"cost": cost(), **status}}


def utilization(load: float | None = None, **used: float) -> dict[str, Any]:
    return {"observedAt": rfc3339(NOW), **used, **({} if load is None else {"requestsPerSecond": load})}


def savings(**more: Any) -> dict[str, Any]:
    given = {"sinceCreation": "40.00", "low": "31.00", "high": "55.00", "realized": "12.00"}
    return {**given, "referenceHourly": "0.90", "observedAt": rfc3339(NOW), **more}


def job(name: str = "compress", *, finished: datetime = NOW, amount: str | None = "0.42") -> dict[str, Any]:
    spent = {"currency": "USD", "cpuSeconds": 60} | ({"amount": amount} if amount is not None else {})
    status = {"finishedAt": rfc3339(finished), "cost": spent, "utilization": {"cpu": 0.93}}
    return {"kind": "CompressionJob", "metadata": {"name": name, "namespace": "shop"}, "status": status}


def lines(*manifests: dict[str, Any], now: datetime = NOW, since: datetime | None = None) -> tuple[Line, ...]:
    return lines_of(manifests, since=since or month_start(now), now=now)


def test_the_figures_are_those_of_the_status_to_the_cent() -> None:
    (line,) = lines(service())

    assert line.hourly == Decimal("0.50")
    assert line.month_to_date == 100
    assert line.forecast_month == 358
    assert line.spent == line.month_to_date


def test_later_they_are_what_the_metrics_show_at_that_moment() -> None:
    later = NOW + timedelta(hours=3)
    status = InferenceDeploymentStatus.model_validate({"cost": cost()})
    assert status.cost is not None

    (line,) = lines(service(), now=later)

    shown = accrue(status.cost, hourly=status.cost.hourly, now=later, currency="USD")  # as loop/fleet.py does
    assert line.month_to_date == shown.month_to_date == Decimal("101.50")
    assert line.forecast_month == shown.forecast_month


def test_since_a_moment_counts_the_days_from_then_on() -> None:
    (line,) = lines(service(), now=NOW + timedelta(hours=4), since=NOW - timedelta(hours=18))

    # half of 6 h of yesterday's 12.00 (3.00), and 4 h at 0.50 today
    assert line.spent == Decimal("5.00")


def test_a_finished_job_costs_what_it_cost_in_the_month_that_it_ended() -> None:
    this, last = lines(job("new"), job("old", finished=NOW - timedelta(days=20)))

    assert (this.spent, this.month_to_date) == (Decimal("0.42"), Decimal("0.42"))
    assert last.spent == last.month_to_date == 0


def test_what_has_no_price_is_said_and_left_out() -> None:
    missing = {"type": "WithinBudget", "status": "Unknown", "reason": "PriceMissing"}
    missing |= {"message": "no price for 'NVIDIA-L4'", "lastTransitionTime": rfc3339(NOW)}
    size = {"cpu": "1", "memory": "1Gi"}
    unpriced = service("dear", cost=None, applied={"size": size, "since": rfc3339(NOW)}, conditions=[missing])

    found = lines(service(), unpriced, job(amount=None))
    text = cost_table(grouped(found, "name"), found, since_text="03-01").text()

    assert totals(found)[0].spent == 100
    assert "2 without a price, left out of every sum" in text


def test_groups_add_up_and_currencies_are_kept_apart() -> None:
    euro = service("c", team="blue", cost=cost(currency="EUR"))
    found = lines(service("a"), service("b", team="blue"), euro)

    by_team = {(one.key, one.currency): one.spent for one in grouped(found, "label=team")}

    assert by_team == {("red", "USD"): 100, ("blue", "USD"): 100, ("blue", "EUR"): 100}
    assert {one.currency: one.spent for one in totals(found)} == {"EUR": Decimal(100), "USD": Decimal(200)}
    assert [one.key for one in grouped(lines(job()), "label=team")] == ["(none)"]


def test_a_grouping_that_is_none_names_those_there_are() -> None:
    with pytest.raises(UnknownGrouping, match="label=KEY"):
        grouped((), "team")


def test_over_the_budget_is_pointed_out() -> None:
    dear = service()
    dear["spec"] = {"budget": {"monthly": "300"}}

    found = lines(dear)

    text = cost_table(grouped(found, "name"), found, since_text="03-01").text()
    assert "over budget: shop/fashion, forecast 358.00 of 300.00 USD" in text


def test_idle_is_what_is_requested_and_not_used() -> None:
    parts = {"cpu": Decimal("0.40"), "memory": Decimal("0.10"), "storage": Decimal("0.05")}

    assert idle_hourly(parts, {"cpu": 0.25, "memory": 1.3}) == Decimal("0.30")  # more than requested is not idle
    assert idle_hourly(parts, {}) is None


@pytest.mark.parametrize(
    ("used", "idle"),
    [
        (utilization(load=0.0, cpu=0.01), True),
        (utilization(load=2.0, cpu=0.01), False),
        (utilization(cpu=0.01, memory=0.02), True),
        (utilization(cpu=0.01, memory=0.5), False),
        (None, False),
    ],
)
def test_what_serves_nobody_may_go_to_zero(used: dict[str, Any] | None, idle: bool) -> None:
    status: dict[str, Any] = {"utilization": used} if used else {}
    (line,) = lines(service(**status))

    assert line.is_idle is idle
    assert scale_to_zero_monthly(line) == (Decimal("365.00") if idle else None)  # 0.50 * 730


def test_tables_fit_a_hundred_columns_whatever_the_names_are() -> None:
    long = service("n" * 63, namespace="s" * 63, savings=savings(), utilization=utilization(load=0, cpu=0.01))
    huge = service(cost=cost(hourly="123456.123456", monthToDate="99999999.99", forecastMonth="999999999.99"))
    found = lines(long, huge, job())

    for table in (
        cost_table(grouped(found, "name"), found, since_text="03-01"),
        savings_table(found),
        idle_table(found),
    ):
        assert max(map(len, table.text().splitlines())) <= WIDTH


def test_savings_tell_allocated_from_realized() -> None:
    text = savings_table(lines(service(savings=savings()))).text()

    assert text.splitlines()[1].split() == [
        "shop/fashion", "0.9000", "0.5000", "40.00", "31.00", "55.00", "12.00", "USD",
    ]  # fmt: skip


def test_json_has_every_figure_as_text_and_the_moment() -> None:
    since = month_start(NOW)
    found = json.loads(as_json(lines(service(savings=savings())), since=since, now=NOW))

    assert found["observedAt"] == rfc3339(NOW)
    assert found["totals"][0]["monthToDate"] == "100.00"
    assert found["workloads"][0]["hourlyByResource"] == {"cpu": "0.40", "memory": "0.10"}
    assert found["workloads"][0]["savings"]["realized"] == "12.00"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """A state folder with a service and a job that have cost something."""
    folder = StateFolder(tmp_path / "state")
    folder.lock()
    store = Store(folder, lambda: datetime.now(UTC))
    now = datetime.now(UTC)
    for made in (
        service(savings=savings(), cost=cost(now), utilization=utilization(load=0.0, cpu=0.02)),
        job(finished=now),
    ):
        kind = {"apiVersion": "frugal.dev/v1alpha1", "kind": made["kind"], "metadata": made["metadata"], "spec": {}}
        store.set_status(key_of(store.apply(kind)), made["status"])
    folder.unlock()
    return tmp_path / "state"


def test_the_command_prints_a_table_with_its_total(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["cost", "--state", str(state)])

    heading, first, *_ = capsys.readouterr().out.splitlines()
    assert status == 0
    assert heading.split()[:2] == ["WORKLOAD", "HOURLY"]
    assert first.split()[:2] == ["shop/fashion", "0.5000"]


def test_csv_and_json_are_for_programs(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    main(["cost", "--state", str(state), "-o", "csv", "--by", "kind", "--since", "7d"])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert {row["WORKLOAD"] for row in rows} == {"InferenceDeployment", "CompressionJob", "TOTAL"}

    main(["idle", "--state", str(state), "-o", "json"])
    assert json.loads(capsys.readouterr().out)["workloads"][1]["isIdle"] is True


def test_savings_and_idle_have_commands_of_their_own(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["savings", "--state", str(state)]) == 0
    assert "REALIZED" in capsys.readouterr().out

    assert main(["idle", "--state", str(state)]) == 0
    assert "1 of 1 serve nobody" in capsys.readouterr().out


def test_another_namespace_has_nothing_to_show(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--state", str(state), "-n", "nowhere"]) == 0
    assert capsys.readouterr().out == "nothing to show\n"


def test_what_cannot_be_grouped_or_read_is_bad_input(state: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cost", "--state", str(state), "--by", "colour"]) == 2
    assert "label=KEY" in capsys.readouterr().err

    with pytest.raises(SystemExit):
        main(["cost", "--state", str(state), "--since", "yesterday"])
