"""Which recipes enter the search: all that params.yaml names and that the data allow."""

from __future__ import annotations

import logging

from models.errors import InputError
from models.recipe import BASELINES, Recipe, competitors
from models.schema import Schema
from tasks.params import Search

log = logging.getLogger("equipoise")


def entrants(search: Search, schema: Schema) -> dict[str, Recipe]:
    """The recipes that compete on these data, by name, the baselines first.

    One that does not fit them (it needs groups, or a table, or another kind of target) is an InputError, or is left out
    and said to be, as `search.unsuitable` asks.
    """
    image = any(column.kind == "image" for column in schema.columns if column.feature)
    found = {}
    for name, recipe in competitors(search.recipes).items():
        try:
            recipe.check(schema.target.kind, bool(schema.sensitive), image, f"params.yaml: search.recipes: {name}")
        except InputError as error:
            if search.unsuitable == "error" or name in BASELINES:
                raise
            log.info("search: left out: %s", error)
            continue
        found[name] = recipe
    return found
