"""The values at which boosted trees may split a numeric column: as many for the rare classes as for all rows together.

Bins of equally many rows, as boosting libraries cut them, leave the tail in which a rare class lives to a handful of
bins. Here half of the weight is that of the rows, and half is shared equally by the classes (a value that fills a bin
gets one of its own, as in LightGBM).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.data import Split


def numeric_bounds(train: Split, bins: int) -> list[NDArray[np.float32]]:
    """Per numeric column the increasing upper bounds of its bins but the last, of at most `bins` bins; NaN has none."""
    labels = train.labels.cpu().numpy()
    counts = np.bincount(labels, minlength=train.classes)
    present = max(1, int((counts > 0).sum()))
    weights = 0.5 / max(1, len(labels)) + 0.5 / (present * counts[labels])
    return [column_bounds(column, weights, bins) for column in train.numeric.cpu().numpy().T]


def column_bounds(column: NDArray[np.float32], weights: NDArray[np.float64], bins: int) -> NDArray[np.float32]:
    """The bounds of one column [n] whose rows have these weights [n]; a row is in the first bin whose bound it does not exceed."""
    known = ~np.isnan(column)
    values, places = np.unique(column[known], return_inverse=True)
    if len(values) <= bins:
        return values[:-1]
    mass = np.bincount(places, weights=weights[known])
    frequent = np.zeros(len(values), dtype=np.bool_)
    while True:
        # A value with a bin of its own cuts the stretch that it lies in into two.
        left = max(1, bins - 2 * int(frequent.sum()))
        size = mass[~frequent].sum() / left
        found = ~frequent & (mass > size)
        if not found.any() or 2 * int((frequent | found).sum()) >= bins:
            break
        frequent |= found
    ranks = np.cumsum(np.where(frequent, 0.0, mass)) - np.where(frequent, 0.0, mass) / 2
    stretch = np.minimum((ranks / size).astype(np.int64), left - 1) if size > 0 else np.zeros(len(values), np.int64)
    starts = frequent[1:] | frequent[:-1] | (stretch[1:] != stretch[:-1])
    return values[:-1][starts]


def numeric_codes(values: NDArray[np.float32], bounds: NDArray[np.float32], missing: int) -> NDArray[np.uint8]:
    """One column [n] as numbers of bins, `missing` where it is NaN."""
    return np.where(np.isnan(values), missing, np.searchsorted(bounds, values, side="left")).astype(np.uint8)


def as_values(thresholds: NDArray[np.float64], bounds: NDArray[np.float32]) -> NDArray[np.float64]:
    """Thresholds between numbers of bins [N] as the values that they stand for: the upper bound of the last bin below."""
    if not len(bounds):
        return np.full(len(thresholds), np.inf)
    places = np.minimum(thresholds, len(bounds)).astype(np.int64)
    return np.where(places < len(bounds), bounds[np.minimum(places, len(bounds) - 1)].astype(np.float64), np.inf)
