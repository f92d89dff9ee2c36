"""What rows look like, column by column, in little: the reference that later rows are held against, without any row of it."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field

from models.metrics.estimated import expected_confusion
from models.metrics.scored import Floats
from models.preprocess import numeric_values
from models.schema import CLASSES, Schema
from models.values import as_text

KNOTS = 200
"""Points of a numeric column's distribution, at most."""
MOST_CATEGORIES = 200
"""A categorical column keeps its most frequent values; the others count as one."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Numbers(_Frozen):
    """A numeric column: increasing `values`, and the share of the known rows at or below each; `missing` counts rows."""

    kind: Literal["numbers"] = "numbers"
    values: tuple[float, ...]
    shares: tuple[float, ...]
    known: int
    missing: int

    @staticmethod
    def of(column: Floats, at: tuple[float, ...] | None = None) -> Numbers:
        """Values [n], NaN for missing; the shares are exact `at` the values given, or at some of the column's own."""
        known = np.sort(column[~np.isnan(column)])
        values = np.unique(known) if at is None else np.array(at)
        if at is None and len(values) > KNOTS:
            values = np.unique(np.quantile(known, np.linspace(0, 1, KNOTS), method="inverted_cdf"))
        shares = np.searchsorted(known, values, side="right") / max(len(known), 1)
        return Numbers(
            values=tuple(values.tolist()),
            shares=tuple(shares.tolist()),
            known=len(known),
            missing=len(column) - len(known),
        )


class Categories(_Frozen):
    """A categorical column: rows by value, of which `other` counts the rare ones that are not named, and `missing`."""

    kind: Literal["categories"] = "categories"
    counts: dict[str, int]
    other: int = 0
    missing: int = 0

    @staticmethod
    def of(column: pd.Series) -> Categories:
        """A column of text, missing values included."""
        counted = column.value_counts()
        named = {
            str(k): int(v) for k, v in sorted(counted.iloc[:MOST_CATEGORIES].items(), key=lambda item: str(item[0]))
        }
        return Categories(
            counts=named, other=int(counted.iloc[MOST_CATEGORIES:].sum()), missing=int(column.isna().sum())
        )

    @property
    def known(self) -> int:
        """Rows with a value."""
        return sum(self.counts.values()) + self.other


Column = Annotated[Numbers | Categories, Field(discriminator="kind")]


class Profile(_Frozen):
    """Columns and groups by name; of each class the distribution of its probability; decisions by class.

    Of several labels scores and decisions are by label, of a number the one score is the number; neither has `expected`.
    `expected` are the expected counts [C][C] by label and decision, as if the probabilities were true: estimates without
    labels are held against what they would have said of these rows.
    """

    rows: int
    columns: dict[str, Column]
    groups: dict[str, Column]
    scores: dict[str, Numbers]
    decisions: dict[str, int]
    expected: tuple[tuple[float, ...], ...]


def columns_of(rows: pd.DataFrame, schema: Schema, like: Profile | None = None) -> dict[str, Numbers | Categories]:
    """The features of typed rows, except images, and without the sensitive attributes; `like` a reference, where there is one."""
    found: dict[str, Numbers | Categories] = {}
    for column in schema.features(sensitive=False):
        if column.name not in rows or column.kind in ("image", "identifier"):
            continue
        if column.kind == "categorical":
            found[column.name] = Categories.of(as_text(rows[column.name]))
        else:
            known = like.columns.get(column.name) if like else None
            values = numeric_values(rows[column.name], column.kind, column.categories)
            found[column.name] = Numbers.of(values, known.values if isinstance(known, Numbers) else None)
    return found


def groups_of(rows: pd.DataFrame, schema: Schema) -> dict[str, Numbers | Categories]:
    """The sensitive attributes that are there."""
    return {a.name: Categories.of(as_text(rows[a.name])) for a in schema.sensitive if a.name in rows}


def profile_of(
    rows: pd.DataFrame,
    schema: Schema,
    decisions: NDArray[Any],
    probabilities: Floats,
    like: Profile | None = None,
) -> Profile:
    """The profile of typed rows and of what a model says of them, as `Predictor.predict` gives it.

    `like` is the reference that it will be held against: numeric columns are then described at the reference's values.
    """
    kind, classes, expected = schema.target.kind, schema.target.classes, np.zeros((0, 0))
    if kind == "regression":
        classes, counted, probabilities = ("prediction",), np.zeros(0, np.int64), decisions[:, None]
    elif kind in CLASSES:
        counted = np.bincount(decisions, minlength=len(classes))
        expected = expected_confusion(decisions, probabilities).round(3)
    else:
        counted = decisions.sum(0)
    known = {name: like.scores[name].values if like else None for name in classes}
    return Profile(
        rows=len(rows),
        columns=columns_of(rows, schema, like),
        groups=groups_of(rows, schema),
        scores={name: Numbers.of(probabilities[:, c], known[name]) for c, name in enumerate(classes)},
        decisions={name: int(rows_of) for name, rows_of in zip(classes, counted, strict=False)},
        expected=tuple(tuple(row) for row in expected.tolist()),
    )
