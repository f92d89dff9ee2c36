"""Whether later rows look like those of a reference: a test and a size of the change for each column, corrected for their number.

Numbers: the two-sample Kolmogorov-Smirnov distance at the points that the reference keeps, which can only be smaller
than the distance everywhere, so its p-value errs on the side of no drift. Texts: Pearson's chi-squared on the table of
values and samples. The change of the share of missing values is tested beside either, and the smaller p-value counts
twice. The size is the population stability index. p-values are corrected by Holm's method (Scandinavian Journal of
Statistics 6, 1979), so that the chance of any false alarm of a whole table stays below alpha.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import chdtrc, kolmogorov

from models.metrics.profile import Categories, Numbers
from models.metrics.scored import Floats

BINS = 10
"""Bins of a numeric column for the stability index: tenths of the reference."""
FEWEST = 5.0
"""Expected rows of a cell of the chi-squared test; rarer values are taken together."""


@dataclass(frozen=True)
class Drift:
    """One column: the test's name, its statistic, p-value as it is and corrected, the stability index, and the new rows.

    None where there are too few rows to say, and `note` says so.
    """

    column: str
    test: str
    statistic: float | None
    p: float | None
    adjusted: float | None
    psi: float | None
    rows: int
    note: str = ""


def drifts(reference: Mapping[str, Numbers | Categories], found: Mapping[str, Numbers | Categories]) -> list[Drift]:
    """Every column that both have, in the reference's order, with the p-values corrected together."""
    return corrected([drift(name, known, found[name]) for name, known in reference.items() if name in found])


def drift(name: str, reference: Numbers | Categories, found: Numbers | Categories) -> Drift:
    """One column by itself."""
    rows = found.known + found.missing
    if isinstance(reference, Numbers) and isinstance(found, Numbers):
        test, (statistic, p) = "Kolmogorov-Smirnov", smirnov(reference, found)
        cells = binned(reference, found)
    elif isinstance(reference, Categories) and isinstance(found, Categories):
        old, new = by_value(reference, found)
        test, (statistic, p) = "chi-squared", chi_squared(old, new)
        cells = np.append(old, reference.missing), np.append(new, found.missing)
    else:
        return Drift(name, "", None, None, None, None, rows, "numbers in one sample and text in the other")
    _, lost = chi_squared(
        np.array([reference.known, reference.missing], float), np.array([found.known, found.missing], float)
    )
    known = [value for value in (p, lost) if value is not None]
    if not known or not rows:
        return Drift(name, test, None, None, None, None, rows, "no rows to compare")
    both = min(1.0, len(known) * min(known))
    return Drift(name, test, statistic, both, both, stability_index(*cells), rows)


def corrected(found: list[Drift]) -> list[Drift]:
    """Holm's step-down correction of the p-values that there are."""
    order = sorted((d.p, i) for i, d in enumerate(found) if d.p is not None)
    adjusted, highest = list(found), 0.0
    for place, (p, i) in enumerate(order):
        highest = max(highest, min(1.0, (len(order) - place) * p))
        adjusted[i] = replace(found[i], adjusted=highest)
    return adjusted


def smirnov(reference: Numbers, found: Numbers) -> tuple[float | None, float | None]:
    """The distance of two distributions and its asymptotic p-value; None without rows on either side."""
    if not reference.known or not found.known:
        return None, None
    values = np.array(reference.values)
    distance = float(np.abs(shares_at(found, values) - np.array(reference.shares)).max())
    scale = math.sqrt(reference.known * found.known / (reference.known + found.known))
    return distance, float(kolmogorov(scale * distance))


def shares_at(numbers: Numbers, values: Floats) -> Floats:
    """The share at or below each value, as far as the kept points tell: that of the last of them that is not above."""
    place = np.searchsorted(np.array(numbers.values), values, side="right")
    return np.concatenate([[0.0], numbers.shares])[place]


def chi_squared(old: Floats, new: Floats) -> tuple[float | None, float | None]:
    """Pearson's statistic of two samples' counts [K] and its p-value; rare cells are taken together. None if there is nothing to test."""
    total, rows = old.sum() + new.sum(), (old.sum(), new.sum())
    if min(rows) == 0:
        return None, None
    both = old + new
    rare = both * min(rows) / total < FEWEST
    old, new = (np.append(one[~rare], one[rare].sum()) for one in (old, new))
    kept = (old + new) > 0
    old, new = old[kept], new[kept]
    if len(old) < 2:
        return None, None
    expected = (old + new) / total
    statistic = sum(
        float(((one - expected * n) ** 2 / (expected * n)).sum()) for one, n in zip((old, new), rows, strict=True)
    )
    return statistic, float(chdtrc(len(old) - 1, statistic))


def by_value(reference: Categories, found: Categories) -> tuple[Floats, Floats]:
    """Counts of both samples by the reference's values, and of all other values together at the end."""
    names = list(reference.counts)
    old = [float(reference.counts[n]) for n in names] + [float(reference.other)]
    new = [float(found.counts.get(n, 0)) for n in names]
    return np.array(old), np.array([*new, found.known - sum(new)])


def binned(reference: Numbers, found: Numbers) -> tuple[Floats, Floats]:
    """Counts of both samples in tenths of the reference, with the missing values at the end."""
    values, shares = np.array(reference.values), np.array(reference.shares)
    if not len(values):
        return np.array([0.0, reference.missing]), np.array([float(found.known), found.missing])
    places = np.unique(np.searchsorted(shares, np.arange(1, BINS) / BINS - 1e-12))
    edges = values[places[places < len(values) - 1]]
    old = np.diff(np.concatenate([[0.0], shares[np.searchsorted(values, edges)], [1.0]])) * reference.known
    new = np.diff(np.concatenate([[0.0], shares_at(found, edges), [1.0]])) * found.known
    return np.append(old, reference.missing), np.append(new, found.missing)


def stability_index(old: Floats, new: Floats) -> float:
    """The population stability index sum (q - p) log(q / p) of two samples' counts [K], with half a row in every cell.

    Below 0.1 little has changed, above 0.25 much, as credit scoring has it (Siddiqi, Credit Risk Scorecards, 2006).
    """
    used = (old + new) > 0
    p, q = ((one[used] + 0.5) / (one[used] + 0.5).sum() for one in (old, new))
    return float(((q - p) * np.log(q / p)).sum())
