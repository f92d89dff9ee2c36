"""What a request may hold, made from a model's schema: a wrong value is named by its row and column."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date, datetime
from typing import Annotated, Any

import pandas as pd
from pydantic import BaseModel, ConfigDict, Field, create_model

from models.predictor import Predictor
from models.schema import Column, Schema

MOST_ROWS = 1000
"""Rows of one request."""

EXACT = 2**53
"""Up to here a float64 holds every whole number; identifiers may be longer."""

Text = Annotated[str, Field(max_length=1000)]
Number = Annotated[float, Field(allow_inf_nan=False)]
KINDS: dict[str, Any] = {
    "numeric": Number | None,
    "date": datetime | date | None,
    "ordinal": bool | int | float | Text | None,
    "categorical": bool | int | float | Text | None,
    "identifier": int | Text | None,
}
"""Values that a column of each kind takes; null is a missing value."""


class Unservable(Exception):
    """The model takes what no JSON request can hold."""


def request_model(predictor: Predictor) -> type[BaseModel]:
    """`{"rows": [{column: value, …}, …]}`; columns of the model are required, identifier and groups may come along.

    Groups that the decision depends on are required as well. Other keys are refused by name.
    """
    schema, required = predictor.schema, required_columns(predictor)
    fields: dict[str, Any] = {}
    for position, column in enumerate(columns_of(schema, required)):
        if column.kind == "image":
            raise Unservable(f"'{column.name}' holds images")
        kind = KINDS[column.kind]
        rule = Field(alias=column.name) if column.name in required else Field(None, alias=column.name)
        # Names of columns are any text, and a field's is not: the alias is what a request and an error show.
        fields[f"column_{position}"] = (kind, rule)
    strict = ConfigDict(extra="forbid", strict=False)
    row = create_model("Row", __config__=strict, **fields)
    rows = Annotated[list[row], Field(min_length=1, max_length=MOST_ROWS)]
    return create_model("Request", __config__=strict, rows=(rows, ...))


def required_columns(predictor: Predictor) -> set[str]:
    """The columns that a decision depends on."""
    grouped = any("groups" in adjuster.needs for adjuster in predictor.adjusters)
    groups = [a.name for a in predictor.schema.sensitive] if grouped else []
    return {*predictor.preprocessor.columns, *groups}


def columns_of(schema: Schema, required: set[str]) -> list[Column]:
    """The columns that a request may name, in the schema's order."""
    allowed = {*required, *(a.name for a in schema.sensitive), schema.identifier}
    return [c for c in schema.columns if c.name in allowed]


def table_of(request: BaseModel) -> pd.DataFrame:
    """The rows of a request as raw columns, named as in the schema; a column that no row names is not there."""
    rows: Sequence[BaseModel] = request.rows  # type: ignore[attr-defined]
    given = [row.model_dump(by_alias=True, exclude_unset=True) for row in rows]
    names = list(dict.fromkeys(name for row in given for name in row))
    return pd.DataFrame({name: _column([row.get(name) for row in given]) for name in names})


def _column(values: list[Any]) -> pd.Series:
    """Numbers as float64, everything else as text, as are whole numbers that no float64 holds; dates as ISO text."""
    if all(v is None or _is_number(v) for v in values):
        return pd.Series(values, dtype="float64")
    return pd.Series([_text(v) for v in values], dtype="str")


def _is_number(value: Any) -> bool:
    if isinstance(value, int):
        return not isinstance(value, bool) and abs(value) <= EXACT
    return isinstance(value, float)


def _text(value: Any) -> str | None:
    if value is None:
        return None
    if isinstance(value, (date, datetime)):
        return value.isoformat()
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() or None
