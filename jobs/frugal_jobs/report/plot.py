"""The trade-off plot as SVG text: loss against size, a dot per candidate, the Pareto front joined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from frugal.api.result import Candidate

WIDTH, HEIGHT = 640.0, 320.0
LEFT, RIGHT, TOP, BOTTOM = 56.0, 16.0, 16.0, 44.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """A linear map from values to pixels."""

    low: float
    high: float
    start: float
    end: float

    def at(self, value: float) -> float:
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.start + share * (self.end - self.start), 1)

    def ticks(self) -> list[float]:
        """Return round values, about five."""
        raw = (self.high - self.low) / 5
        magnitude = 10.0 ** math.floor(math.log10(raw))
        step = min((factor * magnitude for factor in (1, 2, 5, 10)), key=lambda size: abs(size - raw))
        first = math.ceil(self.low / step - 1e-9)
        return [round(number * step, 10) for number in range(first, math.floor(self.high / step + 1e-9) + 1)]


def trade_off(
    candidates: Sequence[Candidate], front: Sequence[Candidate], *, max_loss: float, published: Candidate | None
) -> Markup:
    """Return the SVG; candidates that failed have no figures and are left out. Empty when none is left."""
    shown = [candidate for candidate in candidates if candidate.figures is not None]
    if not shown:
        return Markup("")
    across = Scale(low=0.8, high=1.1 * max(one.size_ratio for one in shown), start=LEFT, end=WIDTH - RIGHT)
    highest = max(2 * max_loss, min(10.0, max(one.loss for one in shown)), 0.1)
    lowest = min(0.0, *(one.loss for one in shown))
    up = Scale(low=lowest - 0.05 * (highest - lowest), high=1.05 * highest, start=HEIGHT - BOTTOM, end=TOP)
    parts = [_axes(across, up), _limit(up, max_loss), _line(front, across, up)]
    parts += [_dot(one, across, up, is_published=one is published) for one in shown]
    return Markup('<svg viewBox="0 0 {} {}" role="img" aria-label="Loss against size ratio">{}</svg>').format(
        round(WIDTH), round(HEIGHT), Markup("").join(parts)
    )


def _axes(across: Scale, up: Scale) -> Markup:
    parts = []
    for tick in across.ticks():
        x = across.at(tick)
        parts.append(_text(f"{tick:g}x", x, HEIGHT - BOTTOM + 18, "middle"))
        parts.append(_rule(x, TOP, x, HEIGHT - BOTTOM, "grid"))
    for tick in up.ticks():
        y = up.at(tick)
        parts.append(_text(f"{tick:g}", LEFT - 8, y + 4, "end"))
        parts.append(_rule(LEFT, y, WIDTH - RIGHT, y, "grid"))
    parts.append(_text("times smaller", (LEFT + WIDTH - RIGHT) / 2, HEIGHT - 6, "middle"))
    parts.append(
        Markup(
            '<text class="label" text-anchor="middle" transform="translate(14 {}) rotate(-90)">points lost</text>'
        ).format((TOP + HEIGHT - BOTTOM) / 2)
    )
    return Markup("").join(parts)


def _limit(up: Scale, max_loss: float) -> Markup:
    y = up.at(max_loss)
    return _rule(LEFT, y, WIDTH - RIGHT, y, "limit") + _text(f"allowed: {max_loss:g}", WIDTH - RIGHT - 4, y - 5, "end")


def _line(front: Sequence[Candidate], across: Scale, up: Scale) -> Markup:
    points = " ".join(
        f"{across.at(one.size_ratio)},{up.at(one.loss)}" for one in sorted(front, key=lambda one: one.size_ratio)
    )
    return Markup('<polyline class="front" points="{}"/>').format(points)


def _dot(candidate: Candidate, across: Scale, up: Scale, *, is_published: bool) -> Markup:
    title = f"{candidate.technique}: {candidate.loss:.2f} points, {candidate.size_ratio:.2f}x, {candidate.verdict}"
    return Markup('<circle class="{}" cx="{}" cy="{}" r="{}"><title>{}</title></circle>').format(
        "published" if is_published else "dot", across.at(candidate.size_ratio), up.at(candidate.loss),
        7 if is_published else 4.5, title,
    )  # fmt: skip


def _text(text: str, x: float, y: float, anchor: str) -> Markup:
    return Markup('<text class="label" x="{}" y="{}" text-anchor="{}">{}</text>').format(
        round(x, 1), round(y, 1), anchor, escape(text)
    )


def _rule(x1: float, y1: float, x2: float, y2: float, kind: str) -> Markup:
    return Markup('<line class="{}" x1="{}" y1="{}" x2="{}" y2="{}"/>').format(kind, x1, y1, x2, y2)
