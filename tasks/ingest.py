"""Ingest: from a source to typed rows with ids, the schema that describes them, and the data card."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from models.errors import InputError
from models.schema import Attribute, Column, Schema, Unlabelled
from tasks.params import Params
from tasks.sources.card import make_card
from tasks.sources.catalog import CATALOGUE
from tasks.sources.columns import Typed, numbers_in, type_column
from tasks.sources.duplicates import same_rows
from tasks.sources.files import Located, Locations, locate
from tasks.sources.labels import joined
from tasks.sources.parquet import write_parquet
from tasks.sources.read import read_source
from tasks.sources.read_tables import Raw
from tasks.sources.roles import Roles, assign_roles, make_attribute
from tasks.sources.select import choose_rows, filter_rows, within
from tasks.sources.target import Made, make_target
from tasks.stage import Paths, Stage, replacing, write_json

log = logging.getLogger("equipoise")

PART = "official_split"


@dataclass
class _Table:
    """The typed table in the making: `columns` in order, `series` by name, what was left out and why."""

    index: pd.Index
    columns: list[Column] = field(default_factory=list)
    series: dict[str, pd.Series] = field(default_factory=dict)
    left_out: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def add(self, column: Column, series: pd.Series | None = None) -> None:
        self.columns.append(column)
        if series is not None:
            self.series[column.name] = series

    def rows(self) -> pd.DataFrame:
        """The typed table: row ids, the columns in their order, and what belongs to none of them."""
        ordered = {c.name: self.series[c.name] for c in self.columns if c.name in self.series}
        return pd.DataFrame({"row_id": self.index.to_numpy(dtype="int64"), **ordered, **self.series}, index=self.index)


@dataclass(frozen=True)
class Ingested:
    """What ingest makes: the typed rows in the order of the source, their description, the card and what only the maker knows.

    `repeated` names the rows [row_id, record] whose whole record, dropped columns included, occurs more than once, where
    the publisher divided the rows; otherwise it is None. `unlabelled` are the rows without a value of the target, where
    they are used.
    """

    rows: pd.DataFrame
    schema: Schema
    card: dict[str, Any]
    truth: pd.DataFrame | None
    repeated: pd.DataFrame | None
    unlabelled: pd.DataFrame | None = None


def ingest(params: Params, locations: Locations, catalogue_file: Path = CATALOGUE) -> Ingested:
    """Read, type and describe the data set that params name. Raises InputError and writes nothing."""
    located = locate(params.data, locations, catalogue_file)
    raw = read_source(located, params)
    read = len(raw.frame)
    raw, left_out = filter_rows(raw, located.entry, params.data.imbalance_ratio)
    roles = assign_roles(params, located.entry, raw, "class" if located.format == "images" else None)
    raw, outside = within(raw, roles.time, params.data.since, params.data.until)
    frame, left_out = joined(raw.frame, roles.target), left_out + outside
    table = _Table(frame.index, left_out=left_out, notes=list(raw.notes))
    declared = params.data.columns.get(roles.target.column)
    answer = make_target(frame[roles.target.column], roles.target, declared, params.data.rows)
    target = answer.target
    _type_columns(table, frame, roles, answer)
    attributes = _add_attributes(table, frame, roles)
    _add_parts_and_weight(table, frame, raw, roles)
    _require_features(table)
    labelled, unlabelled = _set_apart(table, target.column, params.data.unlabelled == "use")
    rows, unused = choose_rows(labelled, target, params.data.rows, params.seed)
    table.left_out += unused
    schema = Schema(
        dataset=located.label,
        columns=tuple(table.columns),
        target=target,
        sensitive=tuple(attributes),
        time=roles.time,
        identifier=roles.identifier,
        weight="weight" if roles.weight else None,
    )
    _note_constants(table, rows)
    card = make_card(rows, schema, _facts(located, raw, read, table.left_out), table.notes)
    truth = None if raw.truth is None else raw.truth.loc[rows.index].reset_index(drop=True)
    if truth is not None:
        truth.insert(0, "row_id", rows["row_id"].to_numpy())
    return Ingested(
        rows.reset_index(drop=True),
        schema,
        card,
        truth,
        _repeated(rows, frame.assign(**{target.column: answer.values}), table),
        unlabelled,
    )


def _set_apart(table: _Table, target: str, use: bool) -> tuple[pd.DataFrame, pd.DataFrame | None]:
    """The rows that take part, and those without a value of the target where they are used."""
    rows = table.rows()
    missing = rows[target].isna()
    if not use or not missing.any():
        return rows, None
    table.notes.append(
        f"Without a value of '{target}' and kept apart from all parts of the split: {int(missing.sum()):,} rows. Only recipes "
        "that learn from rows without a label see them."
    )
    return rows[~missing], rows[missing].drop(columns=target).reset_index(drop=True)


def _type_columns(table: _Table, frame: pd.DataFrame, roles: Roles, answer: Made) -> None:
    """Type every column that is no sensitive attribute, in the order of the source."""
    groups = {a.column for a in roles.attributes if not a.bins}
    images = any(kind == "image" for kind in roles.kinds.values())
    for name in frame.columns:
        column = frame[name]
        if name == roles.target.column:
            _add_target(table, frame, answer)
        elif name in groups:
            table.add(Column(name=name, kind="categorical", role="sensitive"))
        elif name == PART or name == roles.weight:
            continue
        elif name == roles.identifier:
            _add_identifier(table, column)
        elif name in roles.drop:
            kind = roles.kinds.get(name, "identifier" if column.nunique() == len(column) else "categorical")
            table.add(Column(name=name, kind=kind, role="dropped", feature=False, note=roles.drop[name]))
        else:
            typed = type_column(column, roles.kinds.get(name), roles.orders.get(name))
            _add_typed(table, name, typed, roles, images)


def _add_target(table: _Table, frame: pd.DataFrame, answer: Made) -> None:
    """The target, and beside a number or labels what each row is balanced by."""
    target = answer.target
    if answer.note:
        table.notes.append(answer.note)
    if answer.strata is None or target.balance_column is None:
        known = Column(name=target.column, kind="categorical", role="target", feature=False, categories=target.classes)
        table.add(known, answer.values)
        return
    number = target.kind == "regression"
    kind, of = ("numeric", "bin") if number else ("categorical", "rarest label")
    table.add(Column(name=target.column, kind=kind, role="target", feature=False), answer.values)
    if target.balance_column in frame.columns:
        raise InputError(
            f"target: the {of} of '{target.column}' would be called '{target.balance_column}', which is a column. Rename it."
        )
    column = Column(
        name=target.balance_column, kind="ordinal" if number else "categorical", role="target", feature=False,
        categories=target.balance_classes, note=f"{of} of '{target.column}', by which rows are balanced",
    )  # fmt: skip
    table.add(column, answer.strata)


def _add_typed(table: _Table, name: str, typed: Typed, roles: Roles, images: bool) -> None:
    if name == roles.time:
        if typed.kind not in ("date", "numeric"):
            raise InputError(
                f"data.time: '{name}' is neither a date nor a number, so it orders nothing. Name another column."
            )
        note = "orders the rows in time; not a feature"
        table.add(Column(name=name, kind=typed.kind, role="feature", feature=False, note=note), typed.values)
    elif typed.kind == "identifier":
        table.add(Column(name=name, kind="identifier", role="dropped", feature=False, note=typed.note))
        log.info("column '%s' was dropped: %s", name, typed.note)
    elif name in roles.raw_sensitive:
        column = Column(name=name, kind=typed.kind, role="sensitive", categories=typed.categories, note=typed.note)
        table.add(column, typed.values)
    elif images and typed.kind != "image":
        table.add(
            Column(
                name=name, kind=typed.kind, role="dropped", feature=False, note="a net for images reads the image alone"
            )
        )
    else:
        table.add(
            Column(name=name, kind=typed.kind, role="feature", categories=typed.categories, note=typed.note),
            typed.values,
        )


def _add_identifier(table: _Table, column: pd.Series) -> None:
    typed = type_column(column, "identifier", None)
    if typed.values.isna().any():
        raise InputError(
            f"data.id: '{column.name}' is empty in {int(typed.values.isna().sum()):,} of {len(column):,} rows. Every row needs an id."
        )
    repeated = typed.values[typed.values.duplicated(keep=False)]
    if len(repeated):
        same = repeated[repeated == repeated.iloc[0]]
        raise InputError(
            f"data.id: '{column.name}' is not unique: {len(repeated):,} rows share their id, for one '{repeated.iloc[0]}' in the rows "
            f"{', '.join(str(int(i) + 1) for i in same.index[:3])}. Remove the copies, or name another column."
        )
    note = "identifies the row; never a feature"
    table.add(Column(name=str(column.name), kind="identifier", role="dropped", feature=False, note=note), typed.values)


def _add_attributes(table: _Table, frame: pd.DataFrame, roles: Roles) -> list[Attribute]:
    """Group columns: an unbinned attribute takes the place of its raw column, a binned one comes last."""
    made = []
    for wanted in roles.attributes:
        series, attribute, ordered = make_attribute(frame[wanted.column], wanted, roles.orders.get(wanted.column))
        coarser = bool(wanted.bins or wanted.of)
        column = Column(
            name=attribute.name,
            kind="ordinal" if ordered else "categorical",
            role="sensitive",
            feature=not coarser and wanted.column not in roles.drop,
            categories=attribute.groups,
            note=f"groups of '{wanted.of or wanted.column}'" if coarser else "",
        )
        if wanted.bins:
            table.add(column, series)
        else:
            table.columns[[c.name for c in table.columns].index(wanted.column)] = column
            table.series[wanted.column] = series
        if len(attribute.groups) < 2:
            table.notes.append(
                f"Sensitive attribute '{attribute.name}' has one group alone: there is nothing to compare."
            )
        made.append(attribute)
    return made


def _add_parts_and_weight(table: _Table, frame: pd.DataFrame, raw: Raw, roles: Roles) -> None:
    parts = raw.parts
    if PART in frame and PART not in roles.drop:
        unknown = frame[PART][~frame[PART].isin(["train", "test"])]
        if len(unknown):
            raise InputError(
                f"column '{PART}': row {int(unknown.index[0]) + 1} holds '{unknown.iloc[0]}'. Use train or test in every row."
            )
        parts = frame[PART]
    if parts is not None:
        table.series[PART] = parts
    if roles.weight is None:
        return
    weights = numbers_in(frame[roles.weight])
    wrong = (weights.isna() | (weights < 0) | (weights == float("inf"))).to_numpy()
    if wrong.any() or not weights.sum() > 0:
        row = int(wrong.argmax())
        where = (
            f"row {int(weights.index[row]) + 1} holds '{frame[roles.weight].iloc[row]}'" if wrong.any() else "all are 0"
        )
        raise InputError(
            f"data.weight: '{roles.weight}' must hold numbers of at least 0, but {where}. "
            "Mend it, or set data.weight to null."
        )
    note = "weighs the rows" + ("" if roles.weight == "weight" else f"; '{roles.weight}' in the source")
    table.add(Column(name="weight", kind="numeric", role="weight", feature=False, note=note), weights)


def _require_features(table: _Table) -> None:
    if not any(c.feature and c.role in ("feature", "sensitive") for c in table.columns):
        dropped = ", ".join(c.name for c in table.columns if c.role == "dropped") or "none"
        raise InputError(f"no column is left as a feature (dropped: {dropped}). Check data.drop and data.columns.")


def _note_constants(table: _Table, rows: pd.DataFrame) -> None:
    for column in table.columns:
        if (
            column.feature
            and column.name in rows
            and column.kind != "image"
            and rows[column.name].nunique(dropna=False) == 1
        ):
            table.notes.append(
                f"Column '{column.name}' has the same value in every row; it was kept and tells a model nothing."
            )


def _facts(located: Located, raw: Raw, read: int, left_out: list[dict[str, Any]]) -> dict[str, Any]:
    entry = located.entry
    files = [{"name": f.name, "sha256": f.sha256} for f in located.files]
    return {
        "dataset": located.label,
        "about": entry.about if entry else None,
        "licence": entry.licence if entry else None,
        "home": entry.home if entry else None,
        "source": {"format": located.format, "files": [*files, *raw.identity]},
        "rows_read": read,
        "rows_left_out": left_out,
        "declared": raw.declared,
    }


def _repeated(rows: pd.DataFrame, frame: pd.DataFrame, table: _Table) -> pd.DataFrame | None:
    if PART not in rows:
        return None
    identifying = {c.name for c in table.columns if c.kind == "identifier"}
    record = same_rows(frame.loc[rows.index], [n for n in frame.columns if n not in identifying and n != PART])
    found = pd.DataFrame({"row_id": rows["row_id"].to_numpy(), "record": record})
    return found[found["record"].duplicated(keep=False)].reset_index(drop=True)


def run(params: Params, inputs: Paths, outputs: Paths) -> None:
    """Ingest what params name and write rows.parquet, schema.json and card.json.

    Of lending there is truth.parquet too, of rows without a value of the target that are used unlabelled.parquet; the
    schema holds their hash, so that what depends on it depends on them.
    """
    made = ingest(params, Locations.of_environment())
    with replacing(outputs["ingest"]) as folder:
        folder.mkdir()
        write_parquet(folder / "rows.parquet", made.rows)
        schema = made.schema
        if made.unlabelled is not None:
            path = folder / "unlabelled.parquet"
            write_parquet(path, made.unlabelled)
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            schema = schema.model_copy(update={"unlabelled": Unlabelled(rows=len(made.unlabelled), sha256=digest)})
        write_json(folder / "schema.json", schema.model_dump())
        write_json(folder / "card.json", made.card)
        if made.truth is not None:
            write_parquet(folder / "truth.parquet", made.truth)
        if made.repeated is not None:
            write_parquet(folder / "repeated.parquet", made.repeated)
    log.info(
        "ingest: %s, %s rows, %s %s",
        made.schema.dataset,
        f"{len(made.rows):,}",
        {"regression": "bins", "multilabel": "labels"}.get(made.schema.target.kind, "classes"),
        _counted(made.card["classes"]),
    )


def _counted(classes: dict[str, int]) -> str:
    return ", ".join(f"{name} {rows:,}" for name, rows in classes.items())


STAGE = Stage(
    name="ingest",
    run=run,
    sections=("seed", "data", "target", "sensitive"),
    inputs={},
    outputs={"ingest": "data/ingest"},
)

if __name__ == "__main__":
    STAGE.main()
