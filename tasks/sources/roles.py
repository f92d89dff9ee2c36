"""Roles: which column is the target and which are sensitive, and their groups, from params over the catalogue."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from models.errors import InputError, nearest
from models.schema import RESERVED, Attribute, Kind
from models.values import as_text
from tasks.params import Params, Sensitive
from tasks.sources.catalog import CatalogueSensitive, CatalogueTarget, Entry
from tasks.sources.columns import is_numeric, natural_order, numbers_in, range_order
from tasks.sources.cut import cut
from tasks.sources.read_tables import Raw

NUMERIC_CLASSES = 20
GROUPS = 50
MISSING_GROUP = "missing"
LABELS = "labels"
"""How the target is called that is made of target.columns."""


@dataclass(frozen=True)
class Roles:
    """What params and the catalogue together say of the columns; every column named here exists in the source."""

    target: CatalogueTarget
    attributes: tuple[CatalogueSensitive, ...]
    time: str | None
    identifier: str | None
    weight: str | None
    kinds: dict[str, Kind] = field(default_factory=dict)
    orders: dict[str, tuple[str, ...]] = field(default_factory=dict)
    drop: dict[str, str] = field(default_factory=dict)

    @property
    def raw_sensitive(self) -> set[str]:
        """Numeric columns of which a sensitive attribute is a coarser copy; they are as sensitive as it."""
        return {a.of for a in self.attributes if a.of} | {a.column for a in self.attributes if a.bins}


def assign_roles(params: Params, entry: Entry | None, raw: Raw, default_target: str | None = None) -> Roles:
    """Merge params over the catalogue's entry. Raises InputError for a name that is no column, with the nearest one."""
    columns = [str(name) for name in raw.frame.columns]
    target = _target(params, entry, default_target)
    attributes = _attributes(params, entry)
    data = params.data
    known = entry.columns if entry else {}
    named = {name: why for name, why in (entry.drop if entry else {}).items() if name in columns}
    dropped = {**named, **dict.fromkeys(data.drop, "left out by data.drop")}
    answers = target.columns or (target.column,)
    used = {*answers, *(a.column for a in attributes), *filter(None, (data.id, data.weight))}
    roles = Roles(
        target=target,
        attributes=attributes,
        time=data.time or (entry.time if entry else None),
        identifier=data.id,
        weight=data.weight,
        kinds={**raw.kinds, **{n: c.kind for n, c in known.items()}, **data.columns},
        orders={**raw.orders, **{n: c.order for n, c in known.items() if c.order}},
        drop={n: why for n, why in dropped.items() if n not in used},
    )
    _require("target.columns" if target.columns else "target.column", answers, columns)
    _require("sensitive", [a.column for a in attributes], columns)
    for key, name in (("data.id", roles.identifier), ("data.time", roles.time), ("data.weight", roles.weight)):
        _require(key, [name] if name else [], columns)
    _require("data.columns", data.columns, columns)
    _require("data.drop", data.drop, columns)
    _require_clear(roles, columns)
    return roles


def _target(params: Params, entry: Entry | None, default: str | None) -> CatalogueTarget:
    given = params.target
    positive = None if given.positive is None else str(as_text(pd.Series([given.positive])).iloc[0])
    known = entry.target if entry and given.column in (None, entry.target.column) else None
    own = {
        "kind": "ordinal" if given.order is not None and given.kind == "auto" else given.kind,
        "positive": positive,
        "bins": given.bins,
        "order": given.order,
        "columns": given.columns,
        "separator": given.separator,
        "balance_bins": given.balance_bins,
    }
    if own["kind"] == "auto" and given.columns is not None:
        own["kind"] = "multilabel"
    if known is None:
        column = given.column or (LABELS if given.columns is not None else default)
        if column is None:
            raise InputError("target.column: missing. Name the column to predict.")
        return CatalogueTarget(column=column, **own)
    if given.bins is not None or (given.kind == "regression" and known.kind != "regression"):
        return CatalogueTarget(column=known.column, **own)
    told = {name: value for name, value in own.items() if value not in (None, "auto")}
    if positive is not None:
        told["positive"] = known.names.get(positive, positive)
    return known.model_copy(update=told)


