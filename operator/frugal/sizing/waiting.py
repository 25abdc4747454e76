"""How many requests wait too long, for many loads and capacities at once, and the load that a capacity carries.

Capacities are real numbers of sequences served at once (M/M/c continued between integers). Chooses nothing.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

_POINTS = 96  # of the quadrature; relative error under 1e-6 up to 100,000 sequences, see the tests
_WIDTHS = 9.0  # standard deviations of the integrand that are kept on either side
_HALVINGS = 48  # of the interval of loads: 2^-48 of the capacity
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(_POINTS)


def erlang_b(load: Floats, capacity: Floats) -> Floats:
    """Return the probability that `capacity` sequences are all busy when who finds them so leaves.

    1 / B(c, a) = integral over t > 0 of exp(-t) (1 + t / a)^c (Jagerman 1974), which also continues B to real c. The
    integrand is highest at t = c - a, about sqrt(c) wide; loads of 0 have probability 0.
    """
    a = np.maximum(np.asarray(load, dtype=float), 1e-9)
    c = np.asarray(capacity, dtype=float)
    top = np.maximum(c - a, 0.0)
    width = np.sqrt(np.maximum(c, 1.0)) + np.where(c > a, 1.0, c / np.maximum(a - c, 1.0))
    low = np.maximum(top - _WIDTHS * width, 0.0)
    high = top + _WIDTHS * width + 12.0
    half = (high - low)[..., None] / 2
    t = low[..., None] + half * (_NODES + 1)
    peak = c * np.log1p(top / a) - top
    logs = c[..., None] * np.log1p(t / a[..., None]) - t - peak[..., None]
    inverse = np.log(np.sum(half * _WEIGHTS * np.exp(logs), axis=-1)) + peak
    blocked: Floats = np.exp(-np.maximum(inverse, 0.0))
    return blocked


def late_share(load: Floats, capacity: Floats, *, wait_budget_seconds: float, service_seconds: float) -> Floats:
    """Return the share of requests that wait longer than the budget; 1 where the load reaches the capacity.

    P(W > T) = C(c, a) exp(-(c - a) T / S), with C = c B / (c - a (1 - B)).
    """
    a, c = np.broadcast_arrays(np.asarray(load, dtype=float), np.asarray(capacity, dtype=float))
    full = a >= c
    spare = np.where(full, 1.0, c - a)
    blocked = erlang_b(np.where(full, 0.0, a), np.where(full, 1.0, c))
    waits = np.where(full, 1.0, c * blocked / (spare + a * blocked))
    share = waits * np.exp(-spare * wait_budget_seconds / service_seconds)
    return np.where(full, 1.0, np.where(a <= 0, 0.0, np.minimum(share, 1.0)))


def largest_load(capacity: Floats, *, wait_budget_seconds: float, service_seconds: float, late_ratio: float) -> Floats:
    """Return the largest load at which at most `late_ratio` of the requests wait longer than the budget."""
    c = np.asarray(capacity, dtype=float)
    low, high = np.zeros_like(c), c.copy()
    for _ in range(_HALVINGS if c.size < 64 else 30):
        middle = (low + high) / 2
        share = late_share(middle, c, wait_budget_seconds=wait_budget_seconds, service_seconds=service_seconds)
        holds = share <= late_ratio
        low, high = np.where(holds, middle, low), np.where(holds, high, middle)
    return low
