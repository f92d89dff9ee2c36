"""The data card: what a person should know of a data set before trusting a model made from it.

data/ingest/card.json holds
  dataset, about, licence, home     name, one line, and where it comes from (about, licence, home: null for own data)
  source                            {"format", "files": [{"name", "sha256", ...}]}
  rows, rows_read                   rows kept, rows in the source
  rows_left_out                     [{"rows", "why"}]
  target                            {"column", "kind", "positive"}
  number                            null, or of a numeric target {"low", "mean", "median", "high", "deviation"}
  classes                           {class: rows}, in the order of the class ids; bins of a number; labels, a row in each it has
  imbalance_ratio                   largest / smallest class
  published_parts                   null, or {"train": {class: rows}, "test": {class: rows}} as the publisher divided them
  groups                            {attribute: {group: rows}}, every declared group, also those without rows
  class_by_group                    {attribute: {group: {class: rows}}}
  intersections                     null, or {"attribute": "a & b", "groups": {"x & y": {"rows", "classes"}}}, those that occur
  columns                           [{"name", "kind", "role", "feature", "distinct", "missing_rate", "note"}]
  missing                           {"columns": {column: rate}, "groups": {attribute: {group: {column: rate}}}}, rates above 0
  dropped_columns                   {column: why}
  declared                          what the maker of the data says of it (lending: biased labels, proxies, drift)
  notes                             sentences
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from models.schema import LABEL_SEPARATOR, Attribute, Schema


def make_card(rows: pd.DataFrame, schema: Schema, facts: dict[str, Any], notes: list[str]) -> dict[str, Any]:
    """Counts and missing rates of the typed `rows`, around the `facts` that only ingest knows."""
    target = schema.target
    classes = counts_of(rows, schema)
    present = [n for n in classes.values() if n]
    columns = [c for c in schema.columns if c.role != "dropped" and c.name in rows]
    missing = rows[[c.name for c in columns]].isna()
    rates = {c.name: _rate(missing[c.name].mean()) for c in columns}
    return {
        **{k: facts[k] for k in ("dataset", "about", "licence", "home", "source")},
        "rows": len(rows),
        "rows_read": facts["rows_read"],
        "rows_left_out": facts["rows_left_out"],
        "target": {"column": target.column, "kind": target.kind, "positive": target.positive},
        "number": _number(rows[target.column]) if target.kind == "regression" else None,
        "classes": classes,
        "imbalance_ratio": _rate(max(present) / min(present)),
        "published_parts": _published_parts(rows, schema),
        "groups": {a.name: group_counts(rows, a) for a in schema.sensitive},
        "class_by_group": {a.name: class_by_group(rows, schema, a) for a in schema.sensitive},
        "intersections": _intersections(rows, schema),
        "columns": [
            {
                "name": c.name,
                "kind": c.kind,
                "role": c.role,
                "feature": c.feature,
                "distinct": int(rows[c.name].nunique()),
                "missing_rate": rates[c.name],
                "note": c.note,
            }
            for c in columns
        ],
        "missing": {
            "columns": {name: rate for name, rate in rates.items() if rate > 0},
            "groups": {a.name: _missing_by_group(missing, rows[a.name], a, rates) for a in schema.sensitive},
        },
        "dropped_columns": {c.name: c.note for c in schema.columns if c.role == "dropped"},
        "declared": facts["declared"],
        "notes": notes,
    }


def class_by_group(rows: pd.DataFrame, schema: Schema, attribute: Attribute) -> dict[str, dict[str, int]]:
    """Rows of each group and class (label, bin), present or not, in the schema's order."""
    by_group = _carried(rows, schema).groupby(rows[attribute.name]).sum().reindex(attribute.groups, fill_value=0)
    table = by_group.to_numpy(dtype=np.int64).tolist()
    return {
        g: dict(zip(schema.target.counted, line, strict=True)) for g, line in zip(attribute.groups, table, strict=True)
    }


def group_counts(rows: pd.DataFrame, attribute: Attribute) -> dict[str, int]:
    """Rows of each group, present or not, in the schema's order."""
    counts = rows[attribute.name].value_counts()
    return {g: int(counts.get(g, 0)) for g in attribute.groups}


def counts_of(rows: pd.DataFrame, schema: Schema) -> dict[str, int]:
    """Rows of each class (label, bin), present or not, in the schema's order."""
    return {str(c): int(n) for c, n in _carried(rows, schema).sum().items()}


def _carried(rows: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """Whether each row is of each class, or has each label, or is in each bin."""
    target = schema.target
    column = rows[target.column if target.classes else target.balanced_by]
    if target.kind == "multilabel":
        lists = (LABEL_SEPARATOR + column + LABEL_SEPARATOR).astype("object")
        found = {c: lists.str.contains(f"{LABEL_SEPARATOR}{c}{LABEL_SEPARATOR}", regex=False) for c in target.classes}
    else:
        found = {c: column == c for c in target.counted}
    return pd.DataFrame({c: v.astype("int64") for c, v in found.items()}, index=rows.index)


def _number(column: pd.Series) -> dict[str, float]:
    """Where a numeric target lies."""
    return {
        "low": _rate(column.min()),
        "mean": _rate(column.mean()),
        "median": _rate(column.median()),
        "high": _rate(column.max()),
        "deviation": _rate(column.std()),
    }


def intersection_names(rows: pd.DataFrame, schema: Schema) -> pd.Series:
    """The intersection of all sensitive attributes of each row, as in 'Female & North'."""
    names = rows[schema.sensitive[0].name].astype("str")
    for attribute in schema.sensitive[1:]:
        names = names + " & " + rows[attribute.name].astype("str")
    return names


def _intersections(rows: pd.DataFrame, schema: Schema) -> dict[str, Any] | None:
    if len(schema.sensitive) < 2:
        return None
    names = intersection_names(rows, schema)
    counts, sizes = _carried(rows, schema).groupby(names).sum(), names.value_counts()
    return {
        "attribute": " & ".join(a.name for a in schema.sensitive),
        "groups": {
            str(group): {"rows": int(sizes[str(group)]), "classes": {c: int(n) for c, n in by_class.items()}}
            for group, by_class in counts.iterrows()
        },
    }


def _published_parts(rows: pd.DataFrame, schema: Schema) -> dict[str, dict[str, int]] | None:
    if "official_split" not in rows:
        return None
    return {part: counts_of(rows[rows["official_split"] == part], schema) for part in ("train", "test")}


def _missing_by_group(
    missing: pd.DataFrame, groups: pd.Series, attribute: Attribute, rates: dict[str, float]
) -> dict[str, dict[str, float]]:
    incomplete = [name for name, rate in rates.items() if rate > 0 and name != attribute.name]
    by_group = missing[incomplete].groupby(groups).mean()
    present = [g for g in attribute.groups if g in by_group.index]
    return {g: {c: _rate(by_group.loc[g, c]) for c in incomplete} for g in present}


def _rate(value: Any) -> float:
    return round(float(value), 6)
