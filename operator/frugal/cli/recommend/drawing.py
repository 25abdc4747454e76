"""Pictures in characters: a histogram with its percentile, and a series over time. Knows nothing of what it draws."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from frugal.sizing.histogram import Histogram

BLOCKS = " ▁▂▃▄▅▆▇█"
BAR_WIDTH = 40
MOST_ROWS = 12  # neighbouring buckets are put together so that a picture fits a screen
LEAST_SHARE = 0.0005  # less than this draws as nothing

Written = Callable[[float], str]


def bars(histogram: Histogram, written: Written, *, marks: Sequence[tuple[str, float]] = ()) -> list[str]:
    """Return one row for each range of values, its share as a bar; `marks` name values in their rows.

    written: how a value is told to people.
    """
    total = histogram.total_weight
    if histogram.is_empty or not total:
        return []
    filled = [index for index, weight in enumerate(histogram.weights) if weight / total >= LEAST_SHARE]
    groups = _groups(filled[0], filled[-1])
    shares = [sum(histogram.weights[first : last + 1]) / total for first, last in groups]
    rows = []
    for (first, last), share in zip(groups, shares, strict=True):
        low, high = histogram.buckets.start(first), histogram.buckets.percentile_edge(last)
        named = ", ".join(name for name, value in marks if low < value <= high or (value == low == 0))
        bar = bar_of(share / max(shares))
        rows.append(f"{written(low):>8} - {written(high):<8} {bar:<{BAR_WIDTH}} {share:>5.1%}  {named}".rstrip())
    return rows


def bar_of(ratio: float, width: int = BAR_WIDTH) -> str:
    """Return a bar of so much of the width, to an eighth of a character."""
    eighths = round(max(0.0, min(1.0, ratio)) * width * 8)
    whole, rest = divmod(eighths, 8)
    return "█" * whole + ("▏▎▍▌▋▊▉"[rest - 1] if rest else "")


def series(values: Sequence[float]) -> str:
    """Return one character a value, from nothing to the highest of them."""
    highest = max(values, default=0.0)
    if highest <= 0:
        return BLOCKS[0] * len(values)
    return "".join(BLOCKS[round(value / highest * (len(BLOCKS) - 1))] for value in values)


def _groups(first: int, last: int) -> list[tuple[int, int]]:
    size = -(-(last - first + 1) // MOST_ROWS)
    return [(start, min(start + size - 1, last)) for start in range(first, last + 1, size)]
