"""The interval of each metric over all rows, by kind of target: in closed form where there is one, by bootstrap otherwise."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from models.metrics import bootstrap, intervals, labels, means, numbers
from models.metrics.calibration import bin_sums
from models.metrics.classification import confusion_matrix
from models.metrics.intervals import Interval
from models.metrics.labels import Labels
from models.metrics.measures import absolute, of_measures
from models.metrics.numbers import Numbers
from models.metrics.scored import Floats, Scored
from models.metrics.terms import Terms

Rows = Scored | Labels | Numbers
"""Rows that a model has scored, of any kind of target."""


def of_rows(names: Sequence[str], rows: Rows, terms: Terms, about: str) -> dict[str, Interval]:
    """The interval of each metric over these rows; `about` names them for the bootstrap."""
    if isinstance(rows, Numbers):
        return _of_numbers(names, rows, terms, about)
    if isinstance(rows, Labels):
        return _of_labels(names, rows, terms, about)
    others = [name for name in names if name not in CLOSED]
    found = bootstrap.of_metrics(others, rows, terms.draws, terms.confidence, terms.seed, about, terms.beta)
    return found | {name: CLOSED[name](rows, terms) for name in names if name in CLOSED}


def closed(name: str, rows: Rows) -> bool:
    """Whether the interval is in closed form."""
    if isinstance(rows, Numbers):
        return name == "worst_bin_mae"
    if isinstance(rows, Labels):
        return name in ("worst_class_recall", "subset_accuracy", "ece")
    return name in CLOSED


def _recalled(scored: Scored) -> tuple[Floats, Floats]:
    """Rows decided right and rows, per class."""
    confusion = confusion_matrix(scored.labels, scored.decisions, scored.classes)
    return np.diagonal(confusion), confusion.sum(1)


CLOSED: dict[str, Callable[[Scored, Terms], Interval]] = {
    "accuracy": lambda s, t: intervals.of_share(float((s.labels == s.decisions).sum()), len(s), t.confidence),
    "balanced_accuracy": lambda s, t: intervals.of_mean(*_recalled(s), t.confidence),
    "g_mean": lambda s, t: intervals.of_geometric_mean(*_recalled(s), t.confidence),
    "worst_class_recall": lambda s, t: intervals.of_smallest(*_recalled(s), t.confidence),
    "ece": lambda s, t: intervals.of_ece(bin_sums(s, t.bins)[:, 0], t.confidence),
}


def _of_numbers(names: Sequence[str], rows: Numbers, terms: Terms, about: str) -> dict[str, Interval]:
    smooth = [name for name in names if name != "worst_bin_mae"]
    made = {name: (numbers.SIGNED.get(name) or numbers.MEASURES[name])(rows) for name in smooth}
    fewest = {name: rows.fewest(name) for name in smooth}
    found = of_measures(made, len(rows), fewest, terms.draws, terms.confidence, terms.seed, about)
    found |= {name: absolute(found[name]) for name in smooth if name in numbers.SIGNED}
    if "worst_bin_mae" in names:
        found["worst_bin_mae"] = means.of_largest(
            np.abs(rows.errors), rows.bins, rows.class_counts > 0, terms.confidence
        )
    return found


def _of_labels(names: Sequence[str], rows: Labels, terms: Terms, about: str) -> dict[str, Interval]:
    known = labels.smooth(terms.beta)
    smooth = [name for name in names if name in known and name != "subset_accuracy"]
    made = {name: known[name](rows) for name in smooth}
    fewest = {name: rows.fewest(name) for name in smooth}
    found = of_measures(made, len(rows), fewest, terms.draws, terms.confidence, terms.seed, about)
    if "subset_accuracy" in names:
        right = float((rows.carried == rows.decided).all(1).sum())
        found["subset_accuracy"] = intervals.of_share(right, len(rows), terms.confidence)
    if "worst_class_recall" in names:
        confusion = labels.confusions(rows)[:, 0]
        found["worst_class_recall"] = intervals.of_smallest(
            confusion[:, 1, 1], confusion[:, 1].sum(-1), terms.confidence
        )
    if "ece" in names:
        # The labels share their rows: the mean of the ends holds however their errors go together.
        ends = [intervals.of_ece(bin_sums(rows.one(i), terms.bins)[:, 0], terms.confidence) for i in range(rows.count)]
        found["ece"] = Interval(float(np.mean([e.low for e in ends])), float(np.mean([e.high for e in ends])))
    return found
