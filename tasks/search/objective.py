"""What a search is for on these data: the metric that it optimizes and the limits that it keeps, by the kind of target."""

from __future__ import annotations

import logging

from models.errors import InputError
from models.metrics.names import BALANCED, compares_groups, objection
from models.schema import Schema
from tasks.params import Search
from tasks.search.choice import Goal

log = logging.getLogger("equipoise")
WHERE = "params.yaml: search"


def goal_of(search: Search, schema: Schema, aloud: bool = True) -> Goal:
    """The search's goal. Raises InputError for an objective that these data do not have.

    A limit that they do not have is left out and said to be, or is an error, as `search.unsuitable` asks; without a
    sensitive attribute, limits on comparisons of groups do not apply. `aloud` False says nothing.
    """
    task = schema.target.kind
    key, metric = ("minimize", search.minimize) if search.minimize else ("maximize", search.maximize)
    if metric in (None, "auto"):
        metric = BALANCED[task]
    assert metric is not None
    if found := objection(metric, task):
        raise InputError(f"{WHERE}.{key}: {found} Or set it to auto.")
    if compares_groups(metric) and not schema.sensitive:
        raise InputError(
            f"{WHERE}.{key}: {metric} compares groups, but the data have no sensitive attribute. Choose another metric."
        )
    limits = {}
    for name, limit in search.subject_to.items():
        if found := objection(name, task):
            if search.unsuitable == "error":
                raise InputError(f"{WHERE}.subject_to.{name}: {found}")
            if aloud:
                log.info("search: the limit on %s does not apply: %s", name, found)
        elif compares_groups(name) and not schema.sensitive:
            if aloud:
                log.warning("search: the limit on %s does not apply, as the data have no sensitive attribute", name)
        else:
            limits[name] = limit
    return Goal(metric, limits)
