"""Expectations that the values of a column are among those that the schema declares, and finite."""

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
    table_of,
)


class InfiniteValues(TableMetricProvider):
    """Rows with an infinite value in a column, and all rows."""

    metric_name = "equipoise.infinite_values"
    value_keys = ("column",)

    @metric_value(engine=PandasExecutionEngine)
    def _pandas(
        cls, execution_engine: Any, metric_domain_kwargs: Any, metric_value_kwargs: Any, metrics: Any, **_: Any
    ) -> tuple[int, int]:
        column: pd.Series = table_of(execution_engine, metric_domain_kwargs)[metric_value_kwargs["column"]]
        return int(np.isinf(column.to_numpy(np.float64)).sum()), len(column)


class ExpectColumnValuesToBeFinite(TableExpectation):
    """Expect no infinite number in the column."""

    metric_dependencies: ClassVar[tuple[str, ...]] = ("equipoise.infinite_values",)
    success_keys: ClassVar[tuple[str, ...]] = ("column",)
    args_keys: ClassVar[tuple[str, ...]] = success_keys

    @classmethod
    def sentence(cls, kwargs: Mapping[str, Any]) -> str:
        """What is expected."""
        return "every number is finite"

    def _validate(self, metrics: Mapping[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        infinite, rows = metrics["equipoise.infinite_values"]
        return {
            "success": infinite == 0,
            "result": {
                "observed_value": f"{counted(infinite, 'infinite value')} in {counted(rows)}",
                "details": {"value": infinite, "rows": rows},
            },
        }
