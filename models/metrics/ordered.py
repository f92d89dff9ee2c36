"""Metrics of decisions on classes with an order: functions of a confusion matrix [..., C, C], as in `classification.py`."""

from collections.abc import Callable

import numpy as np

from models.metrics.classification import divide, from_confusion
from models.metrics.scored import Floats


def _distances(classes: int) -> Floats:
    """How many classes a decision lies from the label [C, C]."""
    place = np.arange(classes, dtype=np.float64)
    return np.abs(place[:, None] - place[None, :])


def class_distance(confusion: Floats) -> Floats:
    """Mean number of classes between decision and label."""
    away = (confusion * _distances(confusion.shape[-1])).sum((-2, -1))
    return divide(away, confusion.sum((-2, -1)))


def balanced_class_distance(confusion: Floats) -> Floats:
    """The mean over the classes of their mean distance (Baccianella et al. 2009); needs rows of every class."""
    away = (confusion * _distances(confusion.shape[-1])).sum(-1)
    return divide(away, confusion.sum(-1)).mean(-1)


def quadratic_weighted_kappa(confusion: Floats) -> Floats:
    """1 - squared distances seen over those of independent decisions (Cohen 1968); NaN where all are of one class."""
    weights = _distances(confusion.shape[-1]) ** 2
    rows, columns, total = confusion.sum(-1), confusion.sum(-2), confusion.sum((-2, -1))
    expected = np.einsum("...i,ij,...j->...", rows, weights, columns)
    return 1 - divide((confusion * weights).sum((-2, -1)) * total, np.asarray(expected))


FROM_ORDERED: dict[str, Callable[[Floats], Floats]] = {
    "quadratic_weighted_kappa": quadratic_weighted_kappa,
    "class_distance": class_distance,
    "balanced_class_distance": balanced_class_distance,
}


def from_decisions(beta: float) -> dict[str, Callable[[Floats], Floats]]:
    """All metrics of decisions, by name; `beta` is that of F-beta."""
    return {**from_confusion(beta), **FROM_ORDERED}


OF_DECISIONS = frozenset(from_decisions(1.0))
"""Their names."""
