"""From the checks in params.yaml and the schema to expectations: which columns each check is about, and what to do if it fails."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import great_expectations.expectations as built_in
import pandas as pd

from models.errors import InputError, nearest
from models.schema import Attribute, Column, Schema
from tasks.expectations.balance import (
    ExpectColumnImbalanceRatioToBeAtMost,
    ExpectColumnRowsPerClassToBeAtLeast,
    ExpectGroupsToBeCovered,
    ExpectRowsPerClassAndGroupToBeAtLeast,
)
from tasks.expectations.base import TableExpectation
from tasks.expectations.declared import ExpectColumnValuesToBeFinite
from tasks.expectations.leakage import ExpectColumnNotToIdentifyRows, ExpectColumnNotToRevealTarget
from tasks.expectations.missing import ExpectColumnMissingRateGapToBeAtMost, ExpectColumnMissingRateToBeAtMost
from tasks.params import Check
from tasks.sources.roles import MISSING_GROUP

LEAKAGE = 0.99
"""Default limit of identifier_leakage."""


@dataclass(frozen=True)
class Planned:
    """One expectation and what it stands for.

    `attribute` is the sensitive attribute by which `column` is looked at, if it is another column. `position` is the
    check's index in params.checks, None for the schema's own.
    """

    check: str
    severity: Literal["error", "warning"]
    expectation: Any
    expected: str
    advice: str
    column: str | None = None
    attribute: str | None = None
    position: int | None = None


@dataclass(frozen=True)
class NotApplicable:
    """A check of params.yaml that these data give nothing to look at."""

    check: str
    severity: Literal["error", "warning"]
    why: str
    position: int


def plan(checks: Sequence[Check], schema: Schema, rows: pd.DataFrame) -> tuple[list[Planned], list[NotApplicable]]:
    """The schema's own expectations, then those of params.checks. A column that does not exist is an InputError."""
    planned = list(_of_schema(schema, rows))
    idle: list[NotApplicable] = []
    for position, check in enumerate(checks):
        made = list(_Planner(schema, rows, check, position).planned())
        planned += made
        if not made:
            idle.append(NotApplicable(check.check, check.severity, _why_idle(check, schema), position))
    return planned, idle


def _why_idle(check: Check, schema: Schema) -> str:
    by_group = check.check in ("rows_per_class_and_group", "group_coverage", "missing_rate_gap")
    return (
        "there is no sensitive attribute"
        if by_group and not schema.sensitive
        else "no column is of a kind that it looks at"
    )


def _of_schema(schema: Schema, rows: pd.DataFrame) -> Iterator[Planned]:
    """What every later stage relies on: these fail only if the files of ingest were changed or damaged."""
    advice = "Run the stage 'ingest' again; if it stays, mend the source."

    def own(check: str, expectation: Any, expected: str, column: str | None = None) -> Planned:
        return Planned(check, "error", expectation, expected, advice, column)

    wanted = ["row_id", *(c.name for c in schema.columns if c.role != "dropped")]
    yield own(
        "columns_exist",
        built_in.ExpectTableColumnsToMatchSet(column_set=wanted, exact_match=False),
        f"the table has the {len(wanted)} columns of the schema",
    )
    if "row_id" in rows:
        yield own(
            "row_id_unique", built_in.ExpectColumnValuesToBeUnique(column="row_id"), "no value occurs twice", "row_id"
        )
        yield own(
            "not_missing", built_in.ExpectColumnValuesToNotBeNull(column="row_id"), "no value is missing", "row_id"
        )
    for column in schema.columns:
        if column.name in rows and column.role != "dropped":
            yield from (own(*made, column.name) for made in _of_column(column, schema, rows[column.name]))


