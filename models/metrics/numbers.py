"""Metrics of predicted numbers: errors over all rows, by bin of the true number and by group, and calibration.

An error is predicted minus actual. Every figure is a function of row weights, written for one weighting and for a stack
of them; what is not defined (a bin without rows, a constant) is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from models.errors import InputError
from models.metrics.calibration import mean_loss
from models.metrics.classification import divide, keyed_sums
from models.metrics.measures import Measure
from models.metrics.names import BY_NAME
from models.metrics.scored import Bools, Floats, Grouping, Ints
from models.schema import Task


@dataclass(frozen=True)
class Numbers:
    """True numbers [n], predicted numbers [n] and the bin of the true one [n], of `bin_count` bins. Build it with `of`."""

    actual: Floats
    predicted: Floats
    bins: Ints
    bin_count: int

    task: Task = "regression"

    def __len__(self) -> int:
        return len(self.actual)

    @property
    def errors(self) -> Floats:
        """Predicted minus actual [n]."""
        return self.predicted - self.actual

    @property
    def class_counts(self) -> Ints:
        """Rows per bin; a bin without rows has its place."""
        return np.bincount(self.bins, minlength=self.bin_count).astype(np.int64)

    @property
    def labels(self) -> Floats:
        """What was to be said."""
        return self.actual

    def fewest(self, metric: str) -> int:
        """Rows of the smallest part that the metric rests on."""
        return int(self.class_counts.min()) if BY_NAME[metric].over == "classes" else len(self)

    def take(self, rows: Ints | Bools) -> Numbers:
        """These rows, by position or by mask."""
        return Numbers(self.actual[rows], self.predicted[rows], self.bins[rows], self.bin_count)

    def same_as(self, other: Numbers) -> bool:
        """Whether both say the same of every row."""
        return np.array_equal(self.predicted, other.predicted)

    @staticmethod
    def of(actual: ArrayLike, predicted: ArrayLike, bins: ArrayLike, bin_count: int) -> Numbers:
        """Check the arrays once; an InputError says which one is wrong and where."""
        made = Numbers(
            np.asarray(actual, dtype=np.float64),
            np.asarray(predicted, dtype=np.float64),
            np.asarray(bins, dtype=np.int64),
            bin_count,
        )
        if not made.actual.shape == made.predicted.shape == made.bins.shape == (len(made.actual),):
            raise InputError(
                f"actual, predicted and bins must have the same rows; found {made.actual.shape}, {made.predicted.shape} and "
                f"{made.bins.shape}."
            )
        for name, values in (("actual", made.actual), ("predicted", made.predicted)):
            wrong = np.flatnonzero(~np.isfinite(values))
            if len(wrong):
                raise InputError(f"{name} number {values[wrong[0]]} of row {wrong[0]} is not finite.")
        wrong = np.flatnonzero((made.bins < 0) | (made.bins >= bin_count))
        if len(wrong):
            raise InputError(f"bin {made.bins[wrong[0]]} of row {wrong[0]} is not a bin 0 … {bin_count - 1}.")
        return made


def mean_by(of: Floats, ids: Ints, count: int) -> Measure:
    """The mean of `of` [n] in each of `count` parts [..., count]; NaN for a part without rows."""

    def measure(weights: Floats | None) -> Floats:
        row = np.ones(len(of)) if weights is None else weights
        return divide(keyed_sums(ids, count, row * of), keyed_sums(ids, count, row))

    return measure


def absolute_errors_by_bin(numbers: Numbers) -> Measure:
    """Mean absolute error in each bin [..., K]."""
    return mean_by(np.abs(numbers.errors), numbers.bins, numbers.bin_count)


def _mae(numbers: Numbers) -> Measure:
    errors = np.abs(numbers.errors)
    return lambda w: mean_loss(errors, w)


def _rmse(numbers: Numbers) -> Measure:
    squares = numbers.errors**2
    return lambda w: np.sqrt(mean_loss(squares, w))


def _r2(numbers: Numbers) -> Measure:
    """1 - (sum of squared errors) / (sum of squares about the mean)."""
    squares, actual = numbers.errors**2, numbers.actual - (numbers.actual.mean() if len(numbers) else 0.0)

    def measure(w: Floats | None) -> Floats:
        spread = mean_loss(actual**2, w) - mean_loss(actual, w) ** 2
        return 1 - divide(mean_loss(squares, w), np.where(spread > 0, spread, 0.0))

    return measure


def _balanced_mae(numbers: Numbers) -> Measure:
    """The mean over the bins of their mean absolute errors; needs rows of every bin."""
    by_bin = absolute_errors_by_bin(numbers)
    return lambda w: by_bin(w).mean(-1)


def _worst_bin_mae(numbers: Numbers) -> Measure:
    by_bin = absolute_errors_by_bin(numbers)
    return lambda w: by_bin(w).max(-1)


def mean_error(numbers: Numbers) -> Measure:
    """Predicted minus actual, on average."""
    errors = numbers.errors
    return lambda w: mean_loss(errors, w)


def slope_excess(numbers: Numbers) -> Measure:
    """Slope of actual on predicted, minus 1: 0 when predictions are neither too extreme nor too timid; NaN if constant."""
    x = numbers.predicted - (numbers.predicted.mean() if len(numbers) else 0.0)
    y = numbers.actual

    def measure(w: Floats | None) -> Floats:
        spread = mean_loss(x**2, w) - mean_loss(x, w) ** 2
        common = mean_loss(x * y, w) - mean_loss(x, w) * mean_loss(y, w)
        return divide(common, np.where(spread > 1e-12, spread, 0.0)) - 1

    return measure


def _absolute(signed: Callable[[Numbers], Measure]) -> Callable[[Numbers], Measure]:
    def made(numbers: Numbers) -> Measure:
        measure = signed(numbers)
        return lambda w: np.abs(measure(w))

    return made


SIGNED: dict[str, Callable[[Numbers], Measure]] = {"bias": mean_error, "calibration_slope_error": slope_excess}
"""Figures that are the size of something with a sign."""
MEASURES: dict[str, Callable[[Numbers], Measure]] = {
    "mae": _mae,
    "rmse": _rmse,
    "r2": _r2,
    "balanced_mae": _balanced_mae,
    "worst_bin_mae": _worst_bin_mae,
    **{name: _absolute(signed) for name, signed in SIGNED.items()},
}
"""The metrics over all rows, by name."""


def by_group(metric: str, numbers: Numbers, grouping: Grouping) -> Measure:
    """What the groups are compared by [..., G]: mean error for `mean_error_difference`, else mean absolute error."""
    errors = numbers.errors if metric == "mean_error_difference" else np.abs(numbers.errors)
    return mean_by(errors, grouping.ids, len(grouping.groups))


def compared(metric: str, numbers: Numbers, grouping: Grouping, enough: Bools) -> Measure:
    """The comparison between the groups [G] let in, [...]: the largest error, or the largest difference; NaN if none."""
    means, worst = by_group(metric, numbers, grouping), metric == "worst_group_mae"

    def measure(w: Floats | None) -> Floats:
        found = means(w)[..., enough]
        if found.shape[-1] < (1 if worst else 2):
            return np.full(found.shape[:-1], np.nan)
        return found.max(-1) if worst else found.max(-1) - found.min(-1)

    return measure


def parts(metric: str, numbers: Numbers, grouping: Grouping | None, enough: Bools | None) -> Measure | None:
    """The parts [..., m] of a metric with kinks, of which it is the largest; of one with a sign, that [..., 1]; else None."""
    if metric in SIGNED:
        signed = SIGNED[metric](numbers)
        return lambda w: signed(w)[..., None]
    if metric == "worst_bin_mae":
        return absolute_errors_by_bin(numbers)
    if grouping is None or enough is None or BY_NAME[metric].over != "groups":
        return None
    means = by_group(metric, numbers, grouping)
    if metric == "worst_group_mae":
        return lambda w: means(w)[..., enough]

    def pairs(w: Floats | None) -> Floats:
        found = means(w)[..., enough]
        different = ~np.eye(found.shape[-1], dtype=bool)
        differences: Floats = (found[..., :, None] - found[..., None, :])[..., different]
        return differences

    return pairs


def reliability(numbers: Numbers, points: int) -> list[dict[str, float]]:
    """Rows in order of what is predicted, in about equal parts: mean prediction, mean of the true numbers, and rows of each."""
    order = np.argsort(numbers.predicted, kind="stable")
    return [
        {
            "predicted": float(numbers.predicted[part].mean()),
            "observed": float(numbers.actual[part].mean()),
            "deviation": float(numbers.actual[part].std()),
            "rows": len(part),
        }
        for part in np.array_split(order, min(points, max(len(order), 1)))
        if len(part)
    ]
