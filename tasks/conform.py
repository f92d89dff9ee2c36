"""Raw columns as a model wants them: typed, with what is missing, unknown or of another kind said by column and row."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from models.errors import InputError, nearest
from models.schema import Column, Schema
from models.values import as_text
from tasks.sources.columns import numbers_in

log = logging.getLogger("equipoise")


@dataclass
class Notes:
    """What is odd about a file and no error: columns left out, and values that the model does not know, counted over its pieces."""

    where: str
    unknown: list[str] = field(default_factory=list)
    strange: Counter[str] = field(default_factory=Counter)
    examples: dict[str, str] = field(default_factory=dict)

    def tell(self) -> None:
        """As warnings, once."""
        if self.unknown:
            log.warning(
                "%s: columns that the model does not know are left out: %s", self.where, ", ".join(self.unknown)
            )
        for column, count in self.strange.items():
            log.warning(
                "%s: column '%s': %s rows hold values unknown to the model ('%s' …); they count as missing",
                self.where, column, f"{count:,}", self.examples[column],
            )  # fmt: skip


def needed_columns(schema: Schema, names: Sequence[str]) -> list[Column]:
    """The columns of these names, in the schema's order."""
    return [c for c in schema.columns if c.name in names]


def conform(rows: pd.DataFrame, needed: Sequence[Column], schema: Schema, notes: Notes, first: int = 0) -> pd.DataFrame:
    """The columns that the model reads, typed, with the sensitive attributes that are there.

    `first` is the number of rows of the file before these. Raises InputError for columns that are missing (with the
    nearest that are there) or of another kind (with the row). What the model does not know is left out, and noted.
    """
    missing = [c.name for c in needed if c.name not in rows]
    unknown = [str(c) for c in rows.columns if c not in {s.name for s in schema.columns}]
    if missing:
        hints = " ".join(f"For '{m}': {nearest(m, unknown or rows.columns)}" for m in missing[:3])
        raise InputError(f"{notes.where}: the model needs columns that are missing: {', '.join(missing)}. {hints}")
    notes.unknown = unknown
    typed = {c.name: _typed(rows[c.name], c, notes, first) for c in needed}
    groups = {a.name: as_text(rows[a.name]) for a in schema.sensitive if a.name in rows and a.name not in typed}
    return pd.DataFrame({**typed, **groups}, index=rows.index)


def _typed(column: pd.Series, known: Column, notes: Notes, first: int) -> pd.Series:
    if known.kind == "numeric":
        return _numbers(column, notes.where, first)
    if known.kind == "date":
        return _dates(column, notes.where, first)
    if known.kind == "image":
        odd = column.map(lambda v: not isinstance(v, bytes))
        _require(~odd, column, notes.where, first, "the bytes of an image")
        return column
    texts = as_text(column)
    strange = texts[texts.notna() & ~texts.isin(known.categories)] if known.categories else texts[:0]
    if len(strange):
        notes.strange[known.name] += len(strange)
        notes.examples.setdefault(known.name, str(strange.iloc[0]))
    return texts


def _numbers(column: pd.Series, where: str, first: int) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column):
        raise InputError(
            f"{where}: column '{column.name}' must hold numbers, but it holds dates. Mend the file and run again."
        )
    numbers = numbers_in(column)
    _require(column.isna() | numbers.notna(), column, where, first, "a number")
    _require(~pd.Series(np.isinf(numbers), index=column.index), column, where, first, "a finite number")
    return numbers


def _dates(column: pd.Series, where: str, first: int) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column) and not column.isna().all():
        raise InputError(
            f"{where}: column '{column.name}' must hold dates such as 2024-05-31, but it holds numbers. Mend the file and run again."
        )
    texts = column.astype("object") if not pd.api.types.is_datetime64_any_dtype(column) else column
    dates = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    _require(column.isna() | dates.notna(), column, where, first, "a date such as 2024-05-31")
    return dates.dt.tz_localize(None).astype("datetime64[us]")


def _require(good: pd.Series, column: pd.Series, where: str, first: int, what: str) -> None:
    bad = np.flatnonzero(~good.to_numpy(dtype=bool))
    if len(bad):
        value = column.iloc[int(bad[0])]
        shown = f"'{value}'" if not isinstance(value, (bytes, bytearray)) else "bytes"
        raise InputError(
            f"{where}: column '{column.name}', row {first + int(bad[0]) + 1}: {shown} is not {what}"
            f"{f' (and {len(bad) - 1:,} more like it)' if len(bad) > 1 else ''}. Mend the file and run again."
        )
