"""One door to all readers: a located data set becomes raw columns."""

from __future__ import annotations

from collections.abc import Collection

import pandas as pd

from models.errors import InputError
from tasks.params import Params
from tasks.sources.bundled import read_breast_cancer, read_conditions, read_diabetes, read_lending
from tasks.sources.catalog import Entry, Files
from tasks.sources.files import LocalFile, Located
from tasks.sources.read_images import read_cifar, read_digits, read_folder, read_mnist, tail_counts
from tasks.sources.read_tables import MISSING, Raw, read_csv, read_parquet


def read_source(located: Located, params: Params) -> Raw:
    """The raw columns of a data set, indexed by the position of the row in the source."""
    entry = located.entry
    if located.format == "lending":
        return read_lending()
    if located.format == "conditions":
        return read_conditions()
    if located.format == "diabetes" and entry and entry.bundled:
        return read_diabetes(entry.bundled.values_sha256)
    if located.format == "breast_cancer" and entry and entry.bundled:
        return read_breast_cancer(entry.bundled.values_sha256)
    if located.format == "digits" and entry and entry.bundled:
        return read_digits(entry.bundled.values_sha256)
    if located.format in ("mnist_idx", "cifar_binary") and entry and entry.long_tail:
        tail = entry.long_tail
        kept = tail_counts(tail.largest, tail.at_least, len(entry.target.order or ()))
        return read_mnist(located.files, kept) if located.format == "mnist_idx" else read_cifar(located.files, kept)
    if located.format == "images":
        return read_folder(located.files[0].path, name=located.files[0].name, target=params.target.column or "class")
    words = {name for name, kind in params.data.columns.items() if kind != "numeric"}
    if params.target.column is not None and (params.target.separator is not None or params.target.kind == "multilabel"):
        words.add(params.target.column)
    return _read_tables(located, words)


def _read_tables(located: Located, words: Collection[str]) -> Raw:
    """One table from all files, in their order, and the published part of each row."""
    frames: list[pd.DataFrame] = []
    orders: dict[str, tuple[str, ...]] = {}
    for file in located.files:
        frame, order = _read_table(located, file, words)
        if frames and list(frame.columns) != list(frames[0].columns):
            raise InputError(
                f"{file.name}: its columns differ from those of {located.files[0].name}. Download both again."
            )
        frames.append(frame)
        orders |= order
    parts = [
        pd.Series([file.part] * len(frame), dtype="str") for file, frame in zip(located.files, frames, strict=True)
    ]
    return Raw(
        pd.concat(frames, ignore_index=True),
        parts=pd.concat(parts, ignore_index=True) if located.files[0].part else None,
        orders=orders,
    )


def _read_table(
    located: Located, file: LocalFile, words: Collection[str]
) -> tuple[pd.DataFrame, dict[str, tuple[str, ...]]]:
    entry, source = located.entry, located.source
    missing = MISSING if entry is None or entry.missing is None else entry.missing
    if located.format == "parquet":
        return read_parquet(file.path, name=file.name, missing=missing)
    if entry is None or source is None:
        return read_csv(file.path, name=file.name, words=words), {}
    frame = read_csv(
        file.path,
        name=file.name,
        columns=_names(entry, source),
        keep=entry.keep,
        separator=source.separator,
        comment=source.comment,
        missing=missing,
    )
    return frame, {}


def _names(entry: Entry, source: Files) -> list[str] | None:
    """Names of the columns of a file without a header: those of the entry that are not derived from others."""
    if source.header:
        return None
    derived = {d.column for d in entry.derive if d.column != d.source}
    return [name for name in entry.columns if name not in derived]
