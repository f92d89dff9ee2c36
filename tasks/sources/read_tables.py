"""Reading CSV, Parquet and the bundled tables into raw columns: text, numbers, dates or bytes, not yet typed."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet

from models.errors import InputError, nearest
from models.schema import Kind

MISSING = ("?", "NA", "N/A", "n/a", "#N/A", "NaN", "nan", "NULL", "null")
"""Texts that mean 'no value' in a file of the user's own, besides the empty text."""
SEPARATORS = (",", ";", "\t", "|")
DECIMAL_COMMA = r"^[-+]?(\d+|\d*,\d+)([eE][-+]?\d+)?$"


@dataclass(frozen=True)
class Raw:
    """A table as it was read: text columns hold str and missing values, whatever they mean.

    `parts` says 'train' or 'test' per row where the publisher divided the rows; `kinds` and `orders` what the
    file itself says of a column;
    `truth` is what only the maker of the data knows, `declared` what the maker says of it.
    """

    frame: pd.DataFrame
    parts: pd.Series | None = None
    kinds: dict[str, Kind] = field(default_factory=dict)
    orders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    identity: tuple[dict[str, Any], ...] = ()
    truth: pd.DataFrame | None = None
    declared: dict[str, Any] = field(default_factory=dict)


def read_csv(
    path: Path,
    *,
    name: str,
    columns: Sequence[str] | None = None,
    keep: Sequence[str] | None = None,
    separator: str | None = None,
    comment: str | None = None,
    missing: Iterable[str] = MISSING,
    words: Collection[str] = (),
) -> pd.DataFrame:
    """All columns of a UTF-8 CSV as text. Without `columns` the first line names them; `keep` chooses some of them.

    Where commas do not separate the columns, they may be the decimal marks of numbers: those become points, but in the
    columns that hold `words`.
    Raises InputError for an empty file, another encoding (with the byte), rows of uneven length, unclear names.
    """
    data = path.read_bytes()
    if not data.strip():
        raise InputError(f"{name} is empty. Give a file with a header line and rows.")
    _require_utf8(data, name)
    if comment is not None:
        data = re.sub(rb"(?m)^" + re.escape(comment.encode()) + rb".*\n?", b"", data)
    separator = separator or separator_of(data)
    names = list(columns) if columns is not None else header_of(data, separator, name, keep)
    try:
        table = pa.csv.read_csv(
            pa.BufferReader(data),
            read_options=pa.csv.ReadOptions(
                column_names=[f"{i}" for i in range(len(names))],
                skip_rows=0,
                skip_rows_after_names=1 if columns is None else 0,
                use_threads=False,
            ),
            parse_options=pa.csv.ParseOptions(delimiter=separator, newlines_in_values=True),
            convert_options=pa.csv.ConvertOptions(
                column_types={f"{i}": pa.string() for i in range(len(names))}, strings_can_be_null=False
            ),
        )
    except pa.ArrowInvalid as error:
        reason = str(error).removeprefix("CSV parse error: ")
        raise InputError(
            f"{name}: not a well-formed CSV with {len(names)} columns ({reason}). Mend that row."
        ) from None
    if table.num_rows == 0:
        raise InputError(f"{name} has a header but no rows. Give a file with rows.")
    wanted = {n: i for i, n in reversed(list(enumerate(names))) if keep is None or n in keep}
    chosen = {n: table.column(i) for n, i in sorted(wanted.items(), key=lambda item: item[1])}
    clean = {n: clean_text(column, missing) for n, column in chosen.items()}
    return pd.DataFrame({n: c.to_pandas() for n, c in with_points(clean, separator, words).items()})


