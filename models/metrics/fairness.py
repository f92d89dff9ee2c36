"""Comparisons between groups, generated from one table: which rates are compared, and how.

A binary target is compared on its positive class, a multiclass one on every class against the rest; the worst class
counts. A group that cannot be compared (no rows, or too few) is left out by a mask that the caller keeps and reports.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, NamedTuple

import numpy as np

from models.metrics.classification import divide, keyed_sums
from models.metrics.scored import Bools, Floats, Grouping, Ints, Scored

Kind = Literal["selection_rate", "true_positive_rate", "false_positive_rate"]


class Rates(NamedTuple):
    """Successes and trials of one kind of rate, [..., K, G]: K compared classes (1 if binary), G groups."""

    successes: Floats
    trials: Floats


@dataclass(frozen=True)
class Evidence:
    """How many rows a figure needs before it is judged: `rows` in all, and `per_class` of each class that it is made of."""

    rows: int = 1
    per_class: int = 1


class Gap(NamedTuple):
    """A comparison of groups: the largest difference, or the smallest ratio, of any of these kinds of rate."""

    kinds: tuple[Kind, ...]
    how: Literal["difference", "ratio"]


GAPS: dict[str, Gap] = {
    "demographic_parity_difference": Gap(("selection_rate",), "difference"),
    "demographic_parity_ratio": Gap(("selection_rate",), "ratio"),
    "equal_opportunity_difference": Gap(("true_positive_rate",), "difference"),
    "equalized_odds_difference": Gap(("true_positive_rate", "false_positive_rate"), "difference"),
    "equalized_odds_ratio": Gap(("true_positive_rate", "false_positive_rate"), "ratio"),
}


def group_confusion(scored: Scored, ids: Ints, groups: int, weights: Floats | None = None) -> Floats:
    """Confusion matrix of every group [..., G, C, C]; weights [n] or [draws, n]."""
    c = scored.classes
    keys = (ids * c + scored.labels) * c + scored.decisions
    sums = keyed_sums(keys, groups * c * c, weights)
    return sums.reshape(*sums.shape[:-1], groups, c, c)


def compared_classes(classes: int) -> tuple[int, ...]:
    """The classes on which groups are compared: the positive of two, or all."""
    return (1,) if classes == 2 else tuple(range(classes))


def _selection_rate(confusion: Floats, which: list[int]) -> Rates:
    chosen = np.moveaxis(confusion.sum(-2)[..., which], -1, -2)
    return Rates(chosen, np.broadcast_to(confusion.sum((-2, -1))[..., None, :], chosen.shape))


def _true_positive_rate(confusion: Floats, which: list[int]) -> Rates:
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)[..., which]
    return Rates(np.moveaxis(hits, -1, -2), np.moveaxis(confusion.sum(-1)[..., which], -1, -2))


def _false_positive_rate(confusion: Floats, which: list[int]) -> Rates:
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)[..., which]
    false = confusion.sum(-2)[..., which] - hits
    others = confusion.sum((-2, -1))[..., None] - confusion.sum(-1)[..., which]
    return Rates(np.moveaxis(false, -1, -2), np.moveaxis(others, -1, -2))


_RATES: dict[Kind, Callable[[Floats, list[int]], Rates]] = {
    "selection_rate": _selection_rate,
    "true_positive_rate": _true_positive_rate,
    "false_positive_rate": _false_positive_rate,
}


def rates(kind: Kind, confusion: Floats) -> Rates:
    """Successes and trials [..., K, G] of one kind of rate from group confusions [..., G, C, C]."""
    return _RATES[kind](confusion, list(compared_classes(confusion.shape[-1])))


def usable(kind: Kind, confusion: Floats, evidence: Evidence) -> Bools:
    """Which groups have enough rows for this kind of rate [K, G]; confusion [G, C, C] of counts."""
    enough = confusion.sum((-2, -1)) >= max(evidence.rows, 1)
    trials = rates(kind, confusion).trials
    needed = 1 if kind == "selection_rate" else max(evidence.per_class, 1)
    return enough[None, :] & (trials >= needed)


def gap(name: str, confusion: Floats, masks: dict[Kind, Bools]) -> Floats:
    """Value of the gap `name` [...] from group confusions [..., G, C, C], over the groups that `masks` lets in.

    NaN unless each kind of rate can be compared between two groups for some class. A ratio of 0 / 0 (no group has any
    success) is no comparison.
    """
    spec = GAPS[name]
    parts = [compare(rates(kind, confusion), masks[kind], spec.how) for kind in spec.kinds]
    values = np.concatenate(parts, axis=-1)
    possible = all(bool((masks[kind].sum(-1) >= 2).any()) for kind in spec.kinds)
    if not possible:
        return np.full(values.shape[:-1], np.nan)
    return extreme(values, np.fmax if spec.how == "difference" else np.fmin)


def worst_group_accuracy(confusion: Floats, enough: Bools) -> Floats:
    """The lowest accuracy of the groups [G] let in, from group confusions [..., G, C, C]; NaN if none is."""
    return extreme(np.where(enough, group_accuracy(confusion), np.nan), np.fmin)


def group_accuracy(confusion: Floats) -> Floats:
    """Share decided right per group [..., G] from group confusions [..., G, C, C]."""
    return divide(np.diagonal(confusion, axis1=-2, axis2=-1).sum(-1), confusion.sum((-2, -1)))


def ece_worst_group(errors: Floats, enough: Bools) -> Floats:
    """The largest calibration error [..., G] of the groups [G] let in; NaN if none is."""
    return extreme(np.where(enough, errors, np.nan), np.fmax)


def enough_rows(grouping: Grouping, evidence: Evidence) -> Bools:
    """Which groups [G] have enough rows for a mean over rows."""
    return grouping.counts >= max(evidence.rows, 1)


def compare(rate: Rates, mask: Bools, how: str) -> Floats:
    """Largest minus smallest, or smallest over largest, per compared class [..., K]; NaN with fewer than two groups."""
    share = np.where(mask, divide(rate.successes, rate.trials), np.nan)
    low, high = extreme(share, np.fmin), extreme(share, np.fmax)
    value = high - low if how == "difference" else divide(low, np.asarray(high))
    return np.where(mask.sum(-1) >= 2, value, np.nan)


def extreme(values: Floats, which: np.ufunc) -> Floats:
    """Minimum (np.fmin) or maximum (np.fmax) over the last axis of what is defined; NaN where nothing is."""
    result: Floats = which.reduce(values, axis=-1, initial=np.nan)
    return result
