"""What part of a budget that several share each may spend. Knows no object; caps and alerts are decisions'."""

from __future__ import annotations

from decimal import Decimal


def allowance(monthly: Decimal, *, own: Decimal, total: Decimal) -> Decimal:
    """Return what one of several may spend of a month's budget that they share.

    own, total: forecasts of the month, of this one and of all of them. While all are within the budget it may take what
    the others leave; over it each gives way in proportion, so that they come to the budget together.
    """
    if total <= monthly:
        return monthly - (total - own)
    return monthly * own / total
