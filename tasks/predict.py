"""Scoring a file of raw columns with a registered model; needs the registry and nothing else of the working copy."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from models.errors import InputError, nearest
from models.predictor import Predictor
from models.schema import Column, Schema
from models.values import as_text
from tasks.registry import Registry, open_registry, parse_reference
from tasks.sources.columns import numbers_in
from tasks.sources.read_images import SUFFIXES
from tasks.sources.read_tables import MISSING, read_csv, read_parquet
from tasks.stage import replacing

log = logging.getLogger("equipoise")

FILE = "file"
"""Output column that names each image of a folder."""


def predict(reference: str, source: Path, output: Path | None = None, url: str = "file://registry") -> pd.DataFrame:
    """Score `source` with NAME@ALIAS or NAME@VERSION; write the decisions as CSV to `output`, or to standard output.

    Returns what was written: the identifier or the image's file name where there is one, `decision`, `p_<class>` per
    class, in the order of the source. Raises InputError for a model that is not there and for input that does not fit,
    CorruptError for a version that is damaged; nothing has been written then.
    """
    scored = score(load_predictor(open_registry(url), reference), source)
    if output is None:
        scored.to_csv(sys.stdout, index=False)
        return scored
    try:
        with replacing(output) as temporary:
            scored.to_csv(temporary, index=False)
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror}). Name another file with --output.") from None
    log.info("predict: %s rows scored by %s, written to %s", f"{len(scored):,}", reference, output)
    return scored


def load_predictor(registry: Registry, reference: str) -> Predictor:
    """The verified predictor of NAME@ALIAS or NAME@VERSION; a bare NAME means its champion."""
    return Predictor.load(registry.load(*parse_reference(reference)).directory / "predictor")


def score(predictor: Predictor, source: Path) -> pd.DataFrame:
    """Decisions and probabilities for each row of a CSV or Parquet file, or each image of a folder."""
    schema = predictor.schema
    needed = [c for c in schema.columns if c.name in predictor.preprocessor.columns]
    rows, names = read_rows(source, needed)
    known = schema.identifier
    if names is None and known is not None and known in rows:
        names = as_text(rows[known]).rename(known)
    scored = predictor.predict_frame(conform(rows, needed, schema, source.name))
    if names is not None:
        scored.insert(0, str(names.name), names.to_numpy(), allow_duplicates=True)
    return scored


def read_rows(source: Path, needed: Sequence[Column]) -> tuple[pd.DataFrame, pd.Series | None]:
    """The file's columns as they are, and the names of its rows where it is a folder of images."""
    if not source.exists():
        raise InputError(f"{source} does not exist. Name a CSV or Parquet file with the model's raw columns.")
    if source.is_dir():
        return _read_images(source, needed)
    if source.suffix.lower() in (".parquet", ".pq"):
        return read_parquet(source, name=str(source), missing=_missing(needed))[0], None
    return read_csv(source, name=str(source), missing=_missing(needed)), None


def _missing(needed: Sequence[Column]) -> tuple[str, ...]:
    """Texts that mean 'no value', without those that the model knows as a category."""
    known = {value for column in needed for value in column.categories or ()}
    return tuple(mark for mark in MISSING if mark not in known)


def _read_images(folder: Path, needed: Sequence[Column]) -> tuple[pd.DataFrame, pd.Series]:
    images = [c.name for c in needed if c.kind == "image"]
    if not images:
        raise InputError(f"{folder} is a folder, and this model reads a table. Name a CSV or Parquet file.")
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no images ({', '.join(SUFFIXES)}).")
    content = pd.Series([p.read_bytes() for p in paths], dtype=object)
    return pd.DataFrame({images[0]: content}), pd.Series([p.relative_to(folder).as_posix() for p in paths], name=FILE)


def conform(rows: pd.DataFrame, needed: Sequence[Column], schema: Schema, where: str) -> pd.DataFrame:
    """The columns that the model reads, typed, with the sensitive attributes that are there.

    Raises InputError for columns that are missing (with the nearest that are there) or of another kind (with the row).
    Columns that the model does not know are left out, and said so.
    """
    missing = [c.name for c in needed if c.name not in rows]
    unknown = [c for c in rows.columns if c not in {s.name for s in schema.columns}]
    if missing:
        hints = " ".join(f"For '{m}': {nearest(m, unknown or rows.columns)}" for m in missing[:3])
        raise InputError(f"{where}: the model needs columns that are missing: {', '.join(missing)}. {hints}")
    if unknown:
        log.warning("%s: columns that the model does not know are left out: %s", where, ", ".join(map(str, unknown)))
    typed = {c.name: _typed(rows[c.name], c, where) for c in needed}
    groups = {a.name: as_text(rows[a.name]) for a in schema.sensitive if a.name in rows and a.name not in typed}
    return pd.DataFrame({**typed, **groups}, index=rows.index)


def _typed(column: pd.Series, known: Column, where: str) -> pd.Series:
    if known.kind == "numeric":
        return _numbers(column, where)
    if known.kind == "date":
        return _dates(column, where)
    if known.kind == "image":
        odd = column.map(lambda v: not isinstance(v, bytes))
        _require(~odd, column, where, "the bytes of an image")
        return column
    texts = as_text(column)
    strange = texts[texts.notna() & ~texts.isin(known.categories)] if known.categories else texts[:0]
    if len(strange):
        log.warning(
            "%s: column '%s': %s rows hold values unknown to the model ('%s' …); they count as missing",
            where, column.name, f"{len(strange):,}", strange.iloc[0],
        )  # fmt: skip
    return texts


def _numbers(column: pd.Series, where: str) -> pd.Series:
    if pd.api.types.is_datetime64_any_dtype(column):
        raise InputError(f"{where}: column '{column.name}' must hold numbers, but it holds dates.")
    numbers = numbers_in(column)
    _require(column.isna() | numbers.notna(), column, where, "a number")
    _require(~pd.Series(np.isinf(numbers), index=column.index), column, where, "a finite number")
    return numbers


def _dates(column: pd.Series, where: str) -> pd.Series:
    if pd.api.types.is_numeric_dtype(column):
        raise InputError(f"{where}: column '{column.name}' must hold dates such as 2024-05-31, but it holds numbers.")
    texts = column.astype("object") if isinstance(column.dtype, pd.StringDtype) else column
    dates = pd.to_datetime(texts, format="ISO8601", utc=True, errors="coerce")
    _require(column.isna() | dates.notna(), column, where, "a date such as 2024-05-31")
    return dates.dt.tz_localize(None).astype("datetime64[us]")


def _require(good: pd.Series, column: pd.Series, where: str, what: str) -> None:
    bad = np.flatnonzero(~good.to_numpy(dtype=bool))
    if len(bad):
        value = column.iloc[int(bad[0])]
        shown = f"'{value}'" if not isinstance(value, (bytes, bytearray)) else "bytes"
        raise InputError(
            f"{where}: column '{column.name}', row {int(bad[0]) + 1}: {shown} is not {what}"
            f"{f' (and {len(bad) - 1:,} more like it)' if len(bad) > 1 else ''}. Mend the file and run again."
        )
