"""start: take the version that this run may learn from out of the registry, and pin it: its predictor, and rows of its past."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Any

import pandas as pd

from models.errors import EquipoiseError, InputError
from models.predictor import Predictor
from models.schema import Schema
from tasks.champion import NOTE, PREDICTOR, unfit
from tasks.learned import FILE as LEARNED
from tasks.learned import known_rows
from tasks.memory import Today, remember
from tasks.params import Params
from tasks.parts import MEMORY, read_rows, read_schema
from tasks.rebuild.record import Record, read_record
from tasks.registry import Loaded, Registry, open_registry
from tasks.sources.parquet import write_parquet
from tasks.stage import Paths, Stage, replacing, write_json

log = logging.getLogger("equipoise")


def run(params: Params, inputs: Paths, outputs: Paths) -> None:
    """Write start.json, with the version or why there is none, that version's predictor, and what is remembered of its rows.

    It is looked up when the rows or the parameters change, and stays what it was until then: so the model that a run
    makes champion is not what the same run starts from when it is told again. A version that `retrain.start` names must
    be there; a champion that is not there, does not fit these rows any more, or has learned rows that now judge, is said.
    """
    schema, asked = read_schema(inputs["schema"].parent), params.retrain.start
    with replacing(outputs["start"]) as folder:
        folder.mkdir()
        if asked is None:
            write_json(folder / NOTE, _note("retrain.start names no version"))
            return
        root = outputs["start"].parents[1]
        registry, rows = open_registry(params.registry.url, root), read_rows(inputs["rows"].parent)
        note = take(registry, params.model_name, asked, schema, (rows, inputs["split"].parent), folder)
        if not note["why"]:
            record = read_record(registry, f"{note['name']}@{note['version']}")
            settings = params.retrain.memory, params.seed
            note["memory"] = keep(record, root, Today(rows, schema), settings, folder)
        write_json(folder / NOTE, note)
    if note["why"]:
        log.warning("start: nothing to learn from: %s", note["why"])
        return
    log.info("start: recipes may learn from %s@%s", note["name"], note["version"])
    kept = note["memory"]
    said = kept["why"] or f"{kept['rows']:,} of the {kept['of']:,} rows that it learned and that are gone from the data"
    log.info("start: to rehearse: %s", said if not kept["why"] else f"nothing: {said}")


def take(
    registry: Registry, name: str, asked: str, schema: Schema, data: tuple[pd.DataFrame, Path], folder: Path
) -> dict[str, Any]:
    """Copy the predictor of a version, or of what an alias points to, into the folder, and say which it was, or why none.

    `data` are the rows and where their split is.
    """
    which = registry.aliases(name).get(asked, asked)
    if which not in registry.versions(name):
        if which != asked or not asked[1:].isdigit():
            return _note(f"{name} has no version '{asked}' yet")
        raise InputError(
            f"params.yaml: retrain.start: {name} has no version '{asked}'. See: equipoise registry list {name}."
        )
    try:
        loaded = registry.load(name, which)
        predictor = Predictor.load(loaded.directory / PREDICTOR)
    except (EquipoiseError, OSError, ValueError, TypeError, KeyError, RuntimeError) as error:
        reason = str(error) if isinstance(error, EquipoiseError) else f"{type(error).__name__}: {error}"
        return _note(f"{name}@{which} cannot be read: {reason}")
    if why := unfit(predictor, schema):
        return _note(f"{name}@{which} does not fit these data: {why}")
    if why := known_rows(loaded.directory, *data):
        return _note(f"{name}@{which}: {why}")
    copy(loaded, folder)
    return {"name": name, "version": which, "digest": loaded.manifest.digest, "why": ""}


def keep(record: Record, root: Path, today: Today, settings: tuple[int, int], folder: Path) -> dict[str, Any]:
    """Write what is remembered of a version's rows into the folder, and say what it is; `settings` are size and seed."""
    rows, note = remember(record, root, today, *settings)
    if len(rows):
        write_parquet(folder / MEMORY, rows)
    return note


def copy(loaded: Loaded, folder: Path) -> None:
    """A version's predictor, and which rows it learned, into the folder."""
    shutil.copytree(loaded.directory / PREDICTOR, folder / PREDICTOR)
    if (loaded.directory / LEARNED).is_file():
        shutil.copy(loaded.directory / LEARNED, folder / LEARNED)


def _note(why: str) -> dict[str, Any]:
    return {"name": None, "version": None, "digest": None, "why": why}


STAGE = Stage(
    name="start",
    run=run,
    sections=("seed", "data", "registry", "retrain"),
    inputs={
        "rows": "data/ingest/rows.parquet",
        "schema": "data/ingest/schema.json",
        "split": "data/split/split.parquet",
    },
    outputs={"start": "data/start"},
)

if __name__ == "__main__":
    STAGE.main()
