"""Split: training rows train, validation rows choose, calibration rows adjust, test rows judge once."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from models.errors import InputError
from models.schema import Schema
from models.seeds import derive_seed
from tasks.allocation import allocate
from tasks.params import Params, Split
from tasks.parts import PARTS, read_rows, read_schema
from tasks.sources.card import class_by_group, counts_of, group_counts
from tasks.sources.duplicates import same_rows
from tasks.sources.parquet import write_parquet
from tasks.stage import Paths, Stage, replacing, write_json

log = logging.getLogger("equipoise")

LARGE_COPY_SHARE = 0.05
Ints = NDArray[np.int64]


def split_rows(
    rows: pd.DataFrame, schema: Schema, settings: Split, seed: int, repeated: pd.DataFrame | None = None
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A part for every row (row_id, part), and a summary of the counts.

    Rows that are equal in every column that a model may read share a part, whatever their label. `repeated` names rows
    of an official split whose whole record occurs more than once. Raises InputError for a class that is too rare.
    """
    copies = same_rows(rows, [c.name for c in schema.features(sensitive=True)])
    notes = _copy_notes(copies)
    if settings.by == "time":
        parts, more = _by_time(rows, schema, settings, copies)
    elif settings.by == "official":
        parts, more = _official(rows, schema, settings, seed, copies, repeated)
    else:
        shares = [settings.train, settings.valid, settings.calib, settings.test]
        parts, more = _stratified(rows, schema, shares, PARTS, seed, copies), []
    table = pd.DataFrame({"row_id": rows["row_id"].to_numpy(), "part": pd.Series(parts, dtype="str")})
    used = table["part"].notna().to_numpy()
    _require_every_class(rows[used], table["part"][used], schema)
    summary = _summary(rows[used], table["part"][used].to_numpy(), copies[used], schema, settings, [*notes, *more])
    summary["left_out"] = int((~used).sum())
    return table[used].sort_values("row_id", ignore_index=True), summary


def _stratified(
    rows: pd.DataFrame, schema: Schema, shares: list[float], names: tuple[str, ...], seed: int, copies: Ints
) -> NDArray[np.object_]:
    """By class (bin, rarest label) x intersection of the sensitive attributes."""
    classes = _class_ids(rows, schema)
    cells = classes
    for attribute in schema.sensitive:
        groups = pd.Index(attribute.groups).get_indexer(pd.Index(rows[attribute.name]))
        cells = cells * len(attribute.groups) + groups
    generator = np.random.default_rng(derive_seed(seed, "split"))
    parts = allocate(classes, cells, copies, shares, schema.target.strata, generator)
    return np.array(names, dtype=object)[parts]


def _class_ids(rows: pd.DataFrame, schema: Schema) -> Ints:
    target = schema.target
    return pd.Index(target.strata).get_indexer(pd.Index(rows[target.balanced_by])).astype(np.int64)


def _official(
    rows: pd.DataFrame, schema: Schema, settings: Split, seed: int, copies: Ints, repeated: pd.DataFrame | None
) -> tuple[NDArray[np.object_], list[str]]:
    """The published test rows are test; the others are divided by the relative shares of the other parts.

    A training record that also stands among the test rows is left out. People who merely agree in all features are kept:
    they are other people, and leaving them out would change the class shares of the training rows.
    """
    if "official_split" not in rows:
        raise InputError(f"split.by: official, but '{schema.dataset}' has no published parts. Use stratified or time.")
    test = (rows["official_split"] == "test").to_numpy()
    if test.all() or not test.any():
        raise InputError("split.by: official, but all rows are of one published part. Use stratified or time.")
    leaked = np.zeros(len(rows), dtype=bool)
    if repeated is not None and len(repeated):
        tested = repeated["record"][repeated["row_id"].isin(rows["row_id"][test])]
        leaked = ~test & rows["row_id"].isin(repeated["row_id"][repeated["record"].isin(tested)]).to_numpy()
    rest = ~test & ~leaked
    parts = np.full(len(rows), None, dtype=object)
    parts[test] = "test"
    shares = [settings.train, settings.valid, settings.calib]
    parts[rest] = _stratified(rows[rest], schema, shares, PARTS[:3], seed, copies[rest])
    agreeing = int((rest & np.isin(copies, copies[test])).sum())
    notes = []
    if leaked.any():
        notes.append(f"Left out of training, as the same record is among the test rows: {int(leaked.sum()):,} rows.")
    if agreeing:
        notes.append(
            f"Kept in training, though equal to a test row in every feature: {agreeing:,} rows, other records."
        )
    return parts, notes


