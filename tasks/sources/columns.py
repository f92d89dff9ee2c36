"""Typing: what kind a raw column is, and its values as that kind."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
import pandas as pd

from models.errors import InputError
from models.schema import Kind
from models.values import as_text

ID_NAME = re.compile(
    r"(^|[_\-\s.])(id|uuid|guid|key|index|rownum|row_?number)$|^(id|uuid|guid|index)([_\-\s.]|$)|[a-z]I[dD]$|^unnamed_1$"
)
ISO_DATE = r"\d{4}-\d{2}-\d{2}([T ]\d{2}:\d{2}(:\d{2}(\.\d+)?)?(Z|[+-]\d{2}:?\d{2})?)?"
RANGE = re.compile(
    r"(?P<below><=?|less than|under|below|up to)?\s*(?P<above>>=?|greater than|more than|over|above)?\s*"
    r"(?P<from>\d+(\.\d+)?)\s*(?:(?:-|–|to)\s*(?P<to>\d+(\.\d+)?))?\s*(?P<open>\+|and over|and older|and above|or more|or older)?",
    re.IGNORECASE,
)
THOUSANDS = (
    r"[-+]?\d{1,3}(?:(?:,\d{3})+(?:\.\d+)?|(?:\.\d{3})+(?:,\d+)?|(?:[ '\u00a0\u202f]\d{3})+(?:[.,]\d+)?|[.,]\d+)?"
)
"""Numbers with marks between their thousands or a decimal comma, and such as are too small to have any."""
NAMED_ID_DISTINCT = 0.5
TEXT_ID_DISTINCT = 0.9
TEXT_ID_ROWS = 20


@dataclass(frozen=True)
class Typed:
    """A column of a known kind. `values`: float64, str or datetime64 with missing values; bytes for images."""

    values: pd.Series
    kind: Kind
    categories: tuple[str, ...] | None = None
    note: str = ""


def type_column(column: pd.Series, kind: Kind | None, order: tuple[str, ...] | None) -> Typed:
    """The column as `kind`, or as the kind that its values show; `order` gives the values of an ordinal one, low to high.

    Raises InputError for a column without values, with infinite ones, or with numbers and words that nobody declared.
    """
    if column.isna().all():
        raise InputError(
            f"column '{column.name}': all {len(column):,} values are missing. Add it to data.drop, or mend the source."
        )
    if kind is None and order is not None:
        kind = "ordinal"
    note = ""
    if kind is None:
        kind, note = _guess(column)
    if kind == "numeric":
        return Typed(_numbers(column), kind, note=note)
    if kind == "date":
        return Typed(_dates(column), kind, note=note)
    if kind == "image":
        return Typed(_bytes(column), kind)
    texts = as_text(column)
    if kind == "identifier":
        return Typed(texts, kind, note=note or "declared as an identifier in data.columns; never a feature")
    categories = (
        _ordered(texts, order) if kind == "ordinal" else tuple(sorted(texts.dropna().unique(), key=natural_order))
    )
    return Typed(texts, kind, categories, note)


def numbers_in(column: pd.Series) -> pd.Series:
    """The column as float64; what is no number becomes missing."""
    if isinstance(column.dtype, pd.StringDtype):
        codes, distinct = pd.factorize(column)
        numbers = np.append(
            pd.to_numeric(pd.Index(distinct, dtype="object"), errors="coerce").astype("float64"), np.nan
        )
        return pd.Series(numbers[codes], index=column.index, name=column.name)
    return pd.to_numeric(column, errors="coerce").astype("float64")


def is_numeric(column: pd.Series) -> bool:
    """Whether every value that is not missing is a number."""
    if pd.api.types.is_numeric_dtype(column):
        return True
    if not isinstance(column.dtype, pd.StringDtype):
        return False
    return bool(numbers_in(column)[column.notna()].notna().all())


def _guess(column: pd.Series) -> tuple[Kind, str]:
    if pd.api.types.is_datetime64_any_dtype(column):
        return "date", ""
    if pd.api.types.is_numeric_dtype(column):
        return _number_or_id(column, column.astype("float64"))
    if not isinstance(column.dtype, pd.StringDtype):
        raise InputError(
            f"column '{column.name}' holds bytes. If they are images, set data.columns.{column.name}: image; else add it to data.drop."
        )
    present = column.dropna()
    numbers = numbers_in(present)
    if numbers.notna().all():
        return _number_or_id(present, numbers)
    if numbers.notna().any():
        raise _mixed(column, numbers)
    distinct = present.drop_duplicates()
    if distinct.str.fullmatch(ISO_DATE).all():
        return "date", ""
    if distinct.str.fullmatch(THOUSANDS).all():
        raise InputError(
            f"column '{column.name}' seems to hold numbers in a form that is not read here, such as '{distinct.iloc[0]}'. Write "
            f"them as 1234.5, or declare the column: data.columns.{column.name}: categorical (or add it to data.drop)."
        )
    share = len(distinct) / len(present)
    if (share > TEXT_ID_DISTINCT and len(present) >= TEXT_ID_ROWS) or (
        share > NAMED_ID_DISTINCT and ID_NAME.search(str(column.name))
    ):
        return (
            "identifier",
            f"identifier: {len(distinct):,} distinct texts in {len(present):,} rows name rows rather than describe them",
        )
    if range_order(present) is not None:
        return "ordinal", ""
    return "categorical", ""


def _number_or_id(column: pd.Series, numbers: pd.Series) -> tuple[Kind, str]:
    """Whole numbers that are named like an identifier and hardly repeat, or count the rows, identify them."""
    known = numbers.dropna()
    finite = known[np.isfinite(known)]
    if len(finite) < len(known) or not (finite == np.floor(finite)).all() or len(finite) < 2:
        return "numeric", ""
    distinct = column.dropna().nunique()
    if distinct > NAMED_ID_DISTINCT * len(known) and ID_NAME.search(str(column.name)):
        return "identifier", f"identifier: named like one, {distinct:,} distinct numbers in {len(known):,} rows"
    if distinct == len(column) and len(column) >= TEXT_ID_ROWS and finite.max() - finite.min() == len(column) - 1:
        return "identifier", "identifier: it counts the rows"
    return "numeric", ""


def _mixed(column: pd.Series, numbers: pd.Series) -> InputError:
    words = numbers.isna()
    odd = words if words.sum() <= len(words) / 2 else ~words
    what, other = ("words", "numbers") if odd is words else ("numbers", "words")
    row, value = _first(column.dropna(), odd)
    return InputError(
        f"column '{column.name}' mixes numbers and words: row {row} holds '{value}'; {int(odd.sum()):,} of {len(odd):,} values are {what}, "
        f"the others {other}. Mend them, or declare the column: data.columns.{column.name}: categorical "
        "(or add it to data.drop)."
    )


def _first(column: pd.Series, where: pd.Series) -> tuple[int, object]:
    """Number of the first such row, counted from 1 without the header, and its value."""
    position = int(np.argmax(where.to_numpy()))
    return int(column.index[position]) + 1, column.iloc[position]


def _numbers(column: pd.Series) -> pd.Series:
    numbers = numbers_in(column)
    words = column.notna() & numbers.isna()
    if words.any():
        row, value = _first(column, words)
        raise InputError(
            f"column '{column.name}' is declared as numeric, but row {row} holds '{value}' "
            f"(and {int(words.sum()) - 1:,} more like it). Mend the values, or declare it as categorical in data.columns."
        )
    infinite = np.isinf(numbers)
    if infinite.any():
        row, _ = _first(column, infinite)
        raise InputError(
            f"column '{column.name}' has infinite values: {int(infinite.sum()):,}, the first in row {row}. "
            "Replace them by numbers or leave them empty."
        )
    return numbers


def _dates(column: pd.Series) -> pd.Series:
    try:
        dates = pd.to_datetime(
            column.astype("object") if isinstance(column.dtype, pd.StringDtype) else column, format="ISO8601", utc=True
        )
    except (ValueError, TypeError) as error:
        raise InputError(
            f"column '{column.name}' is no date in the form 2024-05-31 ({error}). Rewrite it, or change data.columns."
        ) from None
    return dates.dt.tz_localize(None).astype("datetime64[us]")


def _bytes(column: pd.Series) -> pd.Series:
    if column.isna().any() or not isinstance(column.iloc[0], bytes):
        raise InputError(
            f"column '{column.name}' is declared as image, but not every row holds the bytes of one. Correct data.columns."
        )
    return column


def _ordered(texts: pd.Series, order: tuple[str, ...] | None) -> tuple[str, ...]:
    present = set(texts.dropna().unique())
    if order is None:
        return tuple(
            sorted(present, key=lambda v: (_range_start(v) is None, _range_start(v) or (0.0, 0), natural_order(v)))
        )
    unknown = sorted(present - set(order))
    if unknown:
        raise InputError(
            f"column '{texts.name}': the value '{unknown[0]}' is not in its declared order ({', '.join(order)}). Add it there, or mend it."
        )
    return order


def range_order(texts: pd.Series) -> tuple[str, ...] | None:
    """The values from low to high if there are several and all are ranges ('<25', '25 - 45', '65+'), else None."""
    starts = {str(value): _range_start(str(value)) for value in texts.dropna().unique()}
    if len(starts) < 2 or None in starts.values():
        return None
    return tuple(sorted(starts, key=lambda value: (starts[value], value)))


def _range_start(text: str) -> tuple[float, int] | None:
    """Where a range such as '25 - 45', '<25' or '65+' begins, for sorting; None if the text is no range."""
    match = RANGE.fullmatch(text.strip())
    if match is None or (match["below"] and match["above"]):
        return None
    start, end = float(match["from"]), match["to"]
    if match["below"]:
        return (float("-inf"), 0)
    if match["above"]:
        return (start, 2)
    if end is None:
        return (start, 1) if match["open"] else None
    return (start, 1) if float(end) > start else None


def natural_order(text: str) -> tuple[bool, float, str]:
    """Numbers before words, and by size."""
    try:
        return (False, float(text), text)
    except ValueError:
        return (True, 0.0, text)
