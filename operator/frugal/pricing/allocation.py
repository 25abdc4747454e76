"""What of a node's price each workload on it bears: every part is known, none is negative, and they add up exactly.

A workload's share of a resource is the larger of what it requested and what it used. Where the shares exceed the node
they are scaled down in proportion and nothing is idle; else the rest is. Knows no cluster and no clock.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import ROUND_FLOOR, Decimal
from enum import StrEnum

from frugal.errors import InvalidAmount

QUANTUM = Decimal("0.000001")  # what is kept of money: parts are whole multiples of it, so that they add up exactly
NOTHING = Decimal(0)


class SharingRule(StrEnum):
    """Who bears what nobody asked for (idle), and what serves everybody (overhead: system pods, the control plane)."""

    APART = "Apart"  # lines of their own
    PROPORTIONAL = "Proportional"  # every workload, in proportion to what it bears itself
    NAMESPACE = "Namespace"  # every namespace alike, within one in proportion


@dataclass(frozen=True, slots=True, kw_only=True)
class Supply:
    """One resource of a node that is paid for: how much of it there is, and its price an hour.

    A card is a supply of its own, with the capacity 1; see pricing/sharing.py for what a slice of it amounts to.
    """

    name: str
    capacity: Decimal
    hourly: Decimal


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one workload has of a node, by the supply's name, in the supply's unit.

    used: what was measured; a resource that is missing was not measured, and what was requested of it counts as idle.
    is_overhead: it serves every workload of the node.
    """

    workload: str
    namespace: str
    requested: Mapping[str, Decimal] = field(default_factory=dict)
    used: Mapping[str, Decimal] = field(default_factory=dict)
    is_overhead: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Charge:
    """Money an hour that one workload bears of one supply.

    used: for what it used. reserved: for what it requested beside that. idle, shared: its part of the node's idle
    capacity and of the overhead, by the rule.
    """

    workload: str
    namespace: str
    supply: str
    used: Decimal = NOTHING
    reserved: Decimal = NOTHING
    idle: Decimal = NOTHING
    shared: Decimal = NOTHING

    @property
    def own(self) -> Decimal:
        """What it bears for itself."""
        return self.used + self.reserved

    @property
    def total(self) -> Decimal:
        """All of it."""
        return self.own + self.idle + self.shared


@dataclass(frozen=True, slots=True, kw_only=True)
class Allocation:
    """A node's price an hour in its parts. `idle` and `shared` are what no workload bears, by supply."""

    charges: tuple[Charge, ...]
    idle: Mapping[str, Decimal]
    shared: Mapping[str, Decimal]

    @property
    def total(self) -> Decimal:
        """The sum of every part: the price of the node, exactly."""
        return sum((one.total for one in self.charges), start=self.total_unborne)

    @property
    def total_unborne(self) -> Decimal:
        """What is kept apart from the workloads."""
        return sum([*self.idle.values(), *self.shared.values()], start=NOTHING)

    def of(self, workload: str) -> Decimal:
        """Return what one workload bears."""
        return sum((one.total for one in self.charges if one.workload == workload), start=NOTHING)


def allocate(
    supplies: Iterable[Supply], claims: Sequence[Claim], *, rule: SharingRule = SharingRule.APART
) -> Allocation:
    """Return who bears a node's price; raises InvalidAmount for an amount that is negative or no number."""
    charges: list[Charge] = []
    idle: dict[str, Decimal] = {}
    shared: dict[str, Decimal] = {}
    for supply in supplies:
        own, unborne, overhead = _of_supply(supply, claims)
        borne = _spread(own, idle=unborne, shared=overhead, rule=rule)
        charges += borne
        idle[supply.name] = unborne - sum((one.idle for one in borne), start=NOTHING)
        shared[supply.name] = overhead - sum((one.shared for one in borne), start=NOTHING)
    return Allocation(charges=tuple(charges), idle=idle, shared=shared)


def divide(amount: Decimal, weights: Sequence[Decimal]) -> list[Decimal]:
    """Return `amount` in parts proportional to `weights`, whole multiples of QUANTUM but the last of what is finer.

    The parts add up to `amount` exactly: what rounding leaves goes to those who lost most by it. Without any weight the
    parts are 0.
    """
    total = sum(weights, start=NOTHING)
    if not total or not weights:
        return [NOTHING for _ in weights]
    exact = [amount * weight / total for weight in weights]
    parts = [one.quantize(QUANTUM, rounding=ROUND_FLOOR) for one in exact]
    rest = amount - sum(parts, start=NOTHING)
    order = sorted(range(len(parts)), key=lambda index: parts[index] - exact[index])
    for index in order:
        step = min(QUANTUM, rest)
        parts[index] += step
        rest -= step
    return parts


def _of_supply(supply: Supply, claims: Sequence[Claim]) -> tuple[list[Charge], Decimal, Decimal]:
    """Return what each workload bears of a supply for itself, what is idle of it and what overhead takes."""
    _check(supply.name, "capacity", supply.capacity)
    _check(supply.name, "hourly", supply.hourly)
    amounts = [_amount(claim, supply.name) for claim in claims]
    taken = sum(amounts, start=NOTHING)
    free = max(NOTHING, supply.capacity - taken)
    *parts, idle = divide(supply.hourly, [*amounts, free]) if taken or free else [*amounts, supply.hourly]
    charges, overhead = [], NOTHING
    for claim, amount, part in zip(claims, amounts, parts, strict=True):
        if claim.is_overhead:
            overhead += part
        elif amount:
            used = divide(part, [_used(claim, supply.name), amount - _used(claim, supply.name)])[0]
            charges.append(_charge(claim, supply, used=used, reserved=part - used))
    return charges, idle, overhead


def _spread(charges: list[Charge], *, idle: Decimal, shared: Decimal, rule: SharingRule) -> list[Charge]:
    """Return the charges with their parts of what is idle and of the overhead; without a charge nobody bears them."""
    if rule is SharingRule.APART or not charges:
        return charges
    weights = [one.own for one in charges]
    if rule is SharingRule.NAMESPACE:
        sums = {one.namespace: NOTHING for one in charges}
        for one in charges:
            sums[one.namespace] += one.own
        weights = [one.own / sums[one.namespace] if sums[one.namespace] else NOTHING for one in charges]
    parts = zip(charges, divide(idle, weights), divide(shared, weights), strict=True)
    return [replace(one, idle=idle_part, shared=shared_part) for one, idle_part, shared_part in parts]


def _amount(claim: Claim, supply: str) -> Decimal:
    requested = claim.requested.get(supply, NOTHING)
    _check(f"{claim.workload}: {supply}", "requested", requested)
    return max(requested, _used(claim, supply))


def _used(claim: Claim, supply: str) -> Decimal:
    used = claim.used.get(supply, NOTHING)
    _check(f"{claim.workload}: {supply}", "used", used)
    return used


def _charge(claim: Claim, supply: Supply, *, used: Decimal, reserved: Decimal) -> Charge:
    return Charge(workload=claim.workload, namespace=claim.namespace, supply=supply.name, used=used, reserved=reserved)


def _check(what: str, field_name: str, amount: Decimal) -> None:
    if not amount.is_finite() or amount < 0:
        raise InvalidAmount(what=what, field=field_name, value=amount)
