from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest

from frugal.api.price_book import PriceBook
from frugal.decisions.tracked import TrackedRun, requested_by, tracked_run

NOW = datetime(2026, 11, 18, 12, tzinfo=UTC)
ENTRY = {"cpuPerCoreHour": "0.04", "memoryPerGiBHour": "0.005", "gpuPerHour": {"nvidia.com/gpu": "2"}}


def book(*more: dict[str, Any]) -> PriceBook:
    base = {"currency": "USD", "source": "a test", "retrievedAt": "2026-11-01"}
    return PriceBook.model_validate({**base, "entries": [ENTRY, *more]})


def pod(*, started: str = "2026-11-18T09:00:00Z", ended: str = "", **requests: str) -> dict[str, Any]:
    owner = {"kind": "Job", "name": "train", "controller": True}
    status: dict[str, Any] = {"startTime": started, "phase": "Running"}
    if ended:
        status |= {"phase": "Succeeded", "containerStatuses": [{"state": {"terminated": {"finishedAt": ended}}}]}
    return {
        "metadata": {"name": "train-x", "namespace": "ml", "labels": {"team": "red"}, "ownerReferences": [owner]},
        "spec": {"containers": [{"resources": {"requests": requests or {"cpu": "2", "memory": "4Gi"}}}]},
        "status": status,
    }


def run(one: dict[str, Any], *, prices: PriceBook | None = None, used: dict[str, Decimal] | None = None) -> TrackedRun:
    return tracked_run(one, node_labels={}, book=prices or book(), used=used, now=NOW)


def days(found: TrackedRun) -> dict[str, Decimal]:
    return {one.day: one.amount for one in found.days}


def test_a_running_pod_costs_what_it_requests_since_it_began() -> None:
    found = run(pod())

    assert found.hourly.total == Decimal("0.10")  # 2 * 0.04 + 4 * 0.005
    assert days(found) == {"2026-11-18": Decimal("0.30")}  # three hours
    assert (found.kind, found.name, found.labels["team"]) == ("Job", "train", "red")


def test_a_pod_that_ended_costs_nothing_more() -> None:
    found = run(pod(ended="2026-11-18T10:00:00Z"))

    assert found.hourly.total == 0
    assert days(found) == {"2026-11-18": Decimal("0.10")}


def test_what_it_uses_beyond_its_request_is_paid_now() -> None:
    found = run(pod(), used={"cpu": Decimal(3), "memory": Decimal(2 * 2**30)})

    assert found.hourly.cpu == Decimal("0.12")
    assert found.hourly.memory == Decimal("0.020")  # it requests more than it uses
    assert found.utilization == {"cpu": 1.5, "memory": 0.5}


def test_cards_are_paid_too() -> None:
    found = run(pod(**{"cpu": "1", "nvidia.com/gpu": "2"}))

    assert found.hourly.gpu == 4


def test_a_run_over_midnight_belongs_to_both_days() -> None:
    found = run(pod(started="2026-11-17T22:00:00Z"))

    assert days(found) == {"2026-11-17": Decimal("0.20"), "2026-11-18": Decimal("1.20")}


def test_a_change_of_prices_leaves_earlier_hours_alone() -> None:
    dearer = {**ENTRY, "cpuPerCoreHour": "0.08", "validFrom": "2026-11-18T11:00:00Z"}

    found = run(pod(), prices=book(dearer))

    assert days(found) == {"2026-11-18": Decimal("0.38")}  # 2 h at 0.10, then 1 h at 0.18


def test_a_missing_price_is_said() -> None:
    found = run(pod(**{"cpu": "1", "amd.com/gpu": "1"}))

    assert "no price for 'amd.com/gpu'" in found.problem
    assert (found.currency, days(found)) == ("", {})


def test_without_a_price_book_utilization_is_known_all_the_same() -> None:
    found = tracked_run(pod(), node_labels={}, book=None, used={"cpu": Decimal(1)}, now=NOW)

    assert found.problem == "there is no price book"
    assert found.utilization == {"cpu": 0.5}


@pytest.mark.parametrize(("requests", "limits", "cpu"), [({"cpu": "1"}, {"cpu": "2"}, 1), ({}, {"cpu": "2"}, 2)])
def test_a_limit_counts_where_there_is_no_request(requests: dict[str, str], limits: dict[str, str], cpu: int) -> None:
    container = {"resources": {"requests": requests, "limits": limits}}

    assert requested_by({"spec": {"containers": [container, container]}}) == {"cpu": 2 * cpu}


def test_a_pod_that_waits_for_a_node_costs_nothing() -> None:
    waiting = pod()
    del waiting["status"]["startTime"]

    assert days(run(waiting)) == {}
