"""The target: its kind, its values as that kind, and what each row is balanced by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import InputError, nearest
from models.schema import Kind, Target, Task
from models.values import as_text
from tasks.sources.catalog import CatalogueTarget
from tasks.sources.columns import is_numeric, natural_order, range_order, type_column
from tasks.sources.cut import cut
from tasks.sources.labels import labels_of, rarest_labels

NUMERIC_CLASSES = 20
"""A number with more values than this is a number; one with fewer may be a class."""
TEXT_CLASSES = 1000
BINS, BIN_ROWS = 10, 40
"""Bins of a number, and the rows that each shall hold at least, so that all four parts of the split have some."""


@dataclass(frozen=True)
class Made:
    """The target as it stands in the typed table: `values` (missing stays missing), and `strata` where these are no classes."""

    values: pd.Series
    target: Target
    strata: pd.Series | None = None
    note: str = ""


def make_target(column: pd.Series, wanted: CatalogueTarget, declared: Kind | None, at_most: int | None = None) -> Made:
    """The target of the kind that is wanted, or that its values show. `at_most` is how many rows will be kept.

    Raises InputError for a target that does not vary, does not suit its kind, or has no value at all.
    """
    kind = _kind(column, wanted, declared)
    if kind != "multilabel" and column.isna().all():
        raise InputError(f"target '{wanted.column}': no row has a value. Check target.column.")
    if kind == "regression":
        return _number(column, wanted, at_most, chosen=wanted.kind == "auto")
    if kind == "multilabel":
        return _labels(column, wanted)
    labels, classes = _classes(column, wanted, kind)
    if kind == "ordinal":
        _require_two(labels, classes, wanted.column)
        return Made(labels, Target(column=wanted.column, kind="ordinal", classes=classes))
    return Made(labels, _unordered(labels, classes, wanted, kind))


def _kind(column: pd.Series, wanted: CatalogueTarget, declared: Kind | None) -> Task | None:
    """The kind of target; None: the number of classes decides."""
    if wanted.kind != "auto":
        return wanted.kind
    if wanted.separator is not None:
        return "multilabel"
    counts = declared in (None, "numeric") and not wanted.bins and not wanted.names
    if counts and is_numeric(column) and column.nunique() > NUMERIC_CLASSES:
        return "regression"
    return None


def _number(column: pd.Series, wanted: CatalogueTarget, at_most: int | None, chosen: bool) -> Made:
    """A number and its bins."""
    if not is_numeric(column):
        raise InputError(
            f"target.kind: regression, but '{wanted.column}' does not hold numbers alone (for one '{_first_word(column)}'). "
            "Use auto, or mend the values."
        )
    numbers = type_column(column, "numeric", None).values
    known = numbers.dropna().to_numpy()
    if known.min() == known.max():
        raise InputError(f"target '{wanted.column}': it is {known[0]:g} in every row, so there is nothing to learn.")
    bins = wanted.balance_bins if wanted.balance_bins is not None else BINS
    cuts = bins if isinstance(bins, tuple) else balance_cuts(known, bins, at_most)
    strata, names = cut(numbers, cuts, "target.balance_bins")
    target = Target(
        column=wanted.column, kind="regression", cuts=cuts, balance_column=f"{wanted.column}_bin", balance_classes=names
    )
    note = (
        f"The target '{wanted.column}' is a number with {numbers.nunique():,} values, so it is predicted as one; for classes "
        "give target.bins."
    )
    return Made(numbers, target, strata, note if chosen else "")


def _first_word(column: pd.Series) -> str:
    words = column[pd.to_numeric(column, errors="coerce").isna() & column.notna()]
    return str(words.iloc[0])


def balance_cuts(numbers: NDArray[np.float64], bins: int, at_most: int | None = None) -> tuple[float, ...]:
    """Cut points of `bins` bins of equal width over the range of `numbers`; thin bins are merged with a neighbour.

    A bin is thin below BIN_ROWS rows (of those that will be kept), or a fifth of all where they are few. If nothing else
    is left the median parts the rows. Cut points have few digits, and are whole where the numbers are.
    """
    low, high = float(numbers.min()), float(numbers.max())
    edges = np.linspace(low, high, bins + 1)[1:-1]
    whole = bool((numbers == np.floor(numbers)).all())
    tidy = np.floor(edges) if whole else np.array([float(f"{e:.4g}") for e in edges])
    cuts = [float(c) for c in np.unique(tidy) if low <= c < high]
    kept = len(numbers) if at_most is None else min(at_most, len(numbers))
    needed = min(BIN_ROWS, kept // 5) * len(numbers) / kept
    counts = np.bincount(np.searchsorted(cuts, numbers), minlength=len(cuts) + 1).tolist()
    while cuts and min(counts) < needed:
        thin = counts.index(min(counts))
        right = thin == 0 or (thin < len(cuts) and counts[thin + 1] <= counts[thin - 1])
        first = thin if right else thin - 1
        counts[first : first + 2] = [counts[first] + counts[first + 1]]
        del cuts[first]
    if not cuts:
        middle = float(np.median(numbers))
        cuts = [middle if middle < high else float(np.max(numbers[numbers < high]))]
    return tuple(cuts)


def _labels(column: pd.Series, wanted: CatalogueTarget) -> Made:
    """Several labels per row, the most frequent first, and the rarest of each row."""
    values, labels = labels_of(column, wanted)
    strata, names = rarest_labels(values, labels)
    target = Target(
        column=wanted.column,
        kind="multilabel",
        classes=labels,
        balance_column=f"{wanted.column}_rarest",
        balance_classes=names,
    )
    return Made(values, target, strata)


def _classes(column: pd.Series, wanted: CatalogueTarget, kind: Task | None) -> tuple[pd.Series, tuple[str, ...]]:
    """The class of each row, and the classes that occur in their order."""
    name = wanted.column
    if wanted.bins:
        labels, names = cut(column, wanted.bins, "target.bins")
        return labels, tuple(n for n in names if (labels == n).any())
    labels = _class_names(column, wanted)
    distinct = labels.nunique()
    if distinct > TEXT_CLASSES:
        raise InputError(f"target '{name}': {distinct:,} different values are too many classes. Check target.column.")
    present = list(labels.dropna().unique())
    order: Sequence[str] = wanted.order or ()
    if kind == "ordinal":
        if not order and is_numeric(column):
            order = sorted(present, key=natural_order)
        order = order or range_order(labels) or ()
        unknown = [c for c in present if c not in order]
        if unknown:
            raise InputError(
                f"target.order: it does not say where '{unknown[0]}' of '{name}' stands. Name all classes from low to high."
            )
        return labels, tuple(c for c in order if c in present)
    known = [c for c in order if c in present]
    return labels, (*known, *sorted(set(present) - set(known), key=natural_order))


def _unordered(labels: pd.Series, classes: tuple[str, ...], wanted: CatalogueTarget, kind: Task | None) -> Target:
    """Classes without an order; of two, the positive one is last."""
    name = wanted.column
    _require_two(labels, classes, name)
    if kind == "binary" and len(classes) > 2:
        raise InputError(
            f"target.kind: binary, but '{name}' has {len(classes)} classes ({', '.join(classes[:5])} …). Use multiclass, or target.bins."
        )
    if kind == "multiclass" or len(classes) > 2:
        if wanted.positive is not None and kind != "multiclass":
            raise InputError(
                f"target.positive: '{name}' has {len(classes)} classes, so none is the positive one. Set it to null."
            )
        return Target(column=name, kind="multiclass", classes=classes)
    counts = labels.value_counts()
    positive = wanted.positive or min(classes, key=lambda c: (int(counts[c]), c))
    if positive not in classes:
        raise InputError(f"target.positive: '{positive}' is not a value of '{name}'. {nearest(positive, classes)}")
    return Target(column=name, kind="binary", classes=(*(c for c in classes if c != positive), positive))


def _require_two(labels: pd.Series, classes: tuple[str, ...], name: str) -> None:
    if len(classes) < 2:
        raise InputError(
            f"target '{name}': only one class, '{classes[0]}' ({int(labels.notna().sum()):,} rows). A classifier needs two; "
            "check target.column, or choose other target.bins."
        )


def _class_names(column: pd.Series, wanted: CatalogueTarget) -> pd.Series:
    labels = as_text(column)
    if wanted.strip:
        labels = labels.str.strip(wanted.strip + " ")
    return labels.map(lambda v: wanted.names.get(v, v), na_action="ignore").astype("str") if wanted.names else labels
