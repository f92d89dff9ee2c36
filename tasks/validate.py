"""validate: hold the ingested rows against the checks of params.yaml, with Great Expectations; an error stops the run.

The checks of params.checks. Each has a severity, `error` (stops the run, exit code 3) or `warning` (is logged and kept),
and may name the columns that it is about; without `columns` it is about all that fit.

| check | limit | looks at | expects |
|---|---|---|---|
| imbalance_ratio | at_most, from 1 | the target | largest class at most so many times the smallest |
| rows_per_class | at_least, rows | the target | each class has so many rows |
| rows_per_class_and_group | at_least, rows | sensitive attributes | each class has so many rows in each group |
| group_coverage | at_least, rows (1) | sensitive attributes | each declared group has so many rows |
| missing_rate | at_most, share | features, sensitive attributes | so many values missing at most |
| missing_rate_gap | at_most, share | features x sensitive attributes | missing rates of groups differ by so much at most |
| identifier_leakage | at_most, share (0.99) | features | no feature names its row, none alone gives the target away |
| target_not_missing | - | the target | every row has a class |
| constant_column | - | features | each has at least two different values |
| distinct_values | at_most, share | categorical features | so many different values per value at most: few rows say little of each |

Beside these the schema's own expectations always run, as errors: columns are there and of their type, row ids are
unique, numbers are finite, values are among the declared categories, classes and groups, weights are not negative.
The classes of a number are its bins, those of several labels the rarest label of each row. A class, group or cell without
rows counts as 0; in missing_rate_gap a group of fewer than 30 rows is named, not judged.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute
import pyarrow.parquet

from models.errors import RefusedError
from models.schema import Schema
from tasks.params import Params
from tasks.parts import read_schema
from tasks.stage import Paths, Stage, replacing, write_json

log = logging.getLogger("equipoise")

LINES = 10
"""Warnings that are logged one by one; results.json has them all."""


def run(params: Params, inputs: Paths, outputs: Paths) -> None:
    """Write results.json and docs/index.html, also when a check fails; then raise RefusedError if an error did.

    results.json: {"dataset", "rows", "success", "counts": {"checks", "passed", "errors", "warnings", "not_applicable"},
    "checks": [{"check", "severity", "column", "attribute", "expected", "observed", "outcome": pass / fail, "advice",
    "details": {"value", ...}, "position": index in params.checks or null for the schema's own}, ...]}; a check that finds
    nothing to look at has only check, severity, outcome "not applicable", why and position.
    """
    # It tells of thousands of its own steps at level INFO, which `python -m tasks.validate` shows.
    logging.getLogger("great_expectations").setLevel(logging.WARNING)
    # Importing Great Expectations takes seconds, which only the stage that runs shall pay.
    from tasks.expectations.docs import data_docs
    from tasks.expectations.outcome import outcomes, summarize
    from tasks.expectations.suite import plan

    schema = read_schema(inputs["schema"].parent)
    rows = _read(inputs["rows"], schema)
    planned, idle = plan(params.checks, schema, rows)
    results = evaluate([p.expectation for p in planned], rows)
    summary = summarize(outcomes(planned, results), idle, schema, len(rows))
    with replacing(outputs["validation"]) as folder:
        (folder / "docs").mkdir(parents=True)
        write_json(folder / "results.json", summary)
        (folder / "docs/index.html").write_text(data_docs(summary, planned, results), encoding="utf-8")
    _tell(summary, outputs["validation"])


def _read(path: Any, schema: Schema) -> pd.DataFrame:
    """The typed rows; in place of an image its number of bytes, so that pixels are not held twice."""
    table = pa.parquet.read_table(path)
    for column in schema.columns:
        if column.kind == "image" and column.name in table.column_names:
            position = table.column_names.index(column.name)
            table = table.set_column(position, column.name, pa.compute.binary_length(table[column.name]))
    return table.to_pandas()


def evaluate(expectations: Sequence[Any], rows: pd.DataFrame) -> list[Any]:
    """Great Expectations' result of each expectation on `rows`, in order; nothing is stored or sent."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    settings = DataContextConfig(
        store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
        progress_bars=ProgressBarsConfig(globally=False),
        analytics_enabled=False,
    )
    context = gx.get_context(mode="ephemeral", project_config=settings)
    source = context.data_sources.add_pandas("ingest")
    batches = source.add_dataframe_asset("rows").add_batch_definition_whole_dataframe("all")
    for position, expectation in enumerate(expectations):
        expectation.meta = {"position": position}
    suite = context.suites.add(gx.ExpectationSuite(name="checks", expectations=list(expectations)))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="checks", data=batches, suite=suite))
    found = definition.run(batch_parameters={"dataframe": rows}, result_format="SUMMARY").results
    # Great Expectations answers in an order of its own.
    return sorted(found, key=lambda result: int(result.expectation_config.meta["position"]))


def _tell(summary: dict[str, Any], folder: Any) -> None:
    """Log the warnings; raise RefusedError with every error."""
    failed = [c for c in summary["checks"] if c["outcome"] == "fail"]
    warnings = [c for c in failed if c["severity"] == "warning"]
    errors = [c for c in failed if c["severity"] == "error"]
    counts = summary["counts"]
    log.info(
        "validate: %s of %s expectations met, %s",
        f"{counts['passed']:,}",
        f"{counts['checks']:,}",
        folder / "docs/index.html",
    )
    for check in warnings[:LINES]:
        log.warning("validate: warning: %s", _line(check))
    if len(warnings) > LINES:
        log.warning("validate: and %d more warnings, in %s", len(warnings) - LINES, folder / "results.json")
    if errors:
        lines = "\n".join(f"  {_line(c)} {c['advice']}" for c in errors)
        many = "check" if len(errors) == 1 else "checks"
        raise RefusedError(
            f"the data were refused by {len(errors)} {many} (see {folder / 'docs/index.html'}):\n{lines}"
        )


def _line(check: dict[str, Any]) -> str:
    where = f"column '{check['column']}'" if check["column"] else "the table"
    return f"{check['check']}: {where}: expected: {check['expected']}; observed: {check['observed']}."


STAGE = Stage(
    name="validate",
    run=run,
    sections=("checks",),
    inputs={"rows": "data/ingest/rows.parquet", "schema": "data/ingest/schema.json"},
    outputs={"validation": "data/validate"},
)

if __name__ == "__main__":
    STAGE.main()
