"""Scoring a file of raw columns with a registered model, piece by piece; needs the registry and nothing else of the working copy."""

from __future__ import annotations

import contextlib
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet

from models.errors import InputError
from models.predictor import Predictor
from models.schema import Column
from models.values import as_text
from tasks.conform import Notes, conform, needed_columns
from tasks.registry import Registry, open_registry, parse_reference
from tasks.sources.read_images import SUFFIXES
from tasks.sources.read_tables import MISSING
from tasks.sources.stream_tables import csv_pieces, parquet_pieces
from tasks.stage import replacing

log = logging.getLogger("equipoise")

FILE = "file"
"""Output column that names each image of a folder."""
IMAGES = 512
"""Images that are read at once."""
PARQUET = (".parquet", ".pq")

Piece = tuple[pd.DataFrame, pd.Series | None]
"""Raw columns, and the names of the rows where they are images of a folder."""


def predict(reference: str, source: Path, output: Path | None = None, url: str = "file://registry") -> int:
    """Score `source` with NAME@ALIAS or NAME@VERSION; write the decisions to `output`, or as CSV to standard output.

    Writes the identifier or the image's file name where there is one, `decision`, `p_<class>` per class, in the order of
    the source: as Parquet where the output's name ends so, as CSV otherwise. Memory does not grow with the file. Returns
    the number of rows. Raises InputError for a model that is not there and for input that does not fit, CorruptError for
    a version that is damaged; the output is as it was before then.
    """
    predictor, rows = load_predictor(open_registry(url), reference), 0
    with writing(output) as write:
        for scored in score(predictor, source):
            write(scored)
            rows += len(scored)
    if output is not None:
        log.info("predict: %s rows scored by %s, written to %s", f"{rows:,}", reference, output)
    return rows


def load_predictor(registry: Registry, reference: str) -> Predictor:
    """The verified predictor of NAME@ALIAS or NAME@VERSION; a bare NAME means its champion."""
    return Predictor.load(registry.load(*parse_reference(reference)).directory / "predictor")


def score(predictor: Predictor, source: Path) -> Iterator[pd.DataFrame]:
    """Decisions and probabilities for the rows of a CSV or Parquet file, or the images of a folder, some at a time."""
    schema = predictor.schema
    needed = needed_columns(schema, predictor.preprocessor.columns)
    notes, first, known = Notes(source.name), 0, schema.identifier
    for rows, names in pieces(source, needed):
        if names is None and known is not None and known in rows:
            names = as_text(rows[known]).rename(known)
        scored = predictor.predict_frame(conform(rows, needed, schema, notes, first))
        if names is not None:
            scored.insert(0, str(names.name), names.to_numpy(), allow_duplicates=True)
        first += len(rows)
        yield scored
    notes.tell()


def pieces(source: Path, needed: Sequence[Column]) -> Iterator[Piece]:
    """The file's columns as they are, some rows at a time."""
    if not source.exists():
        raise InputError(f"{source} does not exist. Name a CSV or Parquet file with the model's raw columns.")
    if source.is_dir():
        yield from _image_pieces(source, needed)
        return
    marks = missing_marks(needed)
    try:
        if source.suffix.lower() in PARQUET:
            tables = parquet_pieces(source, name=str(source), missing=marks)
        else:
            tables = csv_pieces(source, name=str(source), missing=marks, words=words_among(needed))
        for rows in tables:
            yield rows, None
    except OSError as error:
        raise InputError(f"{source} cannot be read ({error.strerror}). Check the file and its permissions.") from None


def missing_marks(needed: Sequence[Column]) -> tuple[str, ...]:
    """Texts that mean 'no value', without those that the model knows as a category."""
    known = {value for column in needed for value in column.categories or ()}
    return tuple(mark for mark in MISSING if mark not in known)


def words_among(needed: Sequence[Column]) -> set[str]:
    """The columns that hold words whatever they look like."""
    return {column.name for column in needed if column.kind != "numeric"}


def _image_pieces(folder: Path, needed: Sequence[Column]) -> Iterator[Piece]:
    images = [c.name for c in needed if c.kind == "image"]
    if not images:
        raise InputError(f"{folder} is a folder, and this model reads a table. Name a CSV or Parquet file.")
    paths = sorted(p for p in folder.rglob("*") if p.is_file() and p.suffix.lower() in SUFFIXES)
    if not paths:
        raise InputError(f"{folder} holds no images ({', '.join(SUFFIXES)}). Name another one.")
    for start in range(0, len(paths), IMAGES):
        some = paths[start : start + IMAGES]
        content = pd.Series([p.read_bytes() for p in some], dtype=object)
        names = pd.Series([p.relative_to(folder).as_posix() for p in some], name=FILE)
        yield pd.DataFrame({images[0]: content}), names


@contextlib.contextmanager
def writing(output: Path | None) -> Iterator[Callable[[pd.DataFrame], None]]:
    """A function that appends a piece; a file appears whole when the block ends without an error, or not at all."""
    if output is None:
        yield _csv_to(sys.stdout)
        return
    try:
        with replacing(output) as temporary:
            if output.suffix.lower() in PARQUET:
                with contextlib.ExitStack() as closing:
                    yield _parquet_to(temporary, closing)
            else:
                with temporary.open("w", encoding="utf-8", newline="") as file:
                    yield _csv_to(file)
    except OSError as error:
        raise InputError(f"{output} cannot be written ({error.strerror}). Name another file with --output.") from None


def _csv_to(file: object) -> Callable[[pd.DataFrame], None]:
    begun = False

    def write(scored: pd.DataFrame) -> None:
        nonlocal begun
        scored.to_csv(file, index=False, header=not begun)  # type: ignore[call-overload]
        begun = True

    return write


def _parquet_to(path: Path, closing: contextlib.ExitStack) -> Callable[[pd.DataFrame], None]:
    writer: pa.parquet.ParquetWriter | None = None

    def write(scored: pd.DataFrame) -> None:
        nonlocal writer
        table = pa.table({f"{i}": pa.Array.from_pandas(scored.iloc[:, i]) for i in range(scored.shape[1])})
        table = table.rename_columns([str(name) for name in scored.columns])
        if writer is None:
            writer = closing.enter_context(pa.parquet.ParquetWriter(path, table.schema, compression="zstd"))
        writer.write_table(table.cast(writer.schema))

    return write
