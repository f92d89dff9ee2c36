"""The difference between two models in a figure that is the largest of several: a gap, a worst group, a worst class.

Which of the several is the largest is itself uncertain, and noise only ever makes the largest larger, so draws of such
a difference lie to one side of the truth. Each part alone is smooth, and so is the difference of any part of one model
to any part of the other; the bounds of the figure follow from theirs.
"""

from statistics import NormalDist

import numpy as np

from models.metrics.intervals import Interval
from models.metrics.scored import Bools, Floats

KINK = float(1 / (np.sqrt(2) - 1))
"""Noise lifts |t| at 0 in proportion to its own size; noise of twice the variance lifts it sqrt 2 as far. So at 0 the
bias of an estimate is this many times what resampling adds to it; far from 0 both vanish."""

_PLAUSIBLE = 3.0
"""A part counts as possibly the largest unless it is this many standard errors below the largest."""


def difference_of_largest(
    first: Floats, second: Floats, first_draws: Floats, second_draws: Floats, confidence: float, widen: float = 1.0
) -> Interval:
    """Bounds of max(first) - max(second), parts [m] with their paired draws [draws, m]; `widen` scales every spread.

    If k is truly the largest part of the second, the figure is at least first[j] - second[k] for every j, and if j is
    truly the largest of the first, it is at most first[j] - second[k] for every k. So the lower bound is the least over
    plausible k of the best over j, the upper one the reverse.
    """
    tail = (1 - confidence) / 2
    likely_first, likely_second = _plausible(first, first_draws), _plausible(second, second_draws)
    a, b = first_draws[:, likely_first], second_draws[:, likely_second]
    same = np.flatnonzero(likely_first)[:, None] == np.flatnonzero(likely_second)[None, :]
    value = first[likely_first][:, None] - second[likely_second][None, :]
    # Summed by einsum: a threaded matrix product may add in another order on the next run.
    covariance = np.einsum("dj,dk->jk", a - a.mean(0), b - b.mean(0)) / len(a)
    spread = widen * np.sqrt(np.maximum(a.var(0)[:, None] + b.var(0)[None, :] - 2 * covariance, 0))
    lift = KINK * (a.mean(0)[:, None] - b.mean(0)[None, :] - value)
    below = value - _points(same, tail, a.shape[1]) * spread - np.maximum(lift, 0)
    above = value + _points(same, tail, b.shape[1]) * spread + np.maximum(-lift, 0)
    estimate = float(first.max() - second.max())
    return Interval(min(float(below.max(0).min()), estimate), max(float(above.min(1).max()), estimate))


def _plausible(parts: Floats, draws: Floats) -> Bools:
    """Which parts [m] may be the largest."""
    behind = parts.max() - parts
    result: Bools = behind <= _PLAUSIBLE * (draws[:, [int(parts.argmax())]] - draws).std(0)
    return result


def _points(same: Bools, tail: float, candidates: int) -> Floats:
    """Normal points of bounds of which the best is taken: half the error to the same part of both, half to all others."""
    if candidates == 1:
        return np.full(same.shape, NormalDist().inv_cdf(1 - tail))
    alike, other = (NormalDist().inv_cdf(1 - tail / 2 / count) for count in (1, candidates))
    return np.where(same, alike, other)