def _require_utf8(data: bytes, name: str) -> None:
    """Raise InputError unless the text is UTF-8."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
            encoding = "UTF-16"
        else:
            encoding = "WINDOWS-1252" if any(0x80 <= b < 0xA0 for b in set(data)) else "LATIN1"
        line = data.count(b"\n", 0, error.start) + 1
        word = data[max(0, error.start - 12) : error.start + 12].decode("latin-1").split("\n")[-1].strip()
        raise InputError(
            f"{name} is not UTF-8: byte {error.start} (0x{data[error.start]:02x}, line {line}, near '{word}'); it looks like "
            f"{encoding}. Convert it and name the new file in data.path: iconv -f {encoding} -t UTF-8 OLD.csv > NEW.csv"
        ) from None
    if b"\0" in data:
        raise InputError(
            f"{name} is not a text file: it holds a zero byte at {data.index(0)}. Give a CSV or a Parquet file."
        )


def separator_of(data: bytes) -> str:
    """Of the usual separators the one that the first line has most of."""
    head = data.removeprefix(b"\xef\xbb\xbf").split(b"\n", 1)[0].decode("utf-8")
    unquoted = re.sub(r'"[^"]*"', "", head)
    return max(SEPARATORS, key=unquoted.count)


def header_of(data: bytes, separator: str, name: str, keep: Sequence[str] | None) -> list[str]:
    """The names of the columns, from the first line."""
    text = io.StringIO(data.decode("utf-8-sig"), newline="")
    names = [
        n.strip() or f"unnamed_{i}" for i, n in enumerate(next(csv.reader(text, delimiter=separator), []), start=1)
    ]
    relevant = [n for n in names if keep is None]
    repeated = sorted({n for n in relevant if relevant.count(n) > 1})
    if repeated:
        raise InputError(
            f"{name}: the header names '{repeated[0]}' more than once. Give every column a name of its own."
        )
    absent = [n for n in keep or () if n not in names]
    if absent:
        raise InputError(f"{name}: there is no column '{absent[0]}'. {nearest(absent[0], names)}")
    return names


def clean_text(column: pa.ChunkedArray, missing: Iterable[str]) -> pa.ChunkedArray:
    """Text without surrounding blanks; the empty text and the `missing` marks become nulls."""
    trimmed = pc.utf8_trim_whitespace(column)
    unknown = pc.is_in(trimmed, value_set=pa.array(["", *missing]))
    return pc.if_else(unknown, pa.scalar(None, pa.string()), trimmed)


def with_points(
    columns: Mapping[str, pa.ChunkedArray], separator: str, words: Collection[str]
) -> dict[str, pa.ChunkedArray]:
    """The columns of a CSV, '2,5' as '2.5' in those whose every value is a number so written."""
    if separator == ",":
        return dict(columns)
    return {n: c if n in words else _with_points(c) for n, c in columns.items()}


def _with_points(column: pa.ChunkedArray) -> pa.ChunkedArray:
    if not pc.any(pc.match_substring(column, ",")).as_py():
        return column
    if not pc.all(pc.match_substring_regex(column, DECIMAL_COMMA)).as_py():
        return column
    return pc.replace_substring(column, ",", ".")


def read_parquet(
    path: Path, *, name: str, missing: Iterable[str] = MISSING
) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    """All columns of a Parquet file, and the order of the values of its ordered categorical columns.

    Raises InputError for a file that is truncated, has no rows, or holds nested values.
    """
    if path.stat().st_size == 0:
        raise InputError(f"{name} is empty (0 bytes). Give a Parquet file with rows.")
    try:
        table = pa.parquet.read_table(path)
    except (pa.ArrowInvalid, OSError) as error:
        reason = str(error).splitlines()[0]
        raise InputError(
            f"{name} is not a whole Parquet file ({reason}). It may be truncated: copy or download it again."
        ) from None
    if table.num_rows == 0:
        raise InputError(f"{name} has columns but no rows. Give a file with rows.")
    repeated = sorted({n for n in table.column_names if table.column_names.count(n) > 1})
    if repeated:
        raise InputError(
            f"{name}: the column '{repeated[0]}' occurs more than once. Give every column a name of its own."
        )
    return plain_table(table, name, missing)


def plain_table(table: pa.Table, name: str, missing: Iterable[str]) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    """The columns of an Arrow table as raw ones, and the order of the values of its ordered categorical columns."""
    columns: dict[str, pd.Series] = {}
    orders: dict[str, tuple[str, ...]] = {}
    for column_name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_dictionary(column.type):
            if column.type.ordered:
                values = column.unify_dictionaries().chunk(0).dictionary.cast(pa.string())
                orders[column_name] = tuple(str(v) for v in values.to_pylist())
            column = column.cast(column.type.value_type)
        columns[column_name] = _plain(column, column_name, name, missing).to_pandas()
    return pd.DataFrame(columns), orders


def _plain(column: pa.ChunkedArray, column_name: str, name: str, missing: Iterable[str]) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind):
        return clean_text(column.cast(pa.string()), missing)
    if pa.types.is_boolean(kind):
        return column.cast(pa.string())
    if pa.types.is_decimal(kind):
        return column.cast(pa.float64())
    if pa.types.is_null(kind):
        return column.cast(pa.string())
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return column.cast(pa.timestamp("us", tz=getattr(kind, "tz", None)), safe=False)
    if (
        pa.types.is_integer(kind)
        or pa.types.is_floating(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
    ):
        return column
    raise InputError(
        f"{name}: column '{column_name}' holds values of the kind {kind}, which no model here can read. Leave it out of the file."
    )
