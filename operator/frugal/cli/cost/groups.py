"""Lines of money put together: by namespace, by a label's value, or each apart. Currencies are never added up."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from decimal import Decimal

from frugal.cli.cost.lines import Line
from frugal.errors import FrugalError

NO_LABEL = "(none)"
NOTHING = Decimal(0)


class UnknownGrouping(FrugalError):
    """`--by` names nothing to group by."""

    def __init__(self, word: str) -> None:
        self.word = word
        super().__init__(f"--by {word!r}: allowed are name, namespace, kind, and label=KEY such as label=team")


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """What several objects cost together, in one currency; what has no price is counted, not guessed."""

    key: str
    currency: str
    lines: tuple[Line, ...]

    @property
    def hourly(self) -> Decimal:
        """An hour of all of them."""
        return _sum(one.hourly for one in self.lines)

    @property
    def spent(self) -> Decimal:
        """Spent since the moment that was asked for."""
        return _sum(one.spent for one in self.lines)

    @property
    def month_to_date(self) -> Decimal:
        """Spent this month."""
        return _sum(one.month_to_date for one in self.lines)

    @property
    def forecast_month(self) -> Decimal:
        """Expected for this month."""
        return _sum(one.forecast_month for one in self.lines)

    @property
    def budget(self) -> Decimal | None:
        """The sum of their budgets; None unless every one that runs has one."""
        budgets = [one.budget for one in self.lines if one.hourly]
        return None if not budgets or None in budgets else _sum(budgets)

    @property
    def allocated(self) -> Decimal:
        """Saved by smaller requests, ever."""
        return _sum(one.savings.since_creation for one in self.lines if one.savings)

    @property
    def realized(self) -> Decimal:
        """Of it, what is no longer paid for."""
        return _sum(one.savings.realized for one in self.lines if one.savings)

    @property
    def unpriced(self) -> int:
        """How many of them run without a price."""
        return sum(bool(one.problem) for one in self.lines)


def grouped(lines: Iterable[Line], by: str) -> tuple[Group, ...]:
    """Return the groups, the dearest first; raises UnknownGrouping."""
    key_of = _key(by)
    found: dict[tuple[str, str], list[Line]] = {}
    for line in lines:
        found.setdefault((key_of(line), line.currency), []).append(line)
    groups = [Group(key=key, currency=currency, lines=tuple(ones)) for (key, currency), ones in found.items()]
    return tuple(sorted(groups, key=lambda one: (-one.spent, -one.hourly, one.key, one.currency)))


def totals(lines: Sequence[Line]) -> tuple[Group, ...]:
    """Return the sum of all lines, one for each currency; lines without a price stand in the first."""
    currencies = sorted({one.currency for one in lines if one.currency}) or [""]
    return tuple(
        Group(
            key="total",
            currency=currency,
            lines=tuple(
                one for one in lines if one.currency == currency or (not one.currency and currency == currencies[0])
            ),
        )
        for currency in currencies
    )


def _key(by: str) -> Callable[[Line], str]:
    if by.startswith("label=") and by != "label=":
        label = by.removeprefix("label=")
        return lambda line: line.labels.get(label, NO_LABEL)
    keys: dict[str, Callable[[Line], str]] = {
        "name": lambda line: f"{line.namespace}/{line.name}",
        "namespace": lambda line: line.namespace,
        "kind": lambda line: line.kind,
    }
    if by not in keys:
        raise UnknownGrouping(by)
    return keys[by]


def _sum(amounts: Iterable[Decimal | None]) -> Decimal:
    return sum((one for one in amounts if one is not None), start=NOTHING)
