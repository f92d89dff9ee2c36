"""The rows of each part of the split, as the stages after it read them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Literal

import pandas as pd

from models.errors import InputError
from models.schema import Schema
from tasks.stage import read_json

if TYPE_CHECKING:
    from models.recipe import Recipe

Part = Literal["train", "valid", "calib", "test"]
PARTS: tuple[Part, ...] = ("train", "valid", "calib", "test")
MEMORY = "memory.parquet"
"""The rows of its past that a run may learn again, in what the stage `start` left."""


def read_schema(ingested: Path) -> Schema:
    """The schema that ingest wrote."""
    return Schema.model_validate(read_json(ingested / "schema.json"))


def read_rows(ingested: Path) -> pd.DataFrame:
    """All rows that ingest wrote."""
    return pd.read_parquet(ingested / "rows.parquet")


def rows_of(rows: pd.DataFrame, split: Path, part: Part) -> pd.DataFrame:
    """The rows of one part, in the order of their ids."""
    parts = pd.read_parquet(split / "split.parquet")
    wanted = parts.loc[parts["part"] == part, "row_id"]
    chosen = rows[rows["row_id"].isin(wanted)].sort_values("row_id", ignore_index=True)
    if chosen.empty:
        raise InputError(f"split: the part '{part}' has no rows. Change `split` in params.yaml.")
    return chosen


def training_rows(rows: pd.DataFrame, split: Path, resampled: Path, recipe: Recipe) -> pd.DataFrame:
    """What a recipe trains on: the training part, or the table of its resampler."""
    if recipe.resample is None:
        return rows_of(rows, split, "train")
    path = resampled / f"{recipe.resample.name}.parquet"
    if not path.exists():
        raise InputError(f"resample: {path.name} is missing. Run the stage 'resample' again.")
    return pd.read_parquet(path)


def with_memory(train: pd.DataFrame, start: Path) -> pd.DataFrame:
    """The training rows, then those of the memory that the stage `start` left; `rehearsed` says which are which."""
    memory = pd.read_parquet(start / MEMORY).astype(train.dtypes.to_dict())
    return pd.concat([train.assign(rehearsed=False), memory.assign(rehearsed=True)], ignore_index=True)


def rehearsed(table: pd.DataFrame) -> pd.Series:
    """Which rows of a training table are of the champion's memory."""
    return table["rehearsed"] if "rehearsed" in table else pd.Series(False, index=table.index)


def unlabelled_rows(ingested: Path, schema: Schema, recipe: Recipe) -> pd.DataFrame | None:
    """The rows without a label that a recipe learns from beside its table; None where there are none, or it does not ask."""
    if schema.unlabelled is None or not recipe.reads_unlabelled:
        return None
    return pd.read_parquet(ingested / "unlabelled.parquet")