def _of_column(column: Column, schema: Schema, values: pd.Series) -> Iterator[tuple[str, Any, str]]:
    name = column.name
    if column.kind == "numeric":
        yield _of_type(name, "float64", "numbers")
        if values.dtype.kind == "f":
            finite = ExpectColumnValuesToBeFinite(column=name)
            yield "finite", finite, finite.expected
    elif column.kind == "date":
        yield _of_type(name, str(values.dtype) if values.dtype.kind == "M" else "datetime64[us]", "dates")
    if column.role == "weight":
        positive = built_in.ExpectColumnValuesToBeBetween(column=name, min_value=0)
        yield "weights_not_negative", positive, "every weight is at least 0"
    if column.role == "weight" or column.kind == "image" or name in {a.name for a in schema.sensitive}:
        yield "not_missing", built_in.ExpectColumnValuesToNotBeNull(column=name), "no value is missing"
    known = _known_values(column, schema)
    if known:
        declared = built_in.ExpectColumnValuesToBeInSet(column=name, value_set=list(known))
        yield "declared_values", declared, f"every value is one of the {len(known):,} declared ones"


def _of_type(name: str, dtype: str, what: str) -> tuple[str, Any, str]:
    return "type", built_in.ExpectColumnValuesToBeOfType(column=name, type_=dtype), f"the values are {what} ({dtype})"


def _known_values(column: Column, schema: Schema) -> tuple[str, ...]:
    if column.name == schema.target.balanced_by:
        return schema.target.strata
    if column.name == schema.target.column:
        return ()
    for attribute in schema.sensitive:
        if attribute.name == column.name:
            return attribute.groups
    return column.categories or () if column.kind in ("categorical", "ordinal") else ()


