"""Expectations that a feature neither names its row nor gives the target away."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np
import pandas as pd

from tasks.expectations.base import (
    PandasExecutionEngine,
    TableExpectation,
    TableMetricProvider,
    counted,
    metric_value,
    percent,
    table_of,
)

FEW_ROWS = 20
"""In fewer rows than this, values that do not repeat say nothing."""
BINS = 256
"""Quantile bins of a numeric column with more distinct values, when the target is guessed from it."""
DENSE = 10
"""Numbers that are handed out lie in a range of at most this many times their count."""
LONG_NUMBER = 7
"""Digits from which numbers of one length that never repeat look like keys."""


class SingleValues(TableMetricProvider):
    """The share of a column's values that no other row has, and whether the values can be names at all."""

    metric_name = "equipoise.single_values"
    value_keys = ("column",)

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, metrics: Any, **_: Any
    ) -> dict[str, Any]:
        column = table_of(execution_engine, metric_domain_kwargs)[metric_value_kwargs["column"]].dropna()
        single = int((column.value_counts() == 1).sum())
        share = single / len(column) if len(column) >= FEW_ROWS else 0.0
        return {"share": share, "single": single, "rows": len(column), "names": share > 0 and can_name(column)}


class RevealedTarget(TableMetricProvider):
    """Balanced accuracy of guessing the target of a row from the other rows with the same value of a column."""

    metric_name = "equipoise.revealed_target"
    value_keys = ("column", "target")

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, metrics: Any, **_: Any
    ) -> float | None:
        table = table_of(execution_engine, metric_domain_kwargs)
        return revealed(table[metric_value_kwargs["column"]], table[metric_value_kwargs["target"]])


def can_name(column: pd.Series) -> bool:
    """Whether values that hardly repeat can be names of rows: texts can, dates and fractions measure something.

    Whole numbers are names if they rise or fall down the table, lie densely, or are keys of one length.
    """
    if isinstance(column.dtype, pd.StringDtype) or column.dtype == object:
        return True
    if column.dtype.kind not in "iuf":
        return False
    numbers = column.to_numpy(np.float64)
    if not (numbers == np.floor(numbers)).all():
        return False
    span = float(numbers.max() - numbers.min())
    steps = np.diff(numbers)
    digits = np.floor(np.log10(np.maximum(np.abs(numbers), 1))) + 1
    return bool(
        (steps > 0).all()
        or (steps < 0).all()
        or span < DENSE * len(numbers)
        or (digits.min() == digits.max() >= LONG_NUMBER and column.is_unique)
    )


def revealed(column: pd.Series, target: pd.Series) -> float | None:
    """Mean over the classes of the share of rows whose class the other rows with the same value give away.

    A row counts as given away if, among the other rows with its value, its class is the most frequent one relative to
    the class's size. Leaving the row itself out keeps values that occur once from looking like knowledge, and the mean
    over classes keeps a rare class from being overlooked. None where fewer than two classes have two rows.
    """
    known = target.notna()
    classes, labels = np.unique(target[known].astype("object").map(str).to_numpy(str), return_inverse=True)
    sizes = np.bincount(labels, minlength=len(classes))
    if (sizes >= 2).sum() < 2:
        return None
    cells = pd.factorize(_levels(column[known]), use_na_sentinel=False)[0]
    counts = np.bincount(cells * len(classes) + labels, minlength=(cells.max() + 1) * len(classes))
    counts = counts.reshape(-1, len(classes)).astype(np.float64)
    shares = counts / sizes
    recalls = []
    for position in np.flatnonzero(sizes >= 2):
        own = (counts[:, position] - 1) / (sizes[position] - 1)
        others = np.delete(shares, position, axis=1).max(1)
        recalls.append(float(counts[own > others, position].sum()) / float(sizes[position]))
    return float(np.mean(recalls))


def _levels(column: pd.Series) -> pd.Series:
    """The column's values, numbers and dates of many values in quantile bins."""
    if column.dtype.kind not in "iufM" or column.nunique() <= BINS:
        return column
    ranks = column.rank(method="average", pct=True)
    return (ranks * BINS).round()


class ExpectColumnNotToIdentifyRows(TableExpectation):
    """Expect a feature not to be a name of its row: at most the share `at_most` of its values occurs once only."""

    at_most: float
    declared: bool = False

    metric_dependencies: ClassVar[tuple[str, ...]] = ("equipoise.single_values",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "at_most", "declared")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    @classmethod
    def sentence(cls, kwargs: Mapping[str, Any]) -> str:
        """What is expected."""
        return f"the feature does not identify rows: at most {percent(kwargs['at_most'])} of its values belong to one row alone"

    def _validate(self, metrics: Mapping[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        found = metrics["equipoise.single_values"]
        identifies = self.declared or (found["names"] and found["share"] > self.at_most)
        told = f"{percent(found['share'])} ({found['single']:,} of {counted(found['rows'], 'value')})"
        if self.declared:
            told += "; the column is declared as an identifier"
        elif found["share"] > self.at_most and not identifies:
            told += "; but they measure something, they do not name rows"
        return {
            "success": not identifies,
            "result": {
                "observed_value": told,
                "details": {"value": found["share"], "single": found["single"], "rows": found["rows"]},
            },
        }


class ExpectColumnNotToRevealTarget(TableExpectation):
    """Expect a feature not to give the target away: guessed from it alone, balanced accuracy is at most `at_most`."""

    target: str
    at_most: float

    metric_dependencies: ClassVar[tuple[str, ...]] = ("equipoise.revealed_target",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "target", "at_most")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    @classmethod
    def sentence(cls, kwargs: Mapping[str, Any]) -> str:
        """What is expected."""
        return f"the feature alone does not give {kwargs['target']} away: the balanced accuracy of guessing is at most {kwargs['at_most']:g}"

    def _validate(self, metrics: Mapping[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        found = metrics["equipoise.revealed_target"]
        told = (
            "not to be judged: fewer than two classes have two rows"
            if found is None
            else f"balanced accuracy {found:.4g}"
        )
        return {
            "success": found is None or found <= self.at_most,
            "result": {"observed_value": told, "details": {"value": found}},
        }
