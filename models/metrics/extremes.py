"""The difference between two models in a figure with kinks: the largest of several parts, or a sum of absolute values.

A gap between groups, a worst group and a calibration error are lifted by noise, and most in the model that has least
of them: which part is the largest, or which side of 0 it lies on, is itself uncertain. So draws of such a difference
lie to one side of the truth. Each part alone is smooth, and so is the difference of parts; bounds follow from theirs.
"""

from statistics import NormalDist

import numpy as np

from models.metrics.intervals import Interval
from models.metrics.scored import Bools, Floats

_MAYBE_LARGEST, _MAYBE_ZERO = 3.0, 2.0
"""A part counts as possibly the largest, or as possibly 0, within this many standard errors."""


def difference_of_largest(
    first: Floats,
    second: Floats,
    first_draws: Floats,
    second_draws: Floats,
    confidence: float,
    widen: float = 1.0,
    lifts: tuple[Floats, Floats] | None = None,
) -> Interval:
    """Bounds of max(first) - max(second), parts [m] with their paired draws [draws, m]; `widen` scales every spread.

    If k is truly the largest part of the second, the figure is at least first[j] - second[k] for every j, and if j is
    truly the largest of the first, it is at most first[j] - second[k] for every k. So the lower bound is the least over
    plausible k of the best over j, the upper one the reverse. `lifts` [m, m] say how far noise may have lifted part j
    of the first above the truth, and part k of the second, where the parts themselves have kinks.
    """
    tail = (1 - confidence) / 2
    likely_first, likely_second = _plausible(first, first_draws), _plausible(second, second_draws)
    place = np.ix_(likely_first, likely_second)
    a, b = first_draws[:, likely_first], second_draws[:, likely_second]
    same = np.eye(len(first), dtype=bool)[place]
    value = first[likely_first][:, None] - second[likely_second][None, :]
    # Summed by einsum: a threaded matrix product may add in another order on the next run.
    covariance = np.einsum("dj,dk->jk", a - a.mean(0), b - b.mean(0)) / len(a)
    spread = widen * np.sqrt(np.maximum(a.var(0)[:, None] + b.var(0)[None, :] - 2 * covariance, 0))
    below = value - _points(same, tail, a.shape[1]) * spread
    above = value + _points(same, tail, b.shape[1]) * spread
    if lifts is not None:
        below, above = below - lifts[0][place], above + lifts[1][place]
    estimate = float(first.max() - second.max())
    return Interval(min(float(below.max(0).min()), estimate), max(float(above.min(1).max()), estimate))


def difference_of_sums(
    first: Floats, second: Floats, first_draws: Floats, second_draws: Floats, confidence: float, widen: float = 1.0
) -> Interval:
    """Bounds of sum |first| - sum |second|, terms [m] with their paired draws [draws, m]; `widen` scales every spread."""
    estimate = float(np.abs(first).sum() - np.abs(second).sum())
    draws = np.abs(first_draws).sum(1) - np.abs(second_draws).sum(1)
    reach = NormalDist().inv_cdf((1 + confidence) / 2) * widen * float(draws.std())
    apart = _apart(first, second, first_draws, second_draws)
    lifts = [float(_lift(*pair, apart)) for pair in ((first, first_draws), (second, second_draws))]
    return Interval(estimate - reach - lifts[0], estimate + reach + lifts[1])


def difference_of_largest_sums(
    first: Floats, second: Floats, first_draws: Floats, second_draws: Floats, confidence: float, widen: float = 1.0
) -> Interval:
    """The same for the largest of m such sums: terms [m, t], draws [draws, m, t]."""
    alike = np.eye(len(first), dtype=bool)
    apart = _apart(first, second, first_draws, second_draws)
    unknown = np.full(apart.shape, np.inf)
    pairs = ((first, first_draws), (second, second_draws))
    limited, own = ([_lift(*pair, limit) for pair in pairs] for limit in (apart, unknown))
    lifts = (
        np.where(alike, limited[0][:, None], own[0][:, None]),
        np.where(alike, limited[1][None, :], own[1][None, :]),
    )
    summed = [np.abs(terms).sum(-1) for terms in (first, second, first_draws, second_draws)]
    return difference_of_largest(summed[0], summed[1], summed[2], summed[3], confidence, widen, lifts)


def _lift(terms: Floats, draws: Floats, apart: Floats) -> Floats:
    """How far noise may have lifted sum |terms| above the truth, and above what it did to the other model [...].

    Noise of size s lifts |t| by at most s sqrt(2 / pi), which it does at 0; and it lifts the other model's |t'| by as
    much, up to |t - t'|.
    """
    spread = draws.std(0)
    lifted = np.where(np.abs(terms) <= _MAYBE_ZERO * spread, np.sqrt(2 / np.pi) * spread, 0)
    return np.minimum(lifted, apart).sum(-1)


def _apart(first: Floats, second: Floats, first_draws: Floats, second_draws: Floats) -> Floats:
    """How far the terms of the two models may differ."""
    return np.abs(first - second) + (first_draws - second_draws).std(0)


def _plausible(parts: Floats, draws: Floats) -> Bools:
    """Which parts [m] may be the largest."""
    behind = parts.max() - parts
    result: Bools = behind <= _MAYBE_LARGEST * (draws[:, [int(parts.argmax())]] - draws).std(0)
    return result


def _points(same: Bools, tail: float, candidates: int) -> Floats:
    """Normal points of bounds of which the best is taken: half the error to the same part of both, half to all others."""
    if candidates == 1:
        return np.full(same.shape, NormalDist().inv_cdf(1 - tail))
    alike, other = (NormalDist().inv_cdf(1 - tail / 2 / count) for count in (1, candidates))
    return np.where(same, alike, other)
