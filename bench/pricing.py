"""Money: the parts of a node add up to its price over every legal layout of every card, and used cost follows use.

A layout is a node with all of one card's ways to be cut, shared or whole, under several ways to be paid, its cores and
memory held by workloads that ask and use what a seeded generator says. Reads no cluster; one core, some 20 s.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal

from bench.figures import Figure, Goal, write
from frugal.api.accelerators import CARDS, Card, MigCard
from frugal.api.price_book import PriceBook, Pricing
from frugal.pricing.allocation import Allocation, Claim, SharingRule, Supply, allocate
from frugal.pricing.node import node_supplies
from frugal.pricing.sharing import parted_activity, slice_of_card, time_slice
from frugal.units import GIB

SEED = 7
CPU_LAYOUTS = 5_000
SHARED_LAYOUTS = 5_000
MIGRATIONS = 500
SAMPLES = 5_760  # a day, each 15 s; with 10 % duty the standard error of the ratio is then 4 %
CENT = Decimal("0.01")
PRODUCTS = {"A30": "NVIDIA-A30", "H100-PCIE-80GB": "NVIDIA-H100-PCIE-80GB"}
PRICE = Decimal("6.88")


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """A node, its workloads, and what the whole of it costs an hour."""

    supplies: tuple[Supply, ...]
    claims: tuple[Claim, ...]
    price: Decimal


def product_of(card: Card) -> str:
    """Return the label that a node with this card carries."""
    return PRODUCTS.get(card.name) or "NVIDIA-" + card.name


def legal_layouts(cut: MigCard) -> Iterator[tuple[str, ...]]:
    """Yield every set of profiles whose slices fit on a card: every layout that NVIDIA allows is one of these."""
    names = sorted(cut.profiles)

    def fill(first: int, compute: int, memory: int) -> Iterator[tuple[str, ...]]:
        yield ()
        for index in range(first, len(names)):
            taken = cut.profiles[names[index]]
            if taken.compute <= compute and taken.memory <= memory:
                for rest in fill(index, compute - taken.compute, memory - taken.memory):
                    yield (names[index], *rest)

    yield from fill(0, cut.compute, cut.memory)


def book() -> PriceBook:
    """Return prices on demand and spot, negotiated, and a node of one's own: what is split is its bill."""
    cards = {product_of(card): "6.88" for card in CARDS}
    parts = {"cpuPerCoreHour": "0.0335", "memoryPerGiBHour": "0.0045", "gpuPerHour": cards}
    owned = {"purchasePrice": "31000", "years": 4, "powerWatts": 812, "pricePerKWh": "0.29", "pue": 1.3}
    node = {"owned": owned, "cpu": "48", "memory": "192Gi"}
    return PriceBook.model_validate(
        {
            "currency": "USD",
            "source": "generated for this benchmark",
            "retrievedAt": "2026-11-01",
            "discountRatio": 0.07,
            "entries": [
                parts,
                {**parts, "pricing": "spot", "cpuPerCoreHour": "0.0110", "discountRatio": 0.1},
                {**parts, "pricing": "owned", "nodeLabels": {"rack": "7"}, "node": node},
            ],
        }
    )


def amount(chance: random.Random, most: float) -> Decimal:
    """Return an amount as it is measured: a float's decimal text."""
    return Decimal(str(chance.uniform(0, most)))


def hosts(chance: random.Random, count: int, cores: Decimal, memory: Decimal) -> list[Claim]:
    """Return workloads on cores and memory: some ask and idle, some use more than they asked, some serve all."""
    return [
        Claim(
            workload=f"w{number}",
            namespace=chance.choice(("red", "green", "blue")),
            requested={"cpu": amount(chance, float(cores) / 4), "memory": amount(chance, float(memory) / 4)},
            used={"cpu": amount(chance, float(cores) / 3), "memory": amount(chance, float(memory) / 5)},
            is_overhead=number % 5 == 4,
        )
        for number in range(count)
    ]


