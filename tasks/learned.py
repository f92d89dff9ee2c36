"""Which rows a model's weights were learned from, as numbers that tell whether another row is one of them.

A model that goes on from the champion must not be judged by rows that the champion has learned. A split drawn by chance
makes test rows of some of them as soon as rows are added, and their ids change; so rows are told by what they hold.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import safetensors.numpy
from numpy.typing import NDArray
from pandas.util import hash_pandas_object
from safetensors import safe_open

from tasks.parts import PARTS, rows_of

FILE = "learned.safetensors"
TOLERATED = 0.01
"""The share of a part that may look like rows which were learned from: by chance some rows are alike."""

Numbers = NDArray[np.uint64]
Bools = NDArray[np.bool_]


def numbers_of(rows: pd.DataFrame, columns: Sequence[str]) -> Numbers:
    """One number of 64 bits per row [n], the same for rows that hold the same in these columns."""
    held = {
        name: rows[name].astype(np.float64)
        if pd.api.types.is_numeric_dtype(rows[name]) or pd.api.types.is_bool_dtype(rows[name])
        else rows[name].astype(object).where(rows[name].notna(), None)
        for name in columns
    }
    return np.asarray(hash_pandas_object(pd.DataFrame(held, index=rows.index), index=False), dtype=np.uint64)


def write_learned(folder: Path, rows: pd.DataFrame, columns: Sequence[str], start: Path | None) -> None:
    """Put into the folder which rows a model learned: training rows, and those of the version in `start` that it began with."""
    columns = sorted(columns)
    numbers = numbers_of(rows, columns)
    before = read_learned(start) if start is not None else None
    if before is not None and before[0] == columns:
        numbers = np.concatenate([numbers, before[1]])
    tensors = {"rows": np.unique(numbers).view(np.int64)}
    safetensors.numpy.save_file(tensors, folder / FILE, metadata={"columns": json.dumps(columns)})


def read_learned(folder: Path) -> tuple[list[str], Numbers] | None:
    """The columns by which rows are told, and the number of each row learned; None where the folder does not say."""
    if not (folder / FILE).is_file():
        return None
    with safe_open(folder / FILE, framework="numpy") as file:
        return json.loads((file.metadata() or {})["columns"]), file.get_tensor("rows").view(np.uint64)


def unlearned(older: Path, newer: Path, test: pd.DataFrame, train: pd.DataFrame) -> Bools | None:
    """The test rows [n] that neither of two models learned; None where one does not say which rows it did.

    A row that the older one learned and that equals one of the newer one's training rows counts for both: such rows are alike
    by chance, and both have learned them.
    """
    theirs, ours = read_learned(older), read_learned(newer)
    if theirs is None or ours is None or not {*theirs[0], *ours[0]} <= set(test):
        return None
    before, now = (np.isin(numbers_of(test, columns), numbers) for columns, numbers in (theirs, ours))
    alike = np.isin(numbers_of(test, theirs[0]), numbers_of(train, theirs[0]))
    return np.asarray(~(before | now) | (before & alike), dtype=np.bool_)


def known_rows(folder: Path, rows: pd.DataFrame, split: Path) -> str:
    """Why the version in the folder cannot be learned from with this split, as a clause; empty where it can.

    Held-out rows that some training row equals in all columns do not count: a model made anew learns them as well.
    """
    said = read_learned(folder)
    if said is None:
        return "it does not say which rows it learned, so that rows to judge by may be among them"
    columns, theirs = said
    if missing := [name for name in columns if name not in rows]:
        return f"it tells rows by columns that the data do not have: {', '.join(missing[:5])}"
    numbers = {part: numbers_of(rows_of(rows, split, part), columns) for part in PARTS}
    for part in PARTS[1:]:
        held = numbers[part]
        known = np.isin(held, theirs) & ~np.isin(held, numbers["train"])
        if known.mean() > TOLERATED:
            return (
                f"it learned from {int(known.sum()):,} of the {len(held):,} {part} rows, which would judge a model that goes on "
                "from it as if they were new to it. Take rows that came later (data.since), or a split that leaves every row "
                "where it was (split.by: time, or a column with the parts)"
            )
    return ""
