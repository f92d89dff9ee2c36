"""The rows of a search as arrays: every table that a competing recipe trains on, and those that it is judged by."""

from __future__ import annotations

from collections.abc import Sequence

from models.preprocess import Preprocessor
from models.recipe import Recipe
from models.schema import Schema
from tasks.champion import Champion, encoded, preprocessor_of
from tasks.params import Params
from tasks.parts import read_rows, rows_of, training_rows, unlabelled_rows
from tasks.search.tables import Table
from tasks.search.work import UNLABELLED, table_of
from tasks.stage import Paths


def encode(
    params: Params, inputs: Paths, schema: Schema, recipes: Sequence[Recipe], champion: Champion | None
) -> tuple[Preprocessor, dict[str, Table]]:
    """The encoding that is learned from the training rows, and every table by its name.

    Models that start from the champion read rows as it does. If any recipe learns from it, what it says of the training
    rows goes with them.
    """
    rows, split = read_rows(inputs["rows"].parent), inputs["split"].parent
    preprocessor = Preprocessor.fit(rows_of(rows, split, "train"), schema, params.model.sensitive_features)
    said = champion if any(recipe.reads_champion for recipe in recipes) else None
    tables: dict[str, Table] = {}
    for recipe in recipes:
        own = preprocessor_of(recipe, preprocessor, champion)
        name = table_of(recipe)
        if name not in tables:
            tables[name] = Table.of(encoded(own, training_rows(rows, split, inputs["resampled"], recipe), said))
        unlabelled = unlabelled_rows(inputs["rows"].parent, schema, recipe)
        if unlabelled is not None and table_of(recipe, UNLABELLED) not in tables:
            tables[table_of(recipe, UNLABELLED)] = Table.of(encoded(own, unlabelled, said).unlabelled())
        for part in ("valid", "calib"):
            if table_of(recipe, part) not in tables:
                tables[table_of(recipe, part)] = Table.of(own.encode(rows_of(rows, split, part)))
    return preprocessor, tables