def node(
    chance: random.Random, prices: PriceBook, card: Card | None, pricing: Pricing, pieces: Sequence[Decimal]
) -> Layout:
    """Return a node whose card, if it has one, is held in these pieces by as many workloads."""
    cores, memory = Decimal(chance.choice((4, 16, 48))), Decimal(chance.choice((16, 64, 192))) * GIB
    labels = {"rack": "7"} if pricing is Pricing.OWNED else {}
    labels |= {"nvidia.com/gpu.product": product_of(card)} if card is not None else {}
    names = ("GPU-0",) if card is not None else ()
    supplies = node_supplies(prices, node_labels=labels, pricing=pricing, cores=cores, memory_bytes=memory, cards=names)
    claims = hosts(chance, chance.randrange(0, 7), cores, memory)
    claims += [
        Claim(
            workload=f"g{number}",
            namespace="red",
            requested={"GPU-0": piece},
            used={"GPU-0": piece * amount(chance, 1)},
        )
        for number, piece in enumerate(pieces)
    ]
    return Layout(supplies=supplies, claims=tuple(claims), price=by_hand(pricing, cores, memory, card is not None))


def by_hand(pricing: Pricing, cores: Decimal, memory: Decimal, has_card: bool) -> Decimal:
    """Return what the node costs an hour, from the figures of `book` and nothing of the code that is measured."""
    core = Decimal("0.0110") if pricing is Pricing.SPOT else Decimal("0.0335")
    listed = core * cores + Decimal("0.0045") * memory / GIB + (PRICE if has_card else 0)
    if pricing is Pricing.OWNED:
        bill = Decimal(31_000) / (4 * 8760) + Decimal("0.812") * Decimal("1.3") * Decimal("0.29")
        listed *= bill / (Decimal("0.0335") * 48 + Decimal("0.0045") * 192)
    return listed * Decimal("0.93") * (Decimal("0.9") if pricing is Pricing.SPOT else 1)


def layouts(chance: random.Random) -> Iterator[Layout]:
    """Yield every legal MIG layout of each card under each way to pay, shared cards, and nodes without a card."""
    prices = book()
    for card in (one for one in CARDS if one.mig is not None):
        assert card.mig is not None
        for profiles in legal_layouts(card.mig):
            pieces = [slice_of_card(card.name, profile) for profile in profiles]
            for pricing in (Pricing.ON_DEMAND, Pricing.SPOT):
                yield node(chance, prices, card, pricing, pieces)
    for number in range(SHARED_LAYOUTS):
        replicas = chance.randint(1, 16)
        held = chance.randint(0, replicas)
        pricing = (Pricing.ON_DEMAND, Pricing.SPOT)[number % 2]
        yield node(chance, prices, chance.choice(CARDS), pricing, [time_slice(replicas)] * held)
    for number in range(CPU_LAYOUTS):
        yield node(chance, prices, None, tuple(Pricing)[(number % 3) if number % 3 < 2 else 3], [])


@dataclass(slots=True)
class Tally:
    """What was found over all layouts."""

    count: int = 0
    worst_ratio: float = 0.0
    worst_money: Decimal = Decimal(0)
    negative: int = 0

    def take(self, layout: Layout, found: Allocation) -> None:
        """Add one layout."""
        parts = [part for one in found.charges for part in (one.used, one.reserved, one.idle, one.shared)]
        parts += [*found.idle.values(), *found.shared.values()]
        off = abs(sum(parts, start=Decimal(0)) - layout.price)
        self.count += 1
        self.worst_ratio = max(self.worst_ratio, float(off / layout.price))
        self.worst_money = max(self.worst_money, off)
        self.negative += sum(part < 0 for part in parts)


def tallied() -> tuple[Tally, float]:
    """Return what adds up, over all layouts and rules, and the CPU seconds of one allocation."""
    chance, tally, seconds = random.Random(SEED), Tally(), 0.0
    for layout in layouts(chance):
        rule = tuple(SharingRule)[tally.count % 3]
        started = time.process_time()
        found = allocate(layout.supplies, layout.claims, rule=rule)
        seconds += time.process_time() - started
        tally.take(layout, found)
    return tally, seconds / tally.count


