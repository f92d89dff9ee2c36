"""Intervals in closed form for means of rows, for the largest of several and for the gap between them.

As `intervals.py` does for shares: the true extreme is one fixed part or pair, so one end can be taken pointwise; the
other must hold for all parts at once. Each mean has Student's t limits, by the normal point and `bootstrap.expansion`.
"""

from __future__ import annotations

import numpy as np

from models.metrics.bootstrap import expansion
from models.metrics.intervals import NONE, Interval, normal, range_critical, simultaneous_tail
from models.metrics.scored import Bools, Floats, Ints


def of_mean(values: Floats, confidence: float) -> Interval:
    """The mean of rows [n]; NaN with fewer than two."""
    means, spreads = _means(values, np.zeros(len(values), dtype=np.int64), np.array([True]))
    if not np.isfinite(spreads).all():
        return NONE
    reach = normal((1 - confidence) / 2) * spreads[0]
    return Interval(float(means[0] - reach), float(means[0] + reach))


def of_largest(values: Floats, ids: Ints, enough: Bools, confidence: float) -> Interval:
    """The largest of the means of rows [n] in the parts [G] let in; NaN without any, or with one of a single row."""
    means, spreads = _means(values, ids, enough)
    if not len(means) or not np.isfinite(spreads).all():
        return NONE
    tail = (1 - confidence) / 2
    high = means + normal(tail) * spreads
    low = means - normal(simultaneous_tail(tail, len(means))) * spreads
    return Interval(float(low.max()), float(high.max()))


def of_smallest(values: Floats, ids: Ints, enough: Bools, confidence: float) -> Interval:
    """The smallest of them."""
    found = of_largest(-values, ids, enough, confidence)
    return Interval(-found.high, -found.low)


def of_gap(values: Floats, ids: Ints, enough: Bools, confidence: float) -> Interval:
    """The largest minus the smallest of them; NaN with fewer than two parts."""
    means, spreads = _means(values, ids, enough)
    if len(means) < 2 or not np.isfinite(spreads).all():
        return NONE
    different = ~np.eye(len(means), dtype=bool)
    difference = (means[:, None] - means[None, :])[different]
    spread = np.sqrt(spreads[:, None] ** 2 + spreads[None, :] ** 2)[different]
    high = difference + normal((1 - confidence) / 2) * spread
    low = difference - range_critical(len(means), confidence) * spread
    return Interval(max(float(low.max()), 0.0), float(high.max()))


def _means(values: Floats, ids: Ints, enough: Bools) -> tuple[Floats, Floats]:
    """Mean and standard error, widened for few rows, of each part let in."""
    means, spreads = [], []
    for part in np.flatnonzero(enough):
        mine = values[ids == part]
        means.append(float(mine.mean()) if len(mine) else np.nan)
        error = float(mine.std(ddof=1)) / np.sqrt(len(mine)) if len(mine) > 1 else np.nan
        spreads.append(error * expansion(max(len(mine), 2)))
    return np.array(means), np.array(spreads)
