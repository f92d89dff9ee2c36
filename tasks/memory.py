"""The champion's memory: rows that a version learned and that are gone from today's data, looked up by their recorded sums.

A version holds no rows. The tables that it was made from are named in it by their sums, and are taken from the working copy,
DVC's cache or its remote; what it rehearsed itself is there under the sum of what its stage `start` left.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from models import targets
from models.balancing.memory import class_proportional
from models.schema import Schema
from models.seeds import derive_seed
from models.values import as_text
from tasks.learned import numbers_of, read_learned
from tasks.parts import MEMORY, rows_of
from tasks.rebuild.compare import TABLES
from tasks.rebuild.record import Record
from tasks.rebuild.tables import find_table, restore

STARTED = "data/start"


class Today(NamedTuple):
    """The rows of this run, in all parts, and what they mean."""

    rows: pd.DataFrame
    schema: Schema


def remember(record: Record, root: Path, today: Today, size: int, seed: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """At most `size` rows that the version learned and today's data do not hold, in the order that they had; and a note.

    The note says how many there are of how many, by class, their digest, and why there are none. The rows have today's
    columns and ids after today's; the same version, rows and seed give the same memory. `root` is a working copy.
    """
    empty = today.rows.iloc[:0]
    with tempfile.TemporaryDirectory(prefix="equipoise-memory-") as folder:
        found = _learned_rows(record, root, Path(folder))
    if isinstance(found, str):
        return empty, _note(found)
    told = read_learned(record.directory)
    if told is None:
        return empty, _note(f"{record.reference} does not say which rows it learned")
    columns, numbers = told
    if missing := [name for name in (*today.rows.columns, *columns) if name not in found or name not in today.rows]:
        return empty, _note(f"the rows that {record.reference} learned have other columns: {', '.join(missing[:5])}")
    old = _as_today(found, today)
    if isinstance(old, str):
        return empty, _note(f"the rows that {record.reference} learned do not fit: {old}")
    own = numbers_of(old, columns)
    learned = np.isin(own, numbers)
    old, own = old[learned].reset_index(drop=True), own[learned]
    gone = np.flatnonzero(~np.isin(own, numbers_of(today.rows, columns)))
    if not len(gone):
        return empty, _note(f"no row that {record.reference} learned and that would fit is gone from the data")
    target = today.schema.target
    classes = targets.strata_ids(old, target)
    counts = np.bincount(classes, minlength=len(target.strata))
    generator = np.random.default_rng(derive_seed(seed, "memory"))
    drawn = gone[class_proportional(classes[gone], counts, size, generator)]
    rows = old.iloc[drawn].reset_index(drop=True)
    rows = rows.assign(row_id=np.arange(len(rows), dtype=np.int64) + 1 + int(today.rows["row_id"].max()))
    kept = np.bincount(classes[drawn], minlength=len(target.strata))
    return rows[list(today.rows.columns)], _note("") | {
        "rows": len(rows),
        "of": len(gone),
        "classes": {name: int(n) for name, n in zip(target.strata, kept, strict=True)},
        "digest": hashlib.sha256(own[drawn].tobytes()).hexdigest(),
    }


def _note(why: str) -> dict[str, Any]:
    return {"rows": 0, "of": 0, "classes": {}, "digest": None, "why": why}


def _learned_rows(record: Record, root: Path, folder: Path) -> pd.DataFrame | str:
    """The training part of the version's own split, then what it rehearsed; or what is missing, as a clause."""
    places = {}
    for name, place in TABLES.items():
        recorded: Mapping[str, Any] | None = record.tables.get(name)
        found = find_table(root, root / place, recorded, folder / name) if recorded else None
        if found is None:
            return (
                f"{name} of {record.reference} is neither here nor in DVC's cache or remote, so that nothing of it can be "
                "rehearsed. Fetch it (dvc fetch), or push it from where it was made (dvc push)"
            )
        places[name] = found
    rows = pd.read_parquet(places["rows.parquet"])
    parts = folder / "split"
    parts.mkdir()
    (parts / "split.parquet").symlink_to(places["split.parquet"].absolute())
    train = rows_of(rows, parts, "train")
    rehearsed = int(record.document("train").get("rehearsed") or 0)
    if not rehearsed:
        return train
    output = record.outputs.get(STARTED)
    if output is None or restore(root, output, folder / "start") is None:
        return f"what {record.reference} rehearsed itself is neither in DVC's cache nor in its remote"
    return pd.concat([train, pd.read_parquet(folder / "start" / MEMORY)], ignore_index=True)


def _as_today(old: pd.DataFrame, today: Today) -> pd.DataFrame | str:
    """The old rows as this run's ingest would have them: types, bins of a number, and no class or group that is unknown now."""
    target = today.schema.target
    try:
        made = old[list(today.rows.columns)].astype(today.rows.dtypes.to_dict())
    except (ValueError, TypeError) as error:
        return str(error).rstrip(".")
    if target.kind == "regression" and target.balance_column is not None:
        bins = targets.bin_ids(targets.numbers(made[target.column]), target)
        made[target.balance_column] = np.asarray(target.strata, dtype=object)[bins]
        made = made.astype({target.balance_column: today.rows[target.balance_column].dtype})
    known = as_text(made[target.balanced_by]).isin(target.strata)
    for attribute in today.schema.sensitive:
        known &= as_text(made[attribute.name]).isin(attribute.groups)
    return made[known]