def moved() -> float:
    """Return the worst error of a month's sum while pods move between two nodes, relative to what both nodes cost."""
    chance, worst = random.Random(SEED), 0.0
    for _ in range(MIGRATIONS):
        supplies = tuple(Supply(name="cpu", capacity=Decimal(16), hourly=Decimal("0.536")) for _ in range(2))
        booked = paid = Decimal(0)
        for _ in range(10):
            hours = amount(chance, 4)
            place = [chance.randrange(2) for _ in range(6)]
            for index, supply in enumerate(supplies):
                here = [
                    Claim(workload=f"w{pod}", namespace="n", requested={"cpu": Decimal(4)})
                    for pod, where in enumerate(place)
                    if where == index
                ]
                found = allocate([supply], here)
                booked += (sum(found.of(f"w{pod}") for pod in range(6)) + found.total_unborne) * hours
                paid += supply.hourly * hours
        worst = max(worst, float(abs(booked - paid) / paid))
    return worst


def shared_card(pods: int) -> float:
    """Return the used cost of N pods on one card over that of its activity, when each reports the card's own figure."""
    card_activity = Decimal("0.63")
    parts = parted_activity(card_activity, {f"pod-{number}": None for number in range(pods)})
    found = allocate(
        [Supply(name="card", capacity=Decimal(1), hourly=PRICE)],
        [
            Claim(workload=pod, namespace="n", requested={"card": time_slice(pods)}, used={"card": activity})
            for pod, activity in parts.items()
        ],
    )
    own, used = sum(one.own for one in found.charges), sum(one.used for one in found.charges)
    return float(max(own / PRICE, used / (PRICE * card_activity), key=lambda ratio: abs(ratio - 1)))


def duty_ratio() -> float:
    """Return used cost of a pod that computes 90 % of the time over that of one that does 10 %, from noisy samples.

    As an exporter reads it: the value of one instant each 15 s, over a day, on a card that is shared by both.
    """
    chance = random.Random(SEED)
    spent = {"busy": Decimal(0), "calm": Decimal(0)}
    for _ in range(SAMPLES):
        measured = {"busy": _instant(chance, 0.9), "calm": _instant(chance, 0.1)}
        mean = {pod: activity / 2 for pod, activity in measured.items()}  # each holds half of the card
        claims = [
            Claim(workload=pod, namespace="n", requested={"card": time_slice(2)}, used={"card": activity})
            for pod, activity in mean.items()
        ]
        for one in allocate([Supply(name="card", capacity=Decimal(1), hourly=PRICE)], claims).charges:
            spent[one.workload] += one.used
    return float(spent["busy"] / spent["calm"])


def _instant(chance: random.Random, duty: float) -> Decimal:
    return Decimal(1) if chance.random() < duty else Decimal(0)


def figures() -> list[Figure]:
    """Measure everything."""
    tally, seconds = tallied()
    cards = [shared_card(pods) for pods in range(1, 49)]
    at_most = Goal(direction="at most", value=0.001)
    return [
        Figure(
            figure="layouts generated",
            value=tally.count,
            unit="layouts",
            goal=Goal(direction="at least", value=10_000),
        ),
        Figure(figure="worst error of used + idle + shared", value=tally.worst_ratio, unit="ratio", goal=at_most),
        Figure(
            figure="the same in money",
            value=float(tally.worst_money),
            unit="USD an hour",
            goal=Goal(direction="at most", value=float(CENT)),
        ),
        Figure(figure="negative parts", value=tally.negative, unit="parts", goal=Goal(direction="at most", value=0)),
        Figure(figure="worst error while pods move between nodes", value=moved(), unit="ratio", goal=at_most),
        Figure(
            figure="1 to 48 pods on a card: worst sum, off the card by",
            value=max(abs(one - 1) for one in cards),
            unit="ratio",
            goal=Goal(direction="at most", value=0.02),
        ),
        Figure(
            figure="used cost at 90 % duty / at 10 %, off 9 by",
            value=abs(duty_ratio() / 9 - 1),
            unit="ratio",
            goal=Goal(direction="at most", value=0.1),
        ),
        Figure(figure="one allocation, one core", value=seconds * 1e6, unit="us"),
    ]


def main() -> None:
    """Measure, print and keep the figures."""
    measured = figures()
    for figure in measured:
        print(f"{figure.figure}: {figure.value:.6g} {figure.unit}")
    print(write("pricing", measured))


if __name__ == "__main__":
    main()
