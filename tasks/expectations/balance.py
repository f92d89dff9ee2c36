"""Expectations on how many rows each class, each group and each cell of the two has; what is absent counts as 0."""

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
    table_of,
)


class ValueCounts(TableMetricProvider):
    """Rows per value of a column; missing values are left out."""

    metric_name = "equipoise.value_counts"
    value_keys = ("column",)

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, metrics: Any, **_: Any
    ) -> pd.Series:
        return table_of(execution_engine, metric_domain_kwargs)[metric_value_kwargs["column"]].value_counts()


class CellCounts(TableMetricProvider):
    """Rows per pair of values of a column and the target."""

    metric_name = "equipoise.cell_counts"
    value_keys = ("column", "target")

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, metrics: Any, **_: Any
    ) -> pd.Series:
        columns = [metric_value_kwargs["column"], metric_value_kwargs["target"]]
        return table_of(execution_engine, metric_domain_kwargs).groupby(columns, observed=True).size()


class ExpectColumnImbalanceRatioToBeAtMost(TableExpectation):
    """Expect the largest class to have at most `at_most` times the rows of the smallest."""

    classes: list[str]
    at_most: float

    metric_dependencies: ClassVar[tuple[str, ...]] = ("equipoise.value_counts",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "classes", "at_most")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    @classmethod
    def sentence(cls, kwargs: Mapping[str, Any]) -> str:
        """What is expected."""
        return f"the largest class has at most {kwargs['at_most']:g} times the rows of the smallest"

    def _validate(self, metrics: Mapping[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        counts = _of(metrics["equipoise.value_counts"], self.classes)
        small, large = min(self.classes, key=lambda c: counts[c]), max(self.classes, key=lambda c: counts[c])
        ratio = counts[large] / counts[small] if counts[small] else None
        told = f"{ratio:.4g}" if ratio is not None else "infinite"
        return {
            "success": ratio is not None and ratio <= self.at_most,
            "result": {
                "observed_value": f"{told} ('{large}' {counted(counts[large])}, '{small}' {counted(counts[small])})",
                "details": {"value": ratio, "counts": counts},
            },
        }


class ExpectColumnRowsPerClassToBeAtLeast(TableExpectation):
    """Expect each class to have at least `at_least` rows."""

    classes: list[str]
    at_least: float

    metric_dependencies: ClassVar[tuple[str, ...]] = ("equipoise.value_counts",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "classes", "at_least")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    @classmethod
    def sentence(cls, kwargs: Mapping[str, Any]) -> str:
        """What is expected."""
        return f"each class has at least {kwargs['at_least']:,g} rows"

    def _validate(self, metrics: Mapping[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        return _rows_result(_of(metrics["equipoise.value_counts"], self.classes), self.at_least, "class")


class ExpectGroupsToBeCovered(TableExpectation):
    """Expect each declared group of the attribute `column` to have at least `at_least` rows."""

    groups: list[str]
    at_least: float

    metric_dependencies: ClassVar[tuple[str, ...]] = ("equipoise.value_counts",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "groups", "at_least")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    @classmethod
    def sentence(cls, kwargs: Mapping[str, Any]) -> str:
        """What is expected."""
        names = ", ".join(f"'{g}'" for g in kwargs["groups"])
        rows = "a row" if kwargs["at_least"] <= 1 else f"{kwargs['at_least']:,g} rows"
        return f"each declared group ({names}) has at least {rows}"

    def _validate(self, metrics: Mapping[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        return _rows_result(_of(metrics["equipoise.value_counts"], self.groups), self.at_least, "group")


class ExpectRowsPerClassAndGroupToBeAtLeast(TableExpectation):
    """Expect each cell of class and group of the attribute `column` to have at least `at_least` rows."""

    target: str
    classes: list[str]
    groups: list[str]
    at_least: float

    metric_dependencies: ClassVar[tuple[str, ...]] = ("equipoise.cell_counts",)
    success_keys: ClassVar[tuple[str, ...]] = ("column", "target", "classes", "groups", "at_least")
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    @classmethod
    def sentence(cls, kwargs: Mapping[str, Any]) -> str:
        """What is expected."""
        return f"each class has at least {kwargs['at_least']:,g} rows in each group of {kwargs['column']}"

    def _validate(self, metrics: Mapping[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        found = metrics["equipoise.cell_counts"]
        cells = {f"{c} & {g}": int(found.get((g, c), 0)) for c in self.classes for g in self.groups}
        return _rows_result(cells, self.at_least, "cell")


def _of(counts: pd.Series, names: list[str]) -> dict[str, int]:
    """Rows of each name, absent ones as 0, in the order of `names`."""
    return {name: int(counts.get(name, 0)) for name in names}


def _rows_result(counts: dict[str, int], at_least: float, what: str) -> dict[str, Any]:
    """Which of the counts fall short."""
    short = {name: rows for name, rows in counts.items() if rows < at_least}
    least = min(counts, key=lambda name: counts[name])
    if short:
        few = sorted(short.items(), key=lambda item: item[1])
        told = ", ".join(f"'{name}' {counted(rows)}" for name, rows in few[:5])
        every = f"{len(short)} of {len(counts)} {what}{'es' if what == 'class' else 's'}"
        observed = f"{every} short: {told}" + (" …" if len(few) > 5 else "")
    else:
        observed = f"the smallest {what}, '{least}', has {counted(counts[least])}"
    return {
        "success": not short,
        "result": {
            "observed_value": observed,
            "details": {"value": counts[least], "counts": counts, "too_small": short},
        },
    }
