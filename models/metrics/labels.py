"""Metrics of several labels per row: each label is one class against none, and a figure is their mean or their worst.

Every figure is a function of row weights, written for one weighting and for a stack of them; what is not defined (a
label that no row carries) is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models.errors import InputError
from models.metrics.calibration import bin_sums, ece, mean_loss
from models.metrics.classification import balanced_accuracy, class_f_beta, divide, f1, keyed_sums, recall
from models.metrics.fairness import GAPS, Evidence, Kind, Rates, compare, extreme
from models.metrics.measures import Measure
from models.metrics.ranking import FROM_RANKING, Ranking
from models.metrics.scored import Bools, Floats, Grouping, Ints, Scored
from models.schema import Task


@dataclass(frozen=True)
class Labels:
    """Which labels each row carries [n, L], which are decided [n, L], and their probabilities [n, L]. Build it with `of`."""

    carried: Ints
    decided: Ints
    probabilities: Floats

    task: Task = "multilabel"

    def __len__(self) -> int:
        return len(self.carried)

    @property
    def count(self) -> int:
        """Number of labels L."""
        return int(self.carried.shape[1])

    @property
    def labels(self) -> Ints:
        """What was to be said."""
        return self.carried

    @property
    def class_counts(self) -> Ints:
        """Rows of the rarer answer to each label [L]: those that carry it, or those that do not."""
        carry = self.carried.sum(0)
        return np.minimum(carry, len(self) - carry).astype(np.int64)

    def fewest(self, metric: str) -> int:
        """Rows of the smallest part that a metric rests on."""
        return len(self) if metric in FROM_ROWS else int(self.class_counts.min())

    def take(self, rows: Ints | Bools) -> Labels:
        """These rows, by position or by mask."""
        return Labels(self.carried[rows], self.decided[rows], self.probabilities[rows])

    def same_as(self, other: Labels) -> bool:
        """Whether both say the same of every row."""
        same = np.array_equal(self.decided, other.decided)
        return same and np.array_equal(self.probabilities, other.probabilities)

    def one(self, label: int) -> Scored:
        """One label as a target of two classes."""
        p = self.probabilities[:, label]
        return Scored(self.carried[:, label], self.decided[:, label], np.stack([1 - p, p], 1))

    @staticmethod
    def of(carried: ArrayLike, decided: ArrayLike, probabilities: ArrayLike) -> Labels:
        """Check the arrays once; an InputError says which one is wrong and where."""
        made = Labels(
            np.asarray(carried, dtype=np.int64),
            np.asarray(decided, dtype=np.int64),
            np.asarray(probabilities, dtype=np.float64),
        )
        if made.carried.ndim != 2 or not made.carried.shape == made.decided.shape == made.probabilities.shape:
            raise InputError(
                f"labels, decisions and probabilities must be [rows, labels] alike; found {made.carried.shape}, "
                f"{made.decided.shape} and {made.probabilities.shape}."
            )
        for name, found in (("label", made.carried), ("decision", made.decided)):
            wrong = np.argwhere((found != 0) & (found != 1))
            if len(wrong):
                raise InputError(f"{name} {found[tuple(wrong[0])]} of row {wrong[0][0]} is neither 0 nor 1.")
        wrong = np.argwhere(~((made.probabilities >= -1e-6) & (made.probabilities <= 1 + 1e-6)))
        if len(wrong):
            value = made.probabilities[tuple(wrong[0])]
            raise InputError(f"probability {value} of row {wrong[0][0]} is no fraction in [0, 1].")
        return made


def pooled(labels: Labels) -> Scored:
    """All labels of all rows as rows of one target of two classes [n L]."""
    p = labels.probabilities.ravel()
    return Scored(labels.carried.ravel(), labels.decided.ravel(), np.stack([1 - p, p], 1))


def confusions(labels: Labels, weights: Floats | None = None, ids: Ints | None = None, groups: int = 1) -> Floats:
    """A confusion matrix [2, 2] per label and group [..., L, G, 2, 2]; `ids` [n] are group ids, one group without."""
    row = np.ones(len(labels)) if weights is None else weights
    place = (np.zeros(len(labels), dtype=np.int64) if ids is None else ids) * 4
    found = [
        keyed_sums(place + 2 * labels.carried[:, i] + labels.decided[:, i], 4 * groups, row)
        for i in range(labels.count)
    ]
    stacked = np.stack(found, axis=-2)
    return stacked.reshape(*stacked.shape[:-1], groups, 2, 2)


def _from_confusions(formula: Callable[[Floats], Floats]) -> Callable[[Labels], Measure]:
    return lambda labels: lambda w: formula(confusions(labels, w)[..., 0, :, :])


def _from_ranking(name: str) -> Callable[[Labels], Measure]:
    def made(labels: Labels) -> Measure:
        orders = [Ranking.of(labels.probabilities[:, i], labels.carried[:, i] == 1) for i in range(labels.count)]
        return lambda w: np.asarray(np.mean([FROM_RANKING[name](*order.sums(w)) for order in orders], axis=0))

    return made


def _from_rows(losses: Callable[[Labels], Floats]) -> Callable[[Labels], Measure]:
    def made(labels: Labels) -> Measure:
        of_rows = losses(labels)
        return lambda w: mean_loss(of_rows, w)

    return made


def _log_losses(labels: Labels) -> Floats:
    chosen = np.where(labels.carried == 1, labels.probabilities, 1 - labels.probabilities)
    return np.asarray(-np.log(np.clip(chosen, np.finfo(np.float64).eps, 1)).mean(1))


FROM_ROWS: dict[str, Callable[[Labels], Floats]] = {
    "subset_accuracy": lambda labels: (labels.carried == labels.decided).all(1).astype(np.float64),
    "hamming_loss": lambda labels: np.asarray((labels.carried != labels.decided).mean(1)),
    "log_loss": _log_losses,
    "brier": lambda labels: np.asarray(((labels.probabilities - labels.carried) ** 2).mean(1)),
}
"""Metrics that are a mean over rows of a number per row [n]; of losses, the mean over the labels."""


def smooth(beta: float) -> dict[str, Callable[[Labels], Measure]]:
    """Metrics over all rows without kinks, by name: means over the labels. `beta` is that of F-beta."""
    return {
        "balanced_accuracy": _from_confusions(lambda c: balanced_accuracy(c).mean(-1)),
        "macro_f1": _from_confusions(lambda c: f1(c)[..., 1].mean(-1)),
        "f_beta": _from_confusions(lambda c: class_f_beta(c, beta)[..., 1].mean(-1)),
        **{name: _from_ranking(name) for name in FROM_RANKING},
        **{name: _from_rows(losses) for name, losses in FROM_ROWS.items()},
    }


def measures(beta: float) -> dict[str, Callable[[Labels], Measure]]:
    """The metrics over all rows that need no bins, by name."""
    return {**smooth(beta), "worst_class_recall": _from_confusions(lambda c: recall(c)[..., 1].min(-1))}


def mean_ece(labels: Labels, bins: int, weights: Floats | None = None) -> Floats:
    """The mean over the labels of their calibration errors [...]."""
    return np.asarray(
        np.mean([ece(bin_sums(labels.one(i), bins, weights))[..., 0] for i in range(labels.count)], axis=0)
    )


def rates(kind: Kind, confusion: Floats) -> Rates:
    """Successes and trials [..., L, G] of one kind of rate from confusions [..., L, G, 2, 2]."""
    if kind == "selection_rate":
        return Rates(confusion[..., 1].sum(-1), confusion.sum((-2, -1)))
    row = 1 if kind == "true_positive_rate" else 0
    return Rates(confusion[..., row, 1], confusion[..., row, :].sum(-1))


def usable(kind: Kind, confusion: Floats, evidence: Evidence) -> Bools:
    """Which groups have enough rows for this kind of rate of each label [L, G]; confusion [L, G, 2, 2] of counts."""
    enough = confusion.sum((-2, -1)) >= max(evidence.rows, 1)
    needed = 1 if kind == "selection_rate" else max(evidence.per_class, 1)
    result: Bools = enough & (rates(kind, confusion).trials >= needed)
    return result


def gap(name: str, confusion: Floats, masks: dict[Kind, Bools]) -> Floats:
    """Value of the gap `name` [...], worst over the labels, over the groups that `masks` lets in; NaN if none compares."""
    spec = GAPS[name]
    found = np.concatenate([compare(rates(kind, confusion), masks[kind], spec.how) for kind in spec.kinds], axis=-1)
    if not all(bool((masks[kind].sum(-1) >= 2).any()) for kind in spec.kinds):
        return np.full(found.shape[:-1], np.nan)
    return extreme(found, np.fmax if spec.how == "difference" else np.fmin)


def right_shares(labels: Labels) -> Floats:
    """The share of each row's labels that are decided right [n]."""
    return np.asarray((labels.carried == labels.decided).mean(1))


def group_accuracy(labels: Labels, grouping: Grouping, weights: Floats | None = None) -> Floats:
    """The mean of these shares per group [..., G]; NaN for a group without rows."""
    row = np.ones(len(labels)) if weights is None else weights
    groups = len(grouping.groups)
    return divide(keyed_sums(grouping.ids, groups, row * right_shares(labels)), keyed_sums(grouping.ids, groups, row))
