"""What params.yaml may not say at once: every section is valid, but together they make no sense."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from models.errors import InputError, nearest
from models.metrics.names import EVERY, compares_groups, objection

if TYPE_CHECKING:
    from tasks.params import Params


def contradictions(params: Params) -> Iterator[str]:
    """Every contradiction between keys, as `path: what is wrong; what to do`."""
    yield from _target(params)
    yield from _metrics(params)
    yield from _groups(params)
    yield from _split(params)
    yield from _search(params)
    yield from _registry(params)


def _metrics(params: Params) -> Iterator[str]:
    """What a declared kind of target does not have; what the data turn out to be is checked when they are known."""
    kind, search = params.target.kind, params.search
    if kind == "auto":
        return
    for key in ("maximize", "minimize"):
        metric = getattr(search, key)
        if metric not in (None, "auto") and (found := objection(metric, kind)):
            yield f"search.{key}: {found}"
    if search.unsuitable == "error":
        yield from (f"search.subject_to: {found}" for m in search.subject_to if (found := objection(m, kind)))
    if params.gates.unsuitable == "error":
        for position, rule in enumerate(params.gates.rules):
            if found := objection(rule.metric, kind):
                yield f"gates.rules[{position}].metric: {found}"


def _target(params: Params) -> Iterator[str]:
    data, target = params.data, params.target
    yield from _kind(params)
    if data.path is not None and target.column is None and target.columns is None:
        yield "target.column: missing; data.path names data of your own, so name the column to predict"
    if target.column is not None and target.column in data.drop:
        yield f"data.drop: '{target.column}' is the target; a target cannot be dropped"
    if target.bins is not None and list(target.bins) != sorted(set(target.bins)):
        yield "target.bins: the cut points must rise; sort them and remove doubles"
    if isinstance(target.balance_bins, tuple) and list(target.balance_bins) != sorted(set(target.balance_bins)):
        yield "target.balance_bins: the cut points must rise; sort them and remove doubles"
    if target.bins is not None and target.kind == "binary" and len(target.bins) != 1:
        yield f"target.bins: {len(target.bins)} cut points make {len(target.bins) + 1} classes, but target.kind is binary; give one"


def _kind(params: Params) -> Iterator[str]:
    """Keys of the target that belong to one kind alone."""
    target = params.target
    own = {
        "columns": ("multilabel",), "separator": ("multilabel",), "order": ("ordinal",), "balance_bins": ("regression",),
        "bins": ("binary", "multiclass", "ordinal"), "positive": ("binary",),
    }  # fmt: skip
    for key, kinds in own.items():
        if getattr(target, key) is not None and target.kind not in ("auto", *kinds):
            yield f"target.{key}: it is for {' and '.join(kinds)} targets, and target.kind is {target.kind}; remove one of them"
    if target.columns is not None and target.separator is not None:
        yield "target.separator: the labels have a column each (target.columns); remove one of them"


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
        if compares_groups(metric) and not names:
            yield f"search.subject_to.{metric}: it compares groups, but `sensitive` is empty; name an attribute, or remove the limit"
    for key in ("maximize", "minimize"):
        metric = getattr(params.search, key)
        if metric not in (None, "auto") and compares_groups(metric) and not names:
            yield f"search.{key}: {metric} compares groups, but `sensitive` is empty; choose another metric"
    for position, rule in enumerate(params.gates.rules):
        where = f"gates.rules[{position}]"
        if compares_groups(rule.metric) and not names:
            yield f"{where}: {rule.metric} compares groups, but `sensitive` is empty; name an attribute, or remove the rule"
        elif rule.attribute is not None and compares_groups(rule.metric):
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
        if rule.attribute is not None and not compares_groups(rule.metric):
            groups = ", ".join(name for name in EVERY if compares_groups(name))
            yield f"gates.rules[{position}].attribute: {rule.metric} compares no groups; remove `attribute`, or use one of {groups}"


def _registry(params: Params) -> Iterator[str]:
    from tasks.registry import open_registry

    try:
        open_registry(params.registry.url)
    except InputError as error:
        yield str(error).removesuffix(".")
