"""resample: one balanced table of the training rows per resampler that a recipe names."""

from __future__ import annotations

import logging
from typing import Any

import pandas as pd

from models.balancing.component import Resampler
from models.errors import InputError
from models.schema import Schema
from models.seeds import derive_seed
from tasks.champion import Champion, read_champion
from tasks.params import Params
from tasks.parts import read_rows, read_schema, rehearsed, rows_of, with_memory
from tasks.search.entrants import NOBODY, entrants
from tasks.sources.parquet import write_parquet
from tasks.stage import Paths, Stage, replacing, write_json

log = logging.getLogger("equipoise")


def run(params: Params, inputs: Paths, outputs: Paths) -> None:
    """Write <resampler>.parquet for each, and summary.json with the class × group counts before and after.

    The tables hold training rows and what was made from them; a search without resamplers has a summary alone.
    """
    schema = read_schema(inputs["schema"].parent)
    train = rows_of(read_rows(inputs["rows"].parent), inputs["split"].parent, "train")
    champion = read_champion(inputs["start"], schema, params.model)
    settings = params.resample
    summary: dict[str, Any] = {
        "sampling_strategy": settings.sampling_strategy,
        "k_neighbors": settings.k_neighbors,
        "before": counts(train, schema),
        "resamplers": {},
    }
    with replacing(outputs["resampled"]) as folder:
        folder.mkdir()
        for name, method in named_resamplers(params, schema, train, champion).items():
            seed = derive_seed(params.seed, "resample", name)
            rows = with_memory(train, inputs["start"]) if method.rehearses else train
            try:
                table = method.resample(rows, schema, settings.sampling_strategy, settings.k_neighbors, seed)
            except InputError as error:
                raise InputError(f"resample: {error}") from None
            write_parquet(folder / f"{name}.parquet", table)
            summary["resamplers"][name] = provenance(train, table) | counts(table, schema)
            log.info("resample: %s: %s", name, _sentence(len(train), summary["resamplers"][name]))
        write_json(folder / "summary.json", summary)
    if not summary["resamplers"]:
        log.info("resample: no recipe names a resampler")


def named_resamplers(
    params: Params, schema: Schema, train: pd.DataFrame, champion: Champion | str = NOBODY
) -> dict[str, Resampler]:
    """Every resampler that a competing recipe names, once, by its name; one that does not fit the data is an InputError."""
    found: dict[str, Resampler] = {}
    for recipe in entrants(params.search, schema, params.model.learners, lambda: train, champion).recipes.values():
        if recipe.resample is not None:
            found[recipe.resample.name] = recipe.resample
    return dict(sorted(found.items()))


def counts(table: pd.DataFrame, schema: Schema) -> dict[str, Any]:
    """Rows, rows per class, and rows per attribute, group and class; what is absent counts 0."""
    target, classes = schema.target.balanced_by, schema.target.strata
    by_class = table[target].value_counts()
    by_group: dict[str, Any] = {}
    for attribute in schema.sensitive:
        cells = table.groupby([attribute.name, target], observed=True).size()
        by_group[attribute.name] = {g: {c: int(cells.get((g, c), 0)) for c in classes} for g in attribute.groups}
    return {"rows": len(table), "classes": {c: int(by_class.get(c, 0)) for c in classes}, "groups": by_group}


def provenance(train: pd.DataFrame, table: pd.DataFrame) -> dict[str, int]:
    """How many rows were made, repeated, left out of the training rows, and taken from the champion's memory."""
    old = rehearsed(table)
    real = table.loc[~table["synthetic"] & ~old, "row_id"]
    return {
        "synthetic": int(table["synthetic"].sum()),
        "repeated": int(real.duplicated().sum()),
        "dropped": len(train) - int(real.nunique()),
        "rehearsed": int(old.sum()),
    }


def _sentence(before: int, after: dict[str, Any]) -> str:
    changes = [f"{after[k]:,} {k}" for k in ("synthetic", "repeated", "dropped", "rehearsed") if after[k]]
    return f"{before:,} training rows -> {after['rows']:,} ({', '.join(changes) or 'unchanged'})"


STAGE = Stage(
    name="resample",
    run=run,
    sections=("seed", "resample", "model", "search"),
    inputs={
        "rows": "data/ingest/rows.parquet",
        "schema": "data/ingest/schema.json",
        "split": "data/split/split.parquet",
        "start": "data/start",
    },
    outputs={"resampled": "data/resample"},
)

if __name__ == "__main__":
    STAGE.main()
