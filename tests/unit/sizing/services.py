"""A service on slices of a card, as the simulator's figures use them."""

from __future__ import annotations

from frugal.sizing.ladder import Flavor, Service

SLICES: tuple[tuple[int, int, float], ...] = (
    (1, 10, 1 / 7),
    (2, 20, 2 / 7),
    (3, 40, 1 / 2),
    (7, 80, 1.0),
)  # slots, GiB, price of a card
SHARES = tuple(share for _, _, share in SLICES)


def service(
    *,
    sequences_per_slot: float = 4.0,
    service_seconds: float = 1.0,
    wait_budget_seconds: float = 0.5,
    model_memory_gib: float = 18.0,
    violation_ratio: float = 0.001,
    prices: tuple[float, ...] = SHARES,
) -> Service:
    flavors = tuple(
        Flavor(name=f"{slots}g", memory_gib=memory, price_per_hour=price, sequences=sequences_per_slot * slots)
        for (slots, memory, _), price in zip(SLICES, prices, strict=True)
    )
    return Service(
        flavors=flavors,
        service_seconds=service_seconds,
        wait_budget_seconds=wait_budget_seconds,
        violation_ratio=violation_ratio,
        startup_minutes=2,
        model_memory_gib=model_memory_gib,
    )
