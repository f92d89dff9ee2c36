"""Intervals in closed form for shares of rows and for comparisons of shares between groups.

A bootstrap says [0, 0] of 0 successes in 12 trials, and its percentile interval of a largest-minus-smallest gap
misses a true gap of 0 nearly always, because every resample adds noise to a figure that noise can only raise. So
shares, means of shares, gaps between groups, and calibration errors get score intervals here; what is not made of
shares (areas under curves, losses, macro F1, MCC) is bootstrapped in `bootstrap.py`. Every interval contains its
estimate, and none of 0 or n out of n is a single point.

For a figure that is the extreme of several (a gap, a worst group), one end can be taken pointwise: the true extreme
is one fixed group or pair, and covering that one is enough. The other end must hold for all of them at once.
"""

from __future__ import annotations

import functools
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

from models.metrics.classification import divide
from models.metrics.fairness import Rates
from models.metrics.scored import Bools, Floats


class Interval(NamedTuple):
    """Lower and upper end; NaN where there is none."""

    low: float
    high: float


NONE = Interval(float("nan"), float("nan"))


def normal(tail: float) -> float:
    """The point above which a standard normal falls with this probability."""
    return NormalDist().inv_cdf(1 - tail)


def simultaneous_tail(tail: float, comparisons: int) -> float:
    """The tail of each of several independent comparisons when any of them may err with `tail` in all (Sidak 1967)."""
    return 1 - (1 - tail) ** (1 / max(comparisons, 1))


@functools.lru_cache(maxsize=256)
def range_critical(groups: int, confidence: float) -> float:
    """Upper point of the range of `groups` standard normals, over sqrt 2: Tukey's critical value for all pairs."""
    points = np.linspace(-8, 8, 2001)
    density = np.exp(-(points**2) / 2) / np.sqrt(2 * np.pi)
    below = np.array([NormalDist().cdf(x) for x in points])
    low, high = 0.0, 16.0
    for _ in range(60):
        middle = (low + high) / 2
        shifted = np.interp(points + middle, points, below, right=1.0)
        share = groups * np.trapezoid(density * (shifted - below) ** (groups - 1), points)
        low, high = (middle, high) if share < confidence else (low, middle)
    return (low + high) / 2 / float(np.sqrt(2))


def wilson(successes: Floats, trials: Floats, z: float) -> tuple[Floats, Floats]:
    """Score interval of a share (Wilson 1927) with normal point z, elementwise; NaN without trials."""
    k, n = np.asarray(successes, dtype=np.float64), np.asarray(trials, dtype=np.float64)
    share = divide(k, n)
    safe = np.where(n > 0, n, np.nan)
    spread = z * np.sqrt(share * (1 - share) / safe + z**2 / (4 * safe**2))
    middle, scale = share + z**2 / (2 * safe), 1 + z**2 / safe
    # The ends at 0 and n successes are 0 and 1 exactly; rounding must not move them.
    low = np.where(k <= 0, share, np.minimum((middle - spread) / scale, share))
    high = np.where(k >= n, share, np.maximum((middle + spread) / scale, share))
    return low, high


def of_share(successes: float, trials: float, confidence: float) -> Interval:
    """Wilson's interval of one share."""
    low, high = wilson(np.asarray(successes), np.asarray(trials), normal((1 - confidence) / 2))
    return Interval(float(low), float(high))


def of_f1(true: float, wrong: float, confidence: float) -> Interval:
    """F1 = 2 TP / (2 TP + wrong) as a rising function of the share TP / (TP + wrong), whose interval is Wilson's."""
    share = of_share(true, true + wrong, confidence)
    return Interval(2 * share.low / (1 + share.low), 2 * share.high / (1 + share.high))


def of_mean(successes: Floats, trials: Floats, confidence: float) -> Interval:
    """Mean of independent shares [C], as balanced accuracy: squared distances to Wilson's ends add up (Zou and Donner 2008)."""
    share = divide(successes, trials)
    low, high = wilson(successes, trials, normal((1 - confidence) / 2))
    mean, count = float(share.mean()), len(share)
    below = float(np.sqrt(((share - low) ** 2).sum())) / count
    above = float(np.sqrt(((high - share) ** 2).sum())) / count
    return Interval(max(mean - below, 0.0), min(mean + above, 1.0))


def of_geometric_mean(successes: Floats, trials: Floats, confidence: float) -> Interval:
    """Geometric mean of independent shares [C]: as `of_mean` on the logarithms; from 0 when a share is 0."""
    share = divide(successes, trials)
    low, high = wilson(successes, trials, normal((1 - confidence) / 2))
    count = len(share)
    if not (successes > 0).all():
        # log 0 has no distance: the upper end lets every share take its own upper end.
        return Interval(0.0, float(high.prod() ** (1 / count)))
    logarithm = np.log(share)
    below = np.sqrt(((logarithm - np.log(low)) ** 2).sum()) / count
    above = np.sqrt(((np.log(high) - logarithm) ** 2).sum()) / count
    middle = logarithm.mean()
    return Interval(float(np.exp(middle - below)), float(min(np.exp(middle + above), 1.0)))


def of_smallest(successes: Floats, trials: Floats, confidence: float) -> Interval:
    """The smallest of several independent shares (worst class, worst group); NaN without any."""
    if not len(successes):
        return NONE
    tail = (1 - confidence) / 2
    low, _ = wilson(successes, trials, normal(tail))
    _, high = wilson(successes, trials, normal(simultaneous_tail(tail, len(successes))))
    return Interval(float(low.min()), float(high.min()))


