"""A table's target as numbers, and what models say as values of the target again."""

from __future__ import annotations

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from models.errors import InputError, nearest
from models.schema import CLASSES, LABEL_SEPARATOR, Target
from models.values import as_text

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class TargetScale(BaseModel):
    """How a numeric target is standardized: by the mean and the deviation of the training rows."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    mean: float
    deviation: float

    @staticmethod
    def fit(column: pd.Series) -> TargetScale:
        """Of training rows; rows that are all alike keep their scale."""
        numbers = np.asarray(column, dtype=np.float64)
        deviation = float(numbers.std())
        return TargetScale(mean=float(numbers.mean()), deviation=deviation if deviation > 0 else 1.0)

    def standardized(self, numbers: Floats) -> Floats:
        """Numbers in the target's unit -> numbers as models see them."""
        return (numbers - self.mean) / self.deviation

    def restored(self, numbers: Floats) -> Floats:
        """The inverse of `standardized`."""
        return numbers * self.deviation + self.mean


def strata_ids(rows: pd.DataFrame, target: Target) -> Ints:
    """What each row is balanced by [n], as ids; a value that is none is an InputError."""
    names = as_text(rows[target.balanced_by])
    ids = np.asarray(pd.Index(target.strata, dtype="str").get_indexer(pd.Index(names)), dtype=np.int64)
    if (ids < 0).any():
        unknown = str(rows[target.balanced_by].iloc[int(np.argmax(ids < 0))])
        raise InputError(
            f"column '{target.balanced_by}': '{unknown}' is not a class. {nearest(unknown, target.strata)}"
        )
    return ids


def indicators(column: pd.Series, target: Target) -> NDArray[np.bool_]:
    """Which labels each row carries [n, L], from the labels joined by LABEL_SEPARATOR; an unknown one is an InputError."""
    place = {label: i for i, label in enumerate(target.classes)}
    codes, distinct = pd.factorize(column.astype("str"))
    carried = np.zeros((len(distinct), len(place)), dtype=np.bool_)
    for row, text in enumerate(distinct):
        for label in filter(None, str(text).split(LABEL_SEPARATOR)):
            if label not in place:
                raise InputError(f"column '{target.column}': '{label}' is not a label. {nearest(label, place)}")
            carried[row, place[label]] = True
    return carried[codes]


def numbers(column: pd.Series) -> Floats:
    """A numeric target [n]; a missing value is an InputError."""
    found = np.asarray(column, dtype=np.float64)
    if np.isnan(found).any():
        raise InputError(f"column '{column.name}': row {int(np.argmax(np.isnan(found))) + 1} has no value.")
    return found


def values(rows: pd.DataFrame, target: Target, scale: TargetScale | None) -> NDArray[np.float32]:
    """What models are to say [n, O] where that is no class: indicators, or standardized numbers; [n, 0] for classes.

    Without a target column all are 0.
    """
    if target.kind in CLASSES:
        return np.zeros((len(rows), 0), np.float32)
    outputs = len(target.classes) if target.kind == "multilabel" else 1
    if target.column not in rows.columns:
        return np.zeros((len(rows), outputs), np.float32)
    if target.kind == "multilabel":
        return indicators(rows[target.column], target).astype(np.float32)
    assert scale is not None
    return scale.standardized(numbers(rows[target.column])).astype(np.float32)[:, None]


def bin_ids(found: Floats, target: Target) -> Ints:
    """The bin of each number [n]: (-inf, c0], (c0, c1], …"""
    return np.searchsorted(np.asarray(target.cuts, dtype=np.float64), found).astype(np.int64)
