"""What our expectations share: one sentence that says what is expected, in the results and in Data Docs alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar

from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import BatchExpectation, render_suite_parameter_string
from great_expectations.expectations.metrics.metric_provider import metric_value
from great_expectations.expectations.metrics.table_metric_provider import TableMetricProvider
from great_expectations.render import LegacyRendererType, RenderedStringTemplateContent
from great_expectations.render.renderer.renderer import renderer

__all__ = [
    "PandasExecutionEngine",
    "TableExpectation",
    "TableMetricProvider",
    "counted",
    "metric_value",
    "percent",
    "table_of",
]


def table_of(engine: Any, domain: Mapping[str, Any]) -> Any:
    """The rows that a metric is asked about, as a DataFrame."""
    frame, _, _ = engine.get_compute_domain(dict(domain), domain_type="table")
    return frame


def percent(share: float) -> str:
    """0.1234 -> 12.3%; a share that is neither none nor all is never shown as 0% or 100%."""
    text = f"{share:.1%}"
    if (text == "0.0%" and share > 0) or (text == "100.0%" and share < 1):
        return f"{share:.3%}" if 0.00001 <= share <= 0.99999 else f"{share:.2e}"
    return text.replace(".0%", "%")


def counted(rows: int, what: str = "row") -> str:
    """1 row, 1,234 rows."""
    return f"{rows:,} {what}{'' if rows == 1 else 's'}"


class TableExpectation(BatchExpectation, ABC):
    """An expectation on one column that may need others of its row.

    A subclass declares its fields, its metrics, `sentence`, and `_validate`, whose result holds `observed_value` (a
    sentence) and `details` (with the figure as `value`).
    """

    column: str

    domain_keys: ClassVar[tuple[str, ...]] = ("batch_id", "table")

    @classmethod
    @abstractmethod
    def sentence(cls, kwargs: Mapping[str, Any]) -> str:
        """What is expected, for the fields in `kwargs`."""

    @property
    def expected(self) -> str:
        """What is expected."""
        return self.sentence(self.configuration.kwargs)

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    @render_suite_parameter_string
    def _prescriptive_renderer(
        cls, configuration: Any = None, result: Any = None, runtime_configuration: Any = None, **_: Any
    ) -> list[RenderedStringTemplateContent]:
        known = configuration if configuration is not None else result.expectation_config
        return [
            RenderedStringTemplateContent(
                content_block_type="string_template",
                string_template={
                    "template": "$sentence",
                    "params": {"sentence": cls.sentence(known.kwargs)},
                    "styling": {"params": {"sentence": {"classes": ["sentence"]}}},
                },
            )
        ]