def of_difference_gap(families: list[tuple[Rates, Bools]], confidence: float) -> Interval:
    """Largest minus smallest share between groups, over all families of rates; NaN when nothing can be compared.

    families: rates [K, G] and which groups [K, G] take part. Each pair has Newcombe's (1998) hybrid score limits; the
    upper end is pointwise, the lower holds for all pairs at once by Tukey's range, as Agresti et al. (2008) do.
    """
    comparisons = [(k, n) for rate, mask in families for k, n in _taking_part(rate, mask)]
    if not comparisons:
        return NONE
    tail = (1 - confidence) / 2
    each = 1 - simultaneous_tail(1 - confidence, len(comparisons))
    lows, highs = [0.0], [0.0]
    for k, n in comparisons:
        _, above = _difference_limits(k, n, normal(tail))
        below, _ = _difference_limits(k, n, range_critical(len(k), each))
        highs.append(float(above.max()))
        lows.append(float(below.max()))
    return Interval(max(lows), min(max(highs), 1.0))


def _difference_limits(k: Floats, n: Floats, z: float) -> tuple[Floats, Floats]:
    """Newcombe's limits of share[a] - share[b] for all a != b of the shares k / n [G]."""
    share, (low, high) = k / n, wilson(k, n, z)
    pairs = ~np.eye(len(k), dtype=bool)
    difference = (share[:, None] - share[None, :])[pairs]
    below = np.sqrt((share - low)[:, None] ** 2 + (high - share)[None, :] ** 2)[pairs]
    above = np.sqrt((high - share)[:, None] ** 2 + (share - low)[None, :] ** 2)[pairs]
    return difference - below, difference + above


def of_ratio_gap(families: list[tuple[Rates, Bools]], confidence: float) -> Interval:
    """Smallest over largest share between groups, over all families of rates; NaN when nothing can be compared.

    As `of_difference_gap`, with the limits of Donner and Zou (2012) for a ratio of two shares.
    """
    comparisons = [(k, n) for rate, mask in families for k, n in _taking_part(rate, mask)]
    if not any(k.max() > 0 for k, _ in comparisons):
        return NONE
    tail = (1 - confidence) / 2
    each = 1 - simultaneous_tail(1 - confidence, len(comparisons))
    lows, highs = [], [1.0]
    for k, n in comparisons:
        pairs = ~np.eye(len(k), dtype=bool)
        low, _ = _ratio_limits(k / n, *wilson(k, n, normal(tail)))
        _, high = _ratio_limits(k / n, *wilson(k, n, range_critical(len(k), each)))
        lows.append(float(low[pairs].min()))
        highs.append(float(high[pairs].min()))
    return Interval(max(min(lows), 0.0), min(highs))


def _ratio_limits(share: Floats, low: Floats, high: Floats) -> tuple[Floats, Floats]:
    """Limits of share[a] / share[b] for all a, b [G, G], capped at 1, which a smallest ratio cannot exceed."""
    product = share[:, None] * share[None, :]
    lower = _ratio_root(
        product, low[:, None] * (2 * share - low)[:, None], high[None, :] * (2 * share - high)[None, :], -1
    )
    upper = _ratio_root(
        product, high[:, None] * (2 * share - high)[:, None], low[None, :] * (2 * share - low)[None, :], +1
    )
    return np.clip(np.nan_to_num(lower, nan=0.0), 0, 1), np.clip(np.nan_to_num(upper, nan=1.0, posinf=1.0), 0, 1)


def _ratio_root(product: Floats, above: Floats, below: Floats, sign: int) -> Floats:
    """(product ± sqrt(product² - above·below)) / below, in the form that does not cancel."""
    root = np.sqrt(np.maximum(product**2 - above * below, 0))
    if sign > 0:
        return divide(product + root, below)
    return divide(above, product + root)


def of_ece(sums: Floats, confidence: float) -> Interval:
    """Expected calibration error from the sums [3, bins] of one set of rows; NaN without rows.

    The plain estimate is biased upwards, and a bootstrap of it doubly so. Given the scores, each bin's share of hits
    has Wilson's distances a_b (times the bin's share of rows). Upper end: for the true signs s of the bins' errors,
    ECE = sum s_b t_b <= estimate + z sqrt(sum a_b²). Lower end: estimate - r, where r bounds sum |error of t_b|, a sum
    of folded normals, by its mean and standard deviation.
    """
    rows, hits, summed = sums
    total = rows.sum()
    if total == 0:
        return NONE
    z = normal((1 - confidence) / 2)
    rows, hits, summed = rows[rows > 0], hits[rows > 0], summed[rows > 0]
    value = float(np.abs(summed - hits).sum() / total)
    low, high = wilson(hits, rows, z)
    share = hits / rows
    reach = np.maximum(high - share, share - low) * rows / total
    scale = reach / z
    radius = scale.sum() * np.sqrt(2 / np.pi) + z * np.sqrt((scale**2).sum() * (1 - 2 / np.pi))
    return Interval(max(value - float(radius), 0.0), min(value + float(np.sqrt((reach**2).sum())), 1.0))


def of_largest_ece(sums: Floats, confidence: float) -> Interval:
    """The largest calibration error of several groups, sums [3, G, bins]; NaN without groups."""
    groups = sums.shape[1]
    if not groups:
        return NONE
    single = 1 - 2 * simultaneous_tail((1 - confidence) / 2, groups)
    lows = [of_ece(sums[:, g], single).low for g in range(groups)]
    highs = [of_ece(sums[:, g], confidence).high for g in range(groups)]
    return Interval(max(lows), max(highs))


def _taking_part(rate: Rates, mask: Bools) -> list[tuple[Floats, Floats]]:
    """Successes and trials of the groups that take part, per compared class with at least two of them."""
    return [(k[m], n[m]) for k, n, m in zip(rate.successes, rate.trials, mask, strict=True) if m.sum() >= 2]
