"""Expectations on missing values: how many a column has, and whether groups differ in that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

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

ROWS_TO_JUDGE = 30
"""A group with fewer rows says too little about its missing rate; it is named, and not compared."""


class MissingRows(TableMetricProvider):
    """Rows without a value in a column, and all rows; `missing_value` is a text that stands for a missing value."""

    metric_name = "equipoise.missing_rows"
    value_keys = ("column", "missing_value")

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, metrics: Any, **_: Any
    ) -> tuple[int, int]:
        column = table_of(execution_engine, metric_domain_kwargs)[metric_value_kwargs["column"]]
        missing = column.isna()
        if metric_value_kwargs["missing_value"] is not None:
            missing |= column == metric_value_kwargs["missing_value"]
        return int(missing.sum()), len(column)


class MissingRowsByGroup(TableMetricProvider):
    """Rows without a value in a column, and all rows, by group of an attribute."""

    metric_name = "equipoise.missing_rows_by_group"
    value_keys = ("column", "attribute")

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, metrics: Any, **_: Any
    ) -> pd.DataFrame:
        table = table_of(execution_engine, metric_domain_kwargs)
        missing = table[metric_value_kwargs["column"]].isna()
        return missing.groupby(table[metric_value_kwargs["attribute"]], observed=True).agg(["sum", "size"])


class ExpectColumnMissingRateToBeAtMost(TableExpectation):
    """Expect at most the share `at_most` of the rows to have no value in the column."""

    at_most: float
    missing_value: str | None = None

    metric_dependencies: ClassVar[tuple[str, ...]] = ("equipoise.missing_rows",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "at_most", "missing_value")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    @classmethod
    def sentence(cls, kwargs: Mapping[str, Any]) -> str:
        """What is expected."""
        return f"at most {percent(kwargs['at_most'])} of the values are missing"

    def _validate(self, metrics: Mapping[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        missing, rows = metrics["equipoise.missing_rows"]
        rate = missing / rows if rows else 0.0
        return {
            "success": rate <= self.at_most,
            "result": {
                "observed_value": f"{percent(rate)} ({missing:,} of {counted(rows)})",
                "details": {"value": rate, "missing": missing, "rows": rows},
            },
        }


class ExpectColumnMissingRateGapToBeAtMost(TableExpectation):
    """Expect the missing rates of the column in any two groups of `attribute` to differ by at most `at_most`."""

    attribute: str
    groups: list[str]
    at_most: float

    metric_dependencies: ClassVar[tuple[str, ...]] = ("equipoise.missing_rows_by_group",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "attribute", "groups", "at_most")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    @classmethod
    def sentence(cls, kwargs: Mapping[str, Any]) -> str:
        """What is expected."""
        points = f"{100 * kwargs['at_most']:g} percentage points"
        return f"the shares of missing values in any two groups of {kwargs['attribute']} differ by at most {points}"

    def _validate(self, metrics: Mapping[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        found = metrics["equipoise.missing_rows_by_group"]
        rows = {g: int(found["size"].get(g, 0)) for g in self.groups}
        rates = {g: float(found["sum"].get(g, 0)) / rows[g] for g in self.groups if rows[g] >= ROWS_TO_JUDGE}
        unjudged = {g: n for g, n in rows.items() if n < ROWS_TO_JUDGE}
        gap = max(rates.values()) - min(rates.values()) if len(rates) > 1 else 0.0
        return {
            "success": gap <= self.at_most,
            "result": {
                "observed_value": _told(rates, gap, unjudged),
                "details": {"value": gap, "rates": rates, "rows": rows, "too_small": unjudged},
            },
        }


def _told(rates: dict[str, float], gap: float, unjudged: dict[str, int]) -> str:
    if len(rates) < 2:
        told = "fewer than two groups with enough rows to compare"
    elif gap == 0:
        told = f"no difference ({percent(min(rates.values()))} in each group)"
    else:
        low, high = min(rates, key=lambda g: rates[g]), max(rates, key=lambda g: rates[g])
        told = f"{100 * gap:.3g} points ('{high}' {percent(rates[high])}, '{low}' {percent(rates[low])})"
    few = ", ".join(f"'{g}' {n:,}" for g, n in unjudged.items())
    return told + (f"; too few rows to judge (below {ROWS_TO_JUDGE}): {few}" if few else "")