class _Planner:
    """The expectations of one check of params.yaml."""

    def __init__(self, schema: Schema, rows: pd.DataFrame, check: Check, position: int) -> None:
        self.schema, self.rows, self.check, self.position = schema, rows, check, position
        self.where = f"checks[{position}]"
        self.classes = list(schema.target.strata)
        self.target = schema.target.balanced_by
        self.groups = {a.name: list(a.groups) for a in schema.sensitive}

    def planned(self) -> Iterator[Planned]:
        """One for each column, attribute or pair of both that the check is about."""
        yield from getattr(self, f"_{self.check.check}")()

    def _make(self, expectation: Any, advice: str, expected: str = "", attribute: str | None = None) -> Planned:
        told = expectation.expected if isinstance(expectation, TableExpectation) else expected
        return Planned(
            check=self.check.check,
            severity=self.check.severity,
            expectation=expectation,
            expected=told,
            advice=advice,
            column=expectation.column,
            attribute=attribute if attribute != expectation.column else None,
            position=self.position,
        )

    def _imbalance_ratio(self) -> Iterator[Planned]:
        self._only([self.target])
        yield self._make(
            ExpectColumnImbalanceRatioToBeAtMost(column=self.target, classes=self.classes, at_most=self.check.at_most),
            f"Collect more rows of the smallest class, merge it with another, or raise {self.where}.at_most.",
        )

    def _rows_per_class(self) -> Iterator[Planned]:
        self._only([self.target])
        yield self._make(
            ExpectColumnRowsPerClassToBeAtLeast(column=self.target, classes=self.classes, at_least=self.check.at_least),
            f"Collect more rows of these classes, merge them with others, or lower {self.where}.at_least.",
        )

    def _rows_per_class_and_group(self) -> Iterator[Planned]:
        for attribute in self._attributes():
            expectation = ExpectRowsPerClassAndGroupToBeAtLeast(
                column=attribute.name,
                target=self.target,
                classes=self.classes,
                groups=list(attribute.groups),
                at_least=self.check.at_least,
            )
            advice = (
                f"Collect more rows of these groups, merge groups in `sensitive`, or lower {self.where}.at_least; "
                "figures of such a group will be insufficient evidence."
            )
            yield self._make(expectation, advice, attribute=attribute.name)

    def _group_coverage(self) -> Iterator[Planned]:
        for attribute in self._attributes():
            expectation = ExpectGroupsToBeCovered(
                column=attribute.name, groups=list(attribute.groups), at_least=self.check.at_least or 1
            )
            advice = "Add rows of these groups, or take them out of the values that `sensitive` declares."
            yield self._make(expectation, advice, attribute=attribute.name)

    def _missing_rate(self) -> Iterator[Planned]:
        attributes = {a.name for a in self.schema.sensitive}
        for column in self._columns(self._described()):
            expectation = ExpectColumnMissingRateToBeAtMost(
                column=column, at_most=self.check.at_most, missing_value=MISSING_GROUP if column in attributes else None
            )
            advice = f"Mend the source, add the column to data.drop, or raise {self.where}.at_most."
            yield self._make(expectation, advice, attribute=column if column in attributes else None)

    def _missing_rate_gap(self) -> Iterator[Planned]:
        attributes = {a.name: a for a in self.schema.sensitive}
        features = [c for c in self._described() if c not in attributes]
        named = self._columns([*features, *attributes])
        chosen = [c for c in named if c in features] or features
        for name in [n for n in named if n in attributes] or list(attributes):
            for column in chosen:
                expectation = ExpectColumnMissingRateGapToBeAtMost(
                    column=column, attribute=name, groups=list(attributes[name].groups), at_most=self.check.at_most
                )
                advice = (
                    f"A model can read the group from what is missing: mend the source, add the column to data.drop, or raise "
                    f"{self.where}.at_most."
                )
                yield self._make(expectation, advice, attribute=name)

    def _identifier_leakage(self) -> Iterator[Planned]:
        limit = self.check.at_most if self.check.at_most is not None else LEAKAGE
        kinds = {c.name: c.kind for c in self.schema.columns}
        for column in self._columns(self._features()):
            yield self._make(
                ExpectColumnNotToIdentifyRows(column=column, at_most=limit, declared=kinds[column] == "identifier"),
                f"Add '{column}' to data.drop. If it measures something, list the columns to check in {self.where}.columns.",
            )
            yield self._make(
                ExpectColumnNotToRevealTarget(column=column, target=self.target, at_most=limit),
                f"'{column}' was probably recorded after the outcome: add it to data.drop. If it is known in time, list the "
                f"columns to check in {self.where}.columns.",
            )

    def _target_not_missing(self) -> Iterator[Planned]:
        self._only([self.schema.target.column])
        yield self._make(
            built_in.ExpectColumnValuesToNotBeNull(column=self.schema.target.column),
            "Remove the rows without a target from the source; nothing can be learned from them.",
            expected="every row has a class",
        )

    def _constant_column(self) -> Iterator[Planned]:
        for column in self._columns(self._features()):
            yield self._make(
                built_in.ExpectColumnUniqueValueCountToBeBetween(column=column, min_value=2),
                f"Add '{column}' to data.drop: it tells a model nothing.",
                expected="the column has at least 2 different values",
            )

    def _distinct_values(self) -> Iterator[Planned]:
        categorical = [c.name for c in self.schema.columns if c.kind == "categorical"]
        for column in self._columns([c for c in self._features() if c in categorical]):
            yield self._make(
                built_in.ExpectColumnProportionOfUniqueValuesToBeBetween(column=column, max_value=self.check.at_most),
                f"Few rows share a value of '{column}'. If it names rows, add it to data.drop; if it holds numbers or dates in "
                f"another form, write them as 1234.5 or 2024-05-31; else merge rare values, or raise {self.where}.at_most.",
                expected=f"different values are at most a share of {self.check.at_most:g} of all values",
            )

    def _features(self) -> list[str]:
        return [c.name for c in self.schema.features(sensitive=False) if c.kind != "image" and c.name in self.rows]

    def _described(self) -> list[str]:
        """Columns whose missing values mean something: features and sensitive attributes."""
        return [
            c.name
            for c in self.schema.columns
            if c.role in ("feature", "sensitive") and c.kind != "image" and c.name in self.rows
        ]

    def _attributes(self) -> list[Attribute]:
        chosen = self._columns(list(self.groups))
        return [a for a in self.schema.sensitive if a.name in chosen]

    def _columns(self, known: list[str]) -> list[str]:
        """The columns that the check names, or all that fit; one that does not fit is an InputError."""
        if self.check.columns is None:
            return known
        for name in self.check.columns:
            if name not in known:
                hint = nearest(name, known) if known else "No column fits."
                raise InputError(
                    f"params.yaml: {self.where}.columns: {self.check.check} cannot look at '{name}'. {hint}"
                )
        return list(dict.fromkeys(self.check.columns))

    def _only(self, known: list[str]) -> None:
        self._columns(known)
