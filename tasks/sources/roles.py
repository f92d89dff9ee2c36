"""Roles: which column is the target and which are sensitive, their classes and groups, from params over the catalogue."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import InputError, nearest
from models.schema import RESERVED, Attribute, Kind, Target
from models.values import as_text
from tasks.params import Params, Sensitive
from tasks.sources.catalog import CatalogueSensitive, CatalogueTarget, Entry
from tasks.sources.columns import is_numeric, natural_order, numbers_in, range_order
from tasks.sources.read_tables import Raw

NUMERIC_CLASSES = 20
TEXT_CLASSES = 1000
GROUPS = 50
MISSING_GROUP = "missing"


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
    used = {target.column, *(a.column for a in attributes), *filter(None, (data.id, data.weight))}
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
    _require("target.column", [target.column], columns)
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
    if known is None:
        column = given.column or default
        if column is None:
            raise InputError("target.column: missing. Name the column to predict.")
        return CatalogueTarget(column=column, positive=positive, bins=given.bins)
    if given.bins is not None:
        return CatalogueTarget(column=known.column, positive=positive, bins=given.bins)
    return known.model_copy(update={"positive": known.names.get(positive, positive)}) if positive is not None else known


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
    target = roles.target.column
    for key, name in (("data.id", roles.identifier), ("data.time", roles.time), ("data.weight", roles.weight)):
        if name == target:
            raise InputError(f"{key}: '{name}' is the target. Name another column, or null.")
    names = [a.name for a in roles.attributes]
    for attribute in roles.attributes:
        if attribute.column == target:
            raise InputError(f"sensitive: '{target}' is the target. A sensitive attribute must be another column.")
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


def make_target(
    column: pd.Series, wanted: CatalogueTarget, kind: str, declared: Kind | None
) -> tuple[pd.Series, Target]:
    """Labels as class names (missing stays missing), and the classes in order; of two, the positive one is last.

    Raises InputError for a single class, a numeric target without cut points, or a positive class that does not occur.
    """
    name = wanted.column
    if column.isna().all():
        raise InputError(f"target '{name}': no row has a value. Check target.column.")
    if wanted.bins:
        labels, names = cut(column, wanted.bins, "target.bins")
        classes = tuple(n for n in names if (labels == n).any())
    else:
        labels = _labels(column, wanted)
        _require_classes(column, labels, name, declared)
        present = list(labels.dropna().unique())
        order = [c for c in wanted.order or () if c in present]
        classes = (*order, *sorted(set(present) - set(order), key=natural_order))
    if len(classes) < 2:
        raise InputError(
            f"target '{name}': only one class, '{classes[0]}' ({int(labels.notna().sum()):,} rows). A classifier needs two; "
            "check target.column, or choose other target.bins."
        )
    if kind == "binary" and len(classes) > 2:
        raise InputError(
            f"target.kind: binary, but '{name}' has {len(classes)} classes ({', '.join(classes[:5])} …). Use multiclass, or target.bins."
        )
    if kind == "multiclass" or len(classes) > 2:
        if wanted.positive is not None and kind != "multiclass":
            raise InputError(
                f"target.positive: '{name}' has {len(classes)} classes, so none is the positive one. Set it to null."
            )
        return labels, Target(column=name, kind="multiclass", classes=classes)
    counts = labels.value_counts()
    positive = wanted.positive or min(classes, key=lambda c: (int(counts[c]), c))
    if positive not in classes:
        raise InputError(f"target.positive: '{positive}' is not a value of '{name}'. {nearest(positive, classes)}")
    return labels, Target(column=name, kind="binary", classes=(*(c for c in classes if c != positive), positive))


def _labels(column: pd.Series, wanted: CatalogueTarget) -> pd.Series:
    labels = as_text(column)
    if wanted.strip:
        labels = labels.str.strip(wanted.strip + " ")
    return labels.map(lambda v: wanted.names.get(v, v), na_action="ignore").astype("str") if wanted.names else labels


def _require_classes(column: pd.Series, labels: pd.Series, name: str, declared: Kind | None) -> None:
    distinct = labels.nunique()
    if distinct > NUMERIC_CLASSES and declared is None and is_numeric(column):
        raise InputError(
            f"target '{name}': a number with {distinct:,} values. Cut it into classes with target.bins, or say that its values are "
            f"classes: data.columns.{name}: categorical."
        )
    if distinct > TEXT_CLASSES:
        raise InputError(f"target '{name}': {distinct:,} different values are too many classes. Check target.column.")


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


def cut(column: pd.Series, bins: tuple[float, ...], key: str) -> tuple[pd.Series, tuple[str, ...]]:
    """The name of the interval (-inf, b0], (b0, b1], … of each value, and all names in order.

    Whole numbers are named as they are spoken of: <=25, 26-40, >40.
    """
    if list(bins) != sorted(set(bins)) or not np.isfinite(bins).all():
        raise InputError(f"{key}: {list(bins)} must be finite and rise. Sort the cut points and name each once.")
    if not is_numeric(column):
        raise InputError(
            f"{key}: '{column.name}' is not numeric, so it cannot be cut. Remove the cut points, or name another column."
        )
    numbers = numbers_in(column).to_numpy()
    known = numbers[~np.isnan(numbers)]
    if np.isinf(known).any():
        raise InputError(
            f"column '{column.name}' has infinite values: {int(np.isinf(known).sum()):,}. Replace them by numbers or leave them empty."
        )
    whole = bool((known == np.floor(known)).all() and all(float(b).is_integer() for b in bins))
    names = (f"<={bins[0]:g}", *(_between(a, b, whole) for a, b in itertools.pairwise(bins)), f">{bins[-1]:g}")
    texts: NDArray[Any] = np.array(names, dtype=object)[
        np.searchsorted(np.asarray(bins), numbers).clip(max=len(names) - 1)
    ]
    texts[np.isnan(numbers)] = None
    return pd.Series(texts, index=column.index, name=column.name, dtype="str"), names


def _between(low: float, high: float, whole: bool) -> str:
    if not whole:
        return f"({low:g}, {high:g}]"
    return f"{low + 1:g}" if low + 1 == high else f"{low + 1:g}-{high:g}"