def _attributes(params: Params, entry: Entry | None) -> tuple[CatalogueSensitive, ...]:
    known = entry.attributes if entry else ()
    if params.sensitive == "auto":
        return known
    by_name = {a.name: a for a in known}
    result = []
    for given in params.sensitive:
        wanted = given if isinstance(given, Sensitive) else Sensitive(column=given)
        same = by_name.get(wanted.name)
        values = wanted.values or (same.values if same else None)
        result.append(
            CatalogueSensitive(column=wanted.column, bins=wanted.bins, values=values, of=same.of if same else None)
        )
    return tuple(result)


def _require(key: str, names: Iterable[str], columns: list[str]) -> None:
    for name in names:
        if name not in columns:
            raise InputError(f"{key}: the data have no column '{name}'. {nearest(name, columns)}")


def _require_clear(roles: Roles, columns: list[str]) -> None:
    answers = roles.target.columns or (roles.target.column,)
    for key, name in (("data.id", roles.identifier), ("data.time", roles.time), ("data.weight", roles.weight)):
        if name in answers:
            raise InputError(f"{key}: '{name}' is the target. Name another column, or null.")
    names = [a.name for a in roles.attributes]
    for attribute in roles.attributes:
        if attribute.column in answers:
            raise InputError(
                f"sensitive: '{attribute.column}' is the target. A sensitive attribute must be another column."
            )
        if names.count(attribute.name) > 1:
            raise InputError(f"sensitive: '{attribute.name}' is named more than once. Name every attribute once.")
        if attribute.bins and attribute.name in columns:
            raise InputError(
                f"sensitive: the groups of '{attribute.column}' would be called '{attribute.name}', which is a column. Rename it."
            )
    for name in [n for n in RESERVED if n != "official_split"]:
        if name in columns and name not in roles.drop and not (name == "weight" == roles.weight):
            hint = " (or set data.weight: weight if it weighs the rows)" if name == "weight" else ""
            raise InputError(
                f"the column name '{name}' is reserved for what the pipeline adds. Rename it in the source, or add it to data.drop{hint}."
            )


def make_attribute(
    column: pd.Series, wanted: CatalogueSensitive, order: tuple[str, ...] | None
) -> tuple[pd.Series, Attribute, bool]:
    """Group of each row ('missing' where there is no value), all groups, and whether they are ordered.

    The declared groups come first, then the others that occur, then 'missing'.
    """
    if column.isna().all():
        raise InputError(f"sensitive: '{wanted.column}' has no values. Name another column, or mend the source.")
    if wanted.bins:
        groups, order = cut(column, wanted.bins, f"sensitive '{wanted.column}': bins")
    else:
        groups = as_text(column)
        _require_groups(column, groups.nunique(), wanted.column)
        order = order or range_order(groups)
    names = order or wanted.values or ()
    others = sorted({*groups.dropna().unique(), *(wanted.values or ())} - set(names), key=natural_order)
    missing = (MISSING_GROUP,) if groups.isna().any() and MISSING_GROUP not in (*names, *others) else ()
    attribute = Attribute(name=wanted.name, groups=(*names, *others, *missing))
    return groups.fillna(MISSING_GROUP).astype("str"), attribute, order is not None


def _require_groups(column: pd.Series, distinct: int, name: str) -> None:
    if distinct > NUMERIC_CLASSES and is_numeric(column):
        raise InputError(
            f"sensitive: '{name}' is a number with {distinct:,} values. Give cut points: "
            f"{{column: {name}, bins: [{_example_bins(column)}]}}."
        )
    if distinct > GROUPS:
        raise InputError(f"sensitive: '{name}' has {distinct:,} groups. Use a coarser column with at most {GROUPS}.")


def _example_bins(column: pd.Series) -> str:
    return ", ".join(f"{v:g}" for v in np.unique(np.nanquantile(numbers_in(column), [0.25, 0.5, 0.75])))