def _by_time(
    rows: pd.DataFrame, schema: Schema, settings: Split, copies: Ints
) -> tuple[NDArray[np.object_], list[str]]:
    """The oldest rows train, the newest test; rows of one moment stay together, copies go to the latest part of any."""
    if schema.time is None:
        raise InputError("split.by: time, but no column orders the rows. Set data.time to a date or a number.")
    moments = rows[schema.time]
    if moments.isna().any():
        raise InputError(
            f"data.time: '{schema.time}' is missing in {int(moments.isna().sum()):,} rows. Fill it, or leave those rows out."
        )
    codes, distinct = pd.factorize(moments, sort=True)
    if len(distinct) < len(PARTS):
        raise InputError(
            f"data.time: '{schema.time}' has {len(distinct)} different values; four parts need at least 4."
        )
    ends = np.cumsum([settings.train, settings.valid, settings.calib]) * len(rows)
    passed = np.cumsum(np.bincount(codes))
    # The last moment of each part is the one whose end is nearest to the share; every part gets at least one moment.
    last = np.abs(passed[:, None] - ends[None, :]).argmin(0)
    for i in range(3):
        last[i] = min(max(last[i], last[i - 1] + 1 if i else 0), len(distinct) - 4 + i + 1)
    ids = np.searchsorted(last, codes, side="left")
    latest = np.zeros(int(copies.max()) + 1, dtype=np.int64)
    np.maximum.at(latest, copies, ids)
    moved = int((latest[copies] != ids).sum())
    notes = [f"Moved to a later part, where an exact copy is: {moved:,} rows."] if moved else []
    starts = [str(distinct[i]).removesuffix(" 00:00:00") for i in (0, *(last + 1))]
    notes.append(f"The parts begin at {', '.join(starts)} ({schema.time}).")
    return np.array(PARTS, dtype=object)[latest[copies]], notes


def _require_every_class(rows: pd.DataFrame, parts: pd.Series, schema: Schema) -> None:
    held = {part: counts_of(rows[(parts == part).to_numpy()], schema) for part in PARTS}
    what = {"regression": "bin", "multilabel": "label"}.get(schema.target.kind, "class")
    for name in schema.target.counted:
        for part in PARTS:
            if held[part][name] == 0:
                raise InputError(
                    f"{what} '{name}' has no row in the part '{part}'. Use split.by: stratified, give that part a larger "
                    f"share, or leave the {what} out."
                )


def _copy_notes(copies: Ints) -> list[str]:
    largest = int(np.bincount(copies).max())
    if largest < max(2, LARGE_COPY_SHARE * len(copies)):
        return []
    return [
        f"Equal in every feature, so that they had to share a part: {largest:,} rows; the shares may be off by as much."
    ]


def _summary(
    rows: pd.DataFrame, parts: NDArray[Any], copies: Ints, schema: Schema, settings: Split, notes: list[str]
) -> dict[str, Any]:
    sizes = np.bincount(copies)
    return {
        "by": settings.by,
        "rows": len(rows),
        "parts": {part: _part(rows[parts == part], len(rows), schema) for part in PARTS},
        "copies": {
            "groups": int((sizes > 1).sum()),
            "rows": int(sizes[sizes > 1].sum()),
            "largest": int(sizes.max()),
        },
        "notes": notes,
    }


def _part(rows: pd.DataFrame, total: int, schema: Schema) -> dict[str, Any]:
    by_group = {a.name: class_by_group(rows, schema, a) for a in schema.sensitive}
    return {
        "rows": len(rows),
        "share": round(len(rows) / total, 6),
        "classes": counts_of(rows, schema),
        "groups": {a.name: group_counts(rows, a) for a in schema.sensitive},
        "class_by_group": by_group,
    }


def run(params: Params, inputs: Paths, outputs: Paths) -> None:
    """Divide the ingested rows and write split.parquet and summary.json."""
    ingested = inputs["ingest"]
    path = ingested / "repeated.parquet"
    repeated = pd.read_parquet(path) if path.exists() else None
    table, summary = split_rows(read_rows(ingested), read_schema(ingested), params.split, params.seed, repeated)
    write(outputs["split"], table, summary)
    log.info("split: %s", ", ".join(f"{part} {summary['parts'][part]['rows']:,}" for part in PARTS))


def write(folder: Path, table: pd.DataFrame, summary: dict[str, Any]) -> None:
    """Both files at once, or none."""
    with replacing(folder) as temporary:
        temporary.mkdir()
        write_parquet(temporary / "split.parquet", table)
        write_json(temporary / "summary.json", summary)


STAGE = Stage(
    name="split",
    run=run,
    sections=("seed", "split"),
    inputs={"ingest": "data/ingest", "results": "data/validate/results.json"},
    outputs={"split": "data/split"},
)

if __name__ == "__main__":
    STAGE.main()
