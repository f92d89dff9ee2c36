"""Several labels per row: read from one column or from one column each, and the rarest label that a row carries."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import InputError
from models.schema import LABEL_SEPARATOR, NO_LABEL
from models.values import as_text
from tasks.sources.catalog import CatalogueTarget
from tasks.sources.columns import natural_order

CARRIED, ABSENT = frozenset({"1", "true", "yes", "y"}), frozenset({"0", "false", "no", "n"})
STRATUM_ROWS = 8
"""Fewer rows with the same rarest label than this cannot be spread over four parts; they count by another label."""


def joined(frame: pd.DataFrame, wanted: CatalogueTarget) -> pd.DataFrame:
    """The frame with the columns of single labels made into one that lists each row's labels."""
    if wanted.columns is None:
        return frame
    if wanted.column in frame.columns:
        raise InputError(
            f"target.column: '{wanted.column}' is a column already, and would be the name of the labels of target.columns. "
            "Give another name."
        )
    each = pd.DataFrame({name: carried(frame[name]) for name in wanted.columns})
    texts = [LABEL_SEPARATOR.join(row.index[row]) for _, row in each.iterrows()]
    left = [name for name in frame.columns if name not in wanted.columns]
    return frame[left].assign(**{wanted.column: pd.Series(texts, index=frame.index, dtype="str")})


def carried(column: pd.Series) -> NDArray[np.bool_]:
    """Which rows have the label [n], of a column that says so row by row; another value is an InputError."""
    texts = as_text(column).str.lower()
    wrong = np.flatnonzero(~texts.isin(CARRIED | ABSENT).to_numpy())
    if len(wrong):
        value = column.iloc[int(wrong[0])]
        told = "no value" if pd.isna(value) else f"'{value}'"
        raise InputError(
            f"target.columns: '{column.name}', row {int(column.index[wrong[0]]) + 1}: {told} does not say whether the row has "
            "the label. Use yes and no, true and false, or 1 and 0."
        )
    return np.asarray(texts.isin(CARRIED), dtype=np.bool_)


def labels_of(column: pd.Series, wanted: CatalogueTarget) -> tuple[pd.Series, tuple[str, ...]]:
    """Each row's labels joined by LABEL_SEPARATOR, and all labels, the most frequent first; an empty value is no label."""
    separator = LABEL_SEPARATOR if wanted.columns is not None else wanted.separator or LABEL_SEPARATOR
    rows = [_split(text, separator, wanted) for text in as_text(column).fillna("")]
    counts = Counter(label for row in rows for label in row)
    labels = tuple(sorted(counts, key=lambda label: (-counts[label], natural_order(label))))
    if len(labels) < 2:
        raise InputError(
            f"target '{wanted.column}': {'no label occurs' if not labels else f'{labels[0]!r} is the only label'}. Check "
            "target.column, target.separator and target.kind."
        )
    for label in labels:
        if LABEL_SEPARATOR in label:
            raise InputError(f"target '{wanted.column}': the label '{label}' holds '{LABEL_SEPARATOR}'. Rename it.")
        if counts[label] == len(rows):
            raise InputError(
                f"target '{wanted.column}': every row has the label '{label}', so there is nothing to learn of it. Leave it out."
            )
    place = {label: i for i, label in enumerate(labels)}
    texts = [LABEL_SEPARATOR.join(sorted(row, key=lambda label: place[label])) for row in rows]
    return pd.Series(texts, index=column.index, name=wanted.column, dtype="str"), labels


def _split(text: str, separator: str, wanted: CatalogueTarget) -> set[str]:
    parts = {part.strip(wanted.strip + " ") for part in text.split(separator)}
    return {wanted.names.get(part, part) for part in parts if part}


def rarest_labels(values: pd.Series, labels: tuple[str, ...]) -> tuple[pd.Series, tuple[str, ...]]:
    """The rarest label of each row, and all values that occur: NO_LABEL first, then the labels as they are ordered.

    A label that is the rarest of fewer than STRATUM_ROWS rows names none of them: they count by their next rarer one.
    """
    place = {label: i for i, label in enumerate(labels, 1)}
    places = [[place[label] for label in text.split(LABEL_SEPARATOR) if label] for text in values]
    kept = set(range(1, len(labels) + 1))
    while True:
        rarest = np.array([max((i for i in row if i in kept), default=0) for row in places], dtype=np.int64)
        counts = np.bincount(rarest, minlength=len(labels) + 1)
        thin = [i for i in kept if counts[i] < STRATUM_ROWS]
        if not thin or len(kept) == 1:
            break
        kept.discard(min(thin, key=lambda i: (counts[i], -i)))
    if 0 < counts[0] < STRATUM_ROWS:
        rarest[rarest == 0] = min(kept)
    names = (NO_LABEL, *labels)
    found = sorted(set(rarest.tolist()))
    strata = pd.Series([names[i] for i in rarest], index=values.index, dtype="str")
    return strata, tuple(names[i] for i in found)
