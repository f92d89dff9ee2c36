"""What params.yaml may not say at once: every section is valid, but together they make no sense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from models.errors import InputError, nearest
from models.metrics.names import BY_GROUP

if TYPE_CHECKING:
    from tasks.params import Params


def contradictions(params: Params) -> Iterator[str]:
    """Every contradiction between keys, as `path: what is wrong; what to do`."""
    yield from _target(params)
    yield from _groups(params)
    yield from _split(params)
    yield from _search(params)
    yield from _registry(params)


def _target(params: Params) -> Iterator[str]:
    data, target = params.data, params.target
    if data.path is not None and target.column is None:
        yield "target.column: missing; data.path names data of your own, so name the column to predict"
    if target.column is not None and target.column in data.drop:
        yield f"data.drop: '{target.column}' is the target; a target cannot be dropped"
    if target.bins is not None and list(target.bins) != sorted(set(target.bins)):
        yield "target.bins: the cut points must rise; sort them and remove doubles"
    if target.bins is not None and target.kind == "binary" and len(target.bins) != 1:
        yield f"target.bins: {len(target.bins)} cut points make {len(target.bins) + 1} classes, but target.kind is binary; give one"


def _groups(params: Params) -> Iterator[str]:
    if params.sensitive == "auto":
        return
    columns = [s if isinstance(s, str) else s.column for s in params.sensitive]
    names = [s if isinstance(s, str) else s.name for s in params.sensitive]
    for position, item in enumerate(params.sensitive):
        if columns[position] in columns[:position]:
            yield f"sensitive[{position}]: '{columns[position]}' is there already; remove one of them"
        if columns[position] == params.target.column:
            yield f"sensitive[{position}]: '{columns[position]}' is the target; name another column"
        if not isinstance(item, str) and item.bins is not None and list(item.bins) != sorted(set(item.bins)):
            yield f"sensitive[{position}].bins: the cut points must rise; sort them and remove doubles"
    for metric in params.search.subject_to:
        if metric in BY_GROUP and not names:
            yield f"search.subject_to.{metric}: it compares groups, but `sensitive` is empty; name an attribute, or remove the limit"
    if params.search.maximize in BY_GROUP and not names:
        yield f"search.maximize: {params.search.maximize} compares groups, but `sensitive` is empty; choose another metric"
    for position, rule in enumerate(params.gates.rules):
        where = f"gates.rules[{position}]"
        if rule.metric in BY_GROUP and not names:
            yield f"{where}: {rule.metric} compares groups, but `sensitive` is empty; name an attribute, or remove the rule"
        elif rule.attribute is not None and rule.metric in BY_GROUP:
            parts = [part.strip() for part in rule.attribute.split("&")]
            unknown = [part for part in parts if part not in names]
            if unknown:
                yield f"{where}.attribute: '{unknown[0]}' is no sensitive attribute. {nearest(unknown[0], names)}"


def _split(params: Params) -> Iterator[str]:
    if params.split.by == "time" and params.data.path is not None and params.data.time is None:
        yield "split.by: time needs a column that orders the rows; name it in data.time, or use split.by: stratified"


def _search(params: Params) -> Iterator[str]:
    search, model = params.search, params.model
    trials = search.budget.trials
    if trials is not None and search.rounds > trials:
        yield f"search.rounds: {search.rounds} rounds for {trials} trials; give at most as many rounds as trials"
    smallest = search.halving ** (search.rungs - 1)
    if smallest > model.epochs:
        yield (
            f"search.rungs: {search.rungs} rungs that each divide the budget by {search.halving} leave less than one of "
            f"model.epochs: {model.epochs}; use fewer rungs or more epochs"
        )
    if "resnet32" in model.learners and len(set(model.learners)) > 1 and "auto" not in model.learners:
        yield "model.learners: resnet32 is for images and the others are for tables; choose the one or the others, or auto"
    for position, rule in enumerate(params.gates.rules):
        if rule.attribute is not None and rule.metric not in BY_GROUP:
            yield f"gates.rules[{position}].attribute: {rule.metric} compares no groups; remove `attribute`, or use one of {', '.join(BY_GROUP)}"


def _registry(params: Params) -> Iterator[str]:
    from tasks.registry import open_registry

    try:
        open_registry(params.registry.url)
    except InputError as error:
        yield str(error).removesuffix(".")
