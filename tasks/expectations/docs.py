"""Great Expectations' Data Docs as one page that needs nothing from the network: its sections, our style sheet inside."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from great_expectations import __version__ as version
from great_expectations.render import RenderedSectionContent, RenderedTableContent
from great_expectations.render.renderer.column_section_renderer import ValidationResultsColumnSectionRenderer
from great_expectations.render.view.view import DefaultJinjaView

from tasks.expectations.suite import Planned

HERE = Path(__file__).parent
TABLE = "the table"


def data_docs(summary: Mapping[str, Any], planned: Sequence[Planned], results: Sequence[Any]) -> str:
    """The page, a section per column; failed columns come first."""
    by_column: dict[str, list[tuple[Planned, Any]]] = {}
    for item, result in zip(planned, results, strict=True):
        by_column.setdefault(item.column or TABLE, []).append((item, result))
    ordered = sorted(by_column.items(), key=lambda entry: all(r.success for _, r in entry[1]))
    sections = [
        {"column": column, "failed": sum(not r.success for _, r in found), "content": _section(found).to_json_dict()}
        for column, found in ordered
    ]
    return _Page().render_page(sections=sections, summary=summary, failed=_failed(summary), version=version)


def _section(found: Sequence[tuple[Planned, Any]]) -> RenderedSectionContent:
    """Great Expectations' section for the results of one column, with our names of the checks and their severity."""
    section = ValidationResultsColumnSectionRenderer().render(validation_results=[r for _, r in found])
    _, table = section.content_blocks
    # The page has its own header, as that of Data Docs holds the column's name unescaped.
    section.content_blocks = [table]
    table.header_row += ["Check", "Severity"]
    for row, (item, _) in zip(table.table, found, strict=True):
        row += [item.check, item.severity]
    _escape(table)
    return section


def _escape(content: Any) -> Any:
    """Make every plain text in a table's cells show as it is: Data Docs put values of the data into the page unescaped."""
    if isinstance(content, str):
        return html.escape(content)
    if isinstance(content, list):
        return [_escape(part) for part in content]
    if isinstance(content, RenderedTableContent):
        content.table = _escape(content.table)
    return content


def _failed(summary: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Errors before warnings."""
    found = [c for c in summary["checks"] if c["outcome"] == "fail"]
    return sorted(found, key=lambda c: c["severity"] != "error")


class _Page(DefaultJinjaView):
    """Great Expectations' own templates for the sections, and a page template that loads no script, style or image."""

    _template = "data_docs.html"

    def __init__(self) -> None:
        super().__init__(custom_views_directory=str(HERE), custom_styles_directory=str(HERE))
        self._made = 0
        # The elements' ids are random otherwise, and the page would differ from run to run.
        self.env.filters["generate_html_element_uuid"] = self._next_id

    def _next_id(self, prefix: str | None = None) -> str:
        self._made += 1
        return f"{prefix or ''}{self._made}"

    def render_page(self, **values: Any) -> str:
        """The page as HTML."""
        return str(self.env.get_template(self._template).render(**values))
