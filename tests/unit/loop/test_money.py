"""Money from the price book to the status and to `frugal cost`, while prices change. One engine over fakes."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from frugal.cli.cost.lines import lines_of
from frugal.loop.ports import ObjectKey
from frugal.pricing.cost import month_start
from frugal.units import parse_rfc3339
from tests.unit.loop.world import World, inference_deployment

HOUR = 3600.0


def prices(*entries: str) -> str:
    listed = "".join(f"\n- {{memoryPerGiBHour: '0', {one}}}" for one in entries)
    return f"currency: USD\nsource: a test\nretrievedAt: '2026-11-01'\nentries:{listed}\n"


async def served(*entries: str) -> tuple[World, ObjectKey]:
    """Return a world in which a service of half a core, as is given where nothing is asked for, has a cost."""
    world = World()
    world.cluster.prices = prices(*entries)
    key = world.cluster.create(inference_deployment())
    await world.settle(key)
    return world, key


def cost(world: World, key: ObjectKey) -> dict[str, Any]:
    found: dict[str, Any] = (world.cluster.get(key) or {})["status"]["cost"]
    return found


async def test_a_price_with_a_day_holds_from_that_day_on_and_rewrites_nothing() -> None:
    world, key = await served("cpuPerCoreHour: '0.40'", "cpuPerCoreHour: '2.00', validFrom: '2026-11-24T12:05:00Z'")
    assert cost(world, key)["hourly"] == "0.20"

    wait = await world.engine.reconcile(key)
    assert wait == 300  # it looks again when the other price begins, before the figures are due
    world.clock.advance(300)
    await world.engine.reconcile(key)
    world.clock.advance(HOUR)
    await world.engine.reconcile(key)

    assert cost(world, key)["hourly"] == "1.00"
    assert Decimal(cost(world, key)["monthToDate"]) == Decimal("1.016667")  # 300 s at 0.20, an hour at 1.00


async def test_another_price_book_leaves_what_was_accrued() -> None:
    world, key = await served("cpuPerCoreHour: '0.40'")
    world.clock.advance(HOUR)

    world.cluster.prices = prices("cpuPerCoreHour: '36.00'")
    await world.engine.reconcile(key)

    assert cost(world, key)["monthToDate"] == "0.20"
    assert cost(world, key)["hourly"] == "18.00"


async def test_a_price_that_went_missing_is_said_and_what_was_accrued_stays() -> None:
    world, key = await served("cpuPerCoreHour: '0.40'")
    world.clock.advance(HOUR)

    world.cluster.prices = prices("cpuPerCoreHour: '0.40', nodeLabels: {zone: z}")
    await world.engine.reconcile(key)

    conditions = {one["type"]: one for one in (world.cluster.get(key) or {})["status"]["conditions"]}
    assert conditions["WithinBudget"]["reason"] == "PriceMissing"
    assert "no price for 'a node that is not spot'" in conditions["WithinBudget"]["message"]
    assert cost(world, key)["hourly"] == "0.20"


async def test_status_and_the_command_show_the_same_cents_for_the_same_moment() -> None:
    world, key = await served("cpuPerCoreHour: '0.493824'")
    for seconds in (777, 1_234, 86_400, 31):
        world.clock.advance(seconds)
        await world.engine.reconcile(key)
    manifest, stood = world.cluster.get(key) or {}, cost(world, key)
    observed = parse_rfc3339(stood["observedAt"])

    (line,) = lines_of([manifest], since=month_start(observed), now=observed)

    assert (str(line.month_to_date), str(line.forecast_month)) == (stood["monthToDate"], stood["forecastMonth"])
    assert round(sum(line.days.values()), 2) == round(Decimal(stood["monthToDate"]), 2)
    assert sum(line.by_resource.values()) == line.hourly


async def test_services_of_a_namespace_share_its_budget() -> None:
    world, key = await served("cpuPerCoreHour: '0.40'")
    world.cluster.prices = (world.cluster.prices or "") + "budgets: [{namespace: team, monthly: '1'}]\n"

    await world.settle(key)

    conditions = {one["type"]: one for one in (world.cluster.get(key) or {})["status"]["conditions"]}
    assert conditions["WithinBudget"]["status"] == "False"
    assert "its part, of the budget of namespace team, 1.00" in conditions["WithinBudget"]["message"]
