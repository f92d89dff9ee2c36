"""Rows that come later, a partition at a time: files, a prediction log, or the months of a table."""

from __future__ import annotations

import glob
import hashlib
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from models.errors import InputError, nearest
from models.predictor import Predictor
from models.schema import Schema
from models.values import as_text
from tasks.conform import Notes, conform, needed_columns
from tasks.monitoring.truth import Truth, in_rows, truth_of
from tasks.predict import missing_marks, words_among
from tasks.serving.log import OWN, SAID, SUFFIX, log_files, read_log
from tasks.sources.download import fetch, is_remote, list_s3
from tasks.sources.read_tables import read_csv, read_parquet

KEY = "prediction_id"


@dataclass(frozen=True)
class Partition:
    """Typed rows under a name; `labels` are what they turned out to be, or None without any."""

    name: str
    rows: pd.DataFrame
    labels: Truth | None

    def __len__(self) -> int:
        return len(self.rows)


def partition_of(name: str, raw: pd.DataFrame, predictor: Predictor, labels: pd.Series | None = None) -> Partition:
    """Raw columns as a partition; labels are those of the target's column, else `labels` by identifier or prediction id.

    Raises InputError for columns that are missing or of another kind, and for a label that is no value of the target.
    """
    schema = predictor.schema
    notes = Notes(name)
    typed = conform(raw, needed_columns(schema, predictor.preprocessor.columns), schema, notes)
    own = {KEY, "row_id", *OWN, *SAID, *schema.target.classes, schema.target.balance_column}
    notes.unknown = [c for c in notes.unknown if c not in own and not c.startswith("p_")]
    notes.tell()
    found = _labels(raw, schema, labels)
    return Partition(name, typed, None if found is None else truth_of(found, schema.target, name))


def _labels(raw: pd.DataFrame, schema: Schema, labels: pd.Series | None) -> pd.Series | None:
    own = in_rows(raw, schema.target)
    if own is not None or labels is None:
        return own
    for key in (KEY, schema.identifier):
        if key is not None and key in raw and labels.index.name == key:
            return as_text(raw[key]).map(labels).astype("str")
    raise InputError(
        f"the labels are named by '{labels.index.name}', and the rows have no such column. Give labels by a column that both have: "
        f"{KEY}{f' or {schema.identifier}' if schema.identifier else ''}."
    )


def read_labels(path: Path, schema: Schema) -> pd.Series:
    """The target as text by prediction id or by the identifier, whichever the file has; of repeated ones the last counts."""
    table = read_table(path, words={schema.target.column} if schema.target.kind == "multilabel" else ())
    if schema.target.kind == "multilabel" and schema.target.column in table:
        table[schema.target.column] = as_text(table[schema.target.column]).fillna("")
    keys = [key for key in (KEY, schema.identifier) if key is not None and key in table]
    if not keys or schema.target.column not in table:
        wanted = [schema.target.column] if keys else [key for key in (KEY, schema.identifier) if key]
        raise InputError(f"{path}: there is no column '{wanted[0]}'. {nearest(wanted[0], table.columns)}")
    table = table.dropna(subset=[keys[0], schema.target.column])
    key = as_text(table[keys[0]])
    found = as_text(table[schema.target.column]).set_axis(pd.Index(key, name=keys[0]))
    return found[~found.index.duplicated(keep="last")]


def read_table(path: Path, marks: Sequence[str] = (), words: Collection[str] = ()) -> pd.DataFrame:
    """A CSV or Parquet file as raw columns; `marks` mean 'no value', and columns of `words` hold no numbers."""
    if path.suffix.lower() in (".parquet", ".pq"):
        return read_parquet(path, name=str(path), missing=marks)[0]
    return read_csv(path, name=str(path), missing=marks, words=words)


def partitions(
    sources: Sequence[str], predictor: Predictor, version: str, downloads: Path, labels: pd.Series | None = None
) -> Iterator[Partition]:
    """One partition per file: of paths, patterns and s3:// addresses (a prefix ends in /), in the order of their names.

    A folder is a prediction log; its days are partitions, with the rows that `version` answered.
    """
    needed = needed_columns(predictor.schema, predictor.preprocessor.columns)
    for source in sources:
        if Path(source).is_dir():
            yield from _of_log(Path(source), predictor, version, labels)
            continue
        for name, path in _files(source, downloads):
            rows = read_table(path, missing_marks(needed), words_among(needed))
            yield partition_of(name, rows, predictor, labels)


def _of_log(folder: Path, predictor: Predictor, version: str, labels: pd.Series | None) -> Iterator[Partition]:
    files = log_files(folder)
    if not files:
        raise InputError(
            f"{folder} holds no finished file of a prediction log (*{SUFFIX}). Name the folder of `equipoise serve --log`; its files "
            "are finished at 64 MiB, with the first prediction after ten minutes, or when the server ends."
        )
    for day in sorted({path.parent for path in files}):
        raw = read_log([path for path in files if path.parent == day], version)
        if len(raw):
            yield partition_of(day.name, raw.drop_duplicates(KEY), predictor, labels)


def _files(source: str, downloads: Path) -> list[tuple[str, Path]]:
    """Names of partitions, and their files."""
    if is_remote(source):
        listed = source.startswith("s3://") and source.endswith("/")
        found = []
        for address in list_s3(source) if listed else [source]:
            # Below a prefix, files in several folders may have the same name.
            place = hashlib.sha256(address.encode()).hexdigest()[:16]
            path = downloads / place / Path(address.partition("?")[0]).name
            fetch(address, path)
            found.append((str(Path(address.removeprefix(source)).with_suffix("")) if listed else path.stem, path))
        return found
    paths = [Path(p) for p in sorted(glob.glob(source, recursive=True))]
    if not paths:
        raise InputError(
            f"{source}: there is no such file. Name a CSV or Parquet file, a pattern in quotes, or a prediction log."
        )
    return [(p.stem, p) for p in paths if p.is_file()]


def by_month(
    rows: pd.DataFrame, predictor: Predictor, since: str | None = None, until: str | None = None
) -> Iterator[Partition]:
    """The months of typed rows as ingest has them, `since` a month (2025-07) and `until` one, that one included."""
    schema = predictor.schema
    if schema.time is None or not pd.api.types.is_datetime64_any_dtype(rows[schema.time]):
        raise InputError(
            f"'{schema.dataset}' has no column of dates (data.time), so it has no months. Name files instead."
        )
    months = rows[schema.time].dt.strftime("%Y-%m")
    wanted = [m for m in sorted(months.unique()) if (since is None or m >= since) and (until is None or m <= until)]
    if not wanted:
        raise InputError(
            f"'{schema.dataset}' has no rows since {since or '…'} until {until or '…'}; its months are {months.min()} to {months.max()}."
        )
    for month in wanted:
        yield partition_of(month, rows[months == month].reset_index(drop=True), predictor)
