"""How large the populations of a search may be: from what its members take, and from how many processes should have work."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import replace

from models.learners import learner
from tasks.search.populations import Sizes
from tasks.search.space import Family
from tasks.search.tables import Table
from tasks.search.work import Setting, table_of

log = logging.getLogger("equipoise")

SMALLEST = {"cpu": 4, "cuda": 64}
"""Members below which a population is not cut further: smaller ones leave most of what they are for."""

PARTS = {"cpu": 4, "cuda": 2}
"""Populations at least that a stage is cut into: processes that may be at work at once on one machine, or on one GPU."""


def sizes(families: Sequence[Family], setting: Setting, tables: Mapping[str, Table]) -> Sizes:
    """How large the populations of a search may be; what cannot train as one is said."""
    device, largest = setting.plan.device, {}
    for family in families:
        pair = family.pairs[0]
        chosen, split = learner(pair.learner), tables[table_of(pair.recipe)].split()
        plan = replace(setting.plan, device=device if chosen.accelerated else "cpu")
        largest[pair.name] = chosen.largest_population(pair.recipe.trained, split, setting.inputs_of(pair.recipe), plan)
    alone = [pair.name.replace("|", " on ") for pair in families if largest[pair.name] == 1]
    if alone:
        log.info("search: trained one by one: %s", ", ".join(alone))
    return Sizes(largest, SMALLEST[device], PARTS[device])
