"""Metrics of decisions: functions of a confusion matrix, written for one matrix and for a stack of them.

`confusion` is [..., C, C], rows by label and columns by decision, of counts or weights. Each function returns [...];
a figure that is not defined (a class without rows, no decision for a class) is NaN, never 0 or 1.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from models.metrics.scored import Floats, Ints


def confusion_matrix(labels: Ints, decisions: Ints, classes: int, weights: Floats | None = None) -> Floats:
    """[C, C] of counts, or with weights [n] of their sums; with weights [draws, n], [draws, C, C]."""
    return keyed_sums(labels * classes + decisions, classes * classes, weights).reshape(
        *(() if weights is None else weights.shape[:-1]), classes, classes
    )


def keyed_sums(keys: Ints, size: int, weights: Floats | None = None) -> Floats:
    """Sum of the weights per key: [size], or [draws, size] for weights [draws, n]; counts without weights."""
    if weights is None:
        counted: Floats = np.bincount(keys, minlength=size).astype(np.float64)
        return counted
    if weights.ndim == 1:
        return np.asarray(np.bincount(keys, weights, minlength=size), dtype=np.float64)
    draws = weights.shape[0]
    places = (keys + size * np.arange(draws)[:, None]).ravel()
    sums = np.asarray(np.bincount(places, weights.ravel(), minlength=size * draws), dtype=np.float64)
    return sums.reshape(draws, size)


def divide(numerator: Floats, denominator: Floats) -> Floats:
    """numerator / denominator, NaN where the denominator is 0."""
    shape = np.broadcast_shapes(numerator.shape, denominator.shape)
    return np.divide(numerator, denominator, out=np.full(shape, np.nan), where=denominator != 0)


def recall(confusion: Floats) -> Floats:
    """Share of each class that is decided right [..., C]."""
    return divide(_diagonal(confusion), confusion.sum(-1))


def precision(confusion: Floats) -> Floats:
    """Share of the decisions for each class that are right [..., C]."""
    return divide(_diagonal(confusion), confusion.sum(-2))


def f1(confusion: Floats) -> Floats:
    """2 TP / (2 TP + FP + FN) of each class [..., C]; a class without rows has none."""
    return class_f_beta(confusion, 1.0)


def class_f_beta(confusion: Floats, beta: float) -> Floats:
    """(1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP) of each class [..., C] (van Rijsbergen 1979); a class without rows has none."""
    rows, square = confusion.sum(-1), beta**2
    score = divide((1 + square) * _diagonal(confusion), square * rows + confusion.sum(-2))
    return np.where(rows > 0, score, np.nan)


def accuracy(confusion: Floats) -> Floats:
    """Share of rows decided right."""
    return divide(_diagonal(confusion).sum(-1), confusion.sum((-2, -1)))


def balanced_accuracy(confusion: Floats) -> Floats:
    """Mean of the recalls (Brodersen et al. 2010); needs rows of every class."""
    return recall(confusion).mean(-1)


def macro_f1(confusion: Floats) -> Floats:
    """Mean of the F1 of all classes; needs rows of every class."""
    return f1(confusion).mean(-1)


def f_beta(confusion: Floats, beta: float) -> Floats:
    """F-beta of the positive class, of more than two classes the mean over them, which needs rows of every class."""
    of_classes = class_f_beta(confusion, beta)
    return of_classes[..., 1] if of_classes.shape[-1] == 2 else of_classes.mean(-1)


def g_mean(confusion: Floats) -> Floats:
    """Geometric mean of the recalls (Kubat and Matwin 1997); 0 as soon as one class is never found."""
    recalls = recall(confusion)
    return recalls.prod(-1) ** (1 / recalls.shape[-1])


def worst_class_recall(confusion: Floats) -> Floats:
    """The smallest recall; needs rows of every class."""
    return recall(confusion).min(-1)


def mcc(confusion: Floats) -> Floats:
    """Matthews correlation in its multiclass form (Gorodkin 2004).

    A constant decision gives 0, the limit of the formula (Chicco and Jurman 2020); labels of one class only, NaN.
    """
    rows, columns, total = confusion.sum(-1), confusion.sum(-2), confusion.sum((-2, -1))
    covariance = _diagonal(confusion).sum(-1) * total - (rows * columns).sum(-1)
    label_spread = total**2 - (rows**2).sum(-1)
    decision_spread = total**2 - (columns**2).sum(-1)
    # Differences of large squares: what is left of an exact zero after rounding must not be divided by.
    floor = 1e-12 * total**2
    correlation = divide(covariance, np.sqrt(np.maximum(label_spread * decision_spread, 0)))
    correlation = np.where(decision_spread > floor, np.clip(correlation, -1, 1), 0.0)
    return np.where(label_spread > floor, correlation, np.nan)


def from_confusion(beta: float) -> dict[str, Callable[[Floats], Floats]]:
    """The metrics of a confusion matrix by name; `beta` is how many times as much as precision recall counts in F-beta."""
    return {
        "accuracy": accuracy,
        "balanced_accuracy": balanced_accuracy,
        "macro_f1": macro_f1,
        "f_beta": partial(f_beta, beta=beta),
        "g_mean": g_mean,
        "mcc": mcc,
        "worst_class_recall": worst_class_recall,
    }


def _diagonal(confusion: Floats) -> Floats:
    return np.diagonal(confusion, axis1=-2, axis2=-1)
