"""Split: four parts in proportion, copies together, every class in every part, time and published parts respected."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from models.errors import InputError
from models.schema import Attribute, Column, Schema, Target
from tasks import ingest, split
from tasks.params import Data, Params, Split
from tasks.params import Target as TargetParams
from tasks.parts import read_rows, read_schema, rows_of
from tasks.sources.duplicates import same_rows
from tasks.split import PARTS, split_rows

SHARES = {"train": 0.6, "valid": 0.15, "calib": 0.1, "test": 0.15}


def toy(classes: list[str], groups: list[str] | None = None, x: Any = None, **more: Any) -> tuple[pd.DataFrame, Schema]:
    """Rows with a class, optionally a group, and a feature that is different in every row unless given."""
    count = len(classes)
    x = np.arange(count, dtype=float) if x is None else np.asarray(x, dtype=float)
    rows = pd.DataFrame({"row_id": np.arange(count), "x": x, "y": classes, **more})
    columns = [
        Column(name="x", kind="numeric", role="feature"),
        Column(name="y", kind="categorical", role="target", feature=False),
    ]
    sensitive: tuple[Attribute, ...] = ()
    if groups is not None:
        rows["g"] = groups
        columns.append(Column(name="g", kind="categorical", role="sensitive", feature=False))
        sensitive = (Attribute(name="g", groups=tuple(sorted(set(groups)))),)
    names = tuple(sorted(set(classes)))
    target = Target(column="y", kind="binary" if len(names) == 2 else "multiclass", classes=names)
    time = "t" if "t" in more else None
    return rows, Schema(dataset="toy", columns=tuple(columns), target=target, sensitive=sensitive, time=time)


def parted(rows: pd.DataFrame, schema: Schema, seed: int = 0, **settings: Any) -> pd.DataFrame:
    table, _ = split_rows(rows, schema, Split(**settings), seed)
    return rows.merge(table, on="row_id")


def test_every_row_gets_one_part_in_proportion() -> None:
    rng = np.random.default_rng(0)
    rows, schema = toy(rng.choice(["a", "b"], 1000, p=[0.9, 0.1]).tolist(), rng.choice(["f", "m"], 1000).tolist())
    table, summary = split_rows(rows, schema, Split(), 0)
    assert table["row_id"].tolist() == rows["row_id"].tolist()
    assert set(table["part"]) == set(PARTS)
    assert sum(p["rows"] for p in summary["parts"].values()) == 1000
    for name, share in SHARES.items():
        for label, count in rows["y"].value_counts().items():
            assert summary["parts"][name]["classes"][label] == pytest.approx(share * count, abs=1.01)


def test_every_cell_of_class_and_group_is_in_proportion() -> None:
    rng = np.random.default_rng(1)
    rows, schema = toy(
        rng.choice(["a", "b", "c"], 3000).tolist(), rng.choice(list("fghi"), 3000, p=[0.5, 0.3, 0.15, 0.05]).tolist()
    )
    counts = parted(rows, schema).groupby(["y", "g", "part"]).size()
    total = rows.groupby(["y", "g"]).size()
    for (label, group, part), count in counts.items():
        assert count == pytest.approx(SHARES[part] * total[label, group], abs=2)


def test_tiny_cells_are_spread_and_not_all_left_to_training() -> None:
    """100 groups of one row each must not all end in the largest part."""
    rows, schema = toy(["a", "b"] * 150, [f"g{i // 2}" if i < 100 else "z" for i in range(300)])
    lone = parted(rows, schema)[lambda t: t["g"] != "z"]
    assert lone["part"].value_counts().to_dict() == pytest.approx({k: v * 100 for k, v in SHARES.items()}, abs=2)


def test_the_seed_decides_and_nothing_else() -> None:
    rows, schema = toy(["a", "b"] * 100)
    assert parted(rows, schema, 3)["part"].tolist() == parted(rows, schema, 3)["part"].tolist()
    assert parted(rows, schema, 3)["part"].tolist() != parted(rows, schema, 4)["part"].tolist()


def test_parts_are_drawn_at_random_within_a_cell() -> None:
    rows, schema = toy(["a", "b"] * 1000)
    positions = parted(rows, schema).groupby("part")["row_id"].mean()
    assert (abs(positions - 999.5) < 120).all()


@pytest.mark.parametrize(("by", "distinct"), [("stratified", 150), ("time", 550)])
def test_copies_share_a_part_whatever_their_label(by: str, distinct: int) -> None:
    rng = np.random.default_rng(0)
    labels, groups = rng.choice(["a", "b"], 600).tolist(), rng.choice(["f", "m"], 600).tolist()
    rows, schema = toy(labels, groups, np.arange(600) % distinct, t=rng.integers(0, 50, 600))
    table = parted(rows, schema, by=by)
    assert table.groupby("x")["y"].nunique().max() == 2
    assert (table.groupby("x")["part"].nunique() == 1).all()


def test_copies_do_not_disturb_the_shares_of_classes_and_parts() -> None:
    rng = np.random.default_rng(0)
    x = rng.zipf(1.6, 5000).clip(max=2000)
    rows, schema = toy(rng.choice(["a", "b"], 5000, p=[0.8, 0.2]).tolist(), None, x)
    _, summary = split_rows(rows, schema, Split(), 0)
    assert summary["copies"]["rows"] > 4000
    for name, share in SHARES.items():
        if name == "train" and summary["copies"]["largest"] > share * 5000:
            continue
        for label, count in rows["y"].value_counts().items():
            assert summary["parts"][name]["classes"][label] == pytest.approx(share * count, rel=0.1)


def test_a_large_block_of_copies_is_said() -> None:
    rows, schema = toy(["a", "b"] * 100, None, np.where(np.arange(200) < 60, -1, np.arange(200)))
    _, summary = split_rows(rows, schema, Split(), 0)
    assert summary["copies"] == {"groups": 1, "rows": 60, "largest": 60}
    assert "Equal in every feature, so that they had to share a part: 60 rows" in summary["notes"][0]


def test_missing_values_count_as_equal() -> None:
    frame = pd.DataFrame(
        {
            "a": [1.0, np.nan, 1.0, np.nan],
            "b": pd.Series(["x", None, "x", None], dtype="str"),
            "c": [b"i", b"j", b"i", b"k"],
        }
    )
    assert same_rows(frame, ["a", "b"]).tolist() == [0, 1, 0, 1]
    assert same_rows(frame, ["a", "b", "c"]).tolist() == [0, 1, 0, 2]
    assert same_rows(frame, []).tolist() == [0, 0, 0, 0]


def test_a_class_with_three_rows_is_named() -> None:
    rows, schema = toy(["a"] * 100 + ["b"] * 100 + ["rare"] * 3)
    with pytest.raises(InputError, match="class 'rare' has 3 rows, 3 of them distinct; 4 parts need at least 4"):
        split_rows(rows, schema, Split(), 0)


def test_a_class_of_copies_is_named() -> None:
    rows, schema = toy(["a"] * 100 + ["rare"] * 9, None, [*range(100), *[200] * 7, 201, 202])
    with pytest.raises(InputError, match="class 'rare' has 9 rows, 3 of them distinct"):
        split_rows(rows, schema, Split(), 0)


@pytest.mark.parametrize("rare", range(4, 12))
def test_a_rare_class_reaches_every_part(rare: int) -> None:
    rows, schema = toy(["a"] * 200 + ["rare"] * rare, ["f", "m"] * ((200 + rare) // 2) + ["f"] * (rare % 2))
    for seed in range(5):
        assert set(parted(rows, schema, seed)[lambda t: t["y"] == "rare"]["part"]) == set(PARTS)


def test_by_time_the_oldest_train_and_the_newest_test() -> None:
    rng = np.random.default_rng(0)
    rows, schema = toy(rng.choice(["a", "b"], 2000).tolist(), t=rng.integers(0, 100, 2000).astype(float))
    spans = parted(rows, schema, by="time").groupby("part")["t"].agg(["min", "max", "size"]).loc[list(PARTS)]
    assert (spans["max"].to_numpy()[:-1] < spans["min"].to_numpy()[1:]).all()
    for name, share in SHARES.items():
        assert spans.loc[name, "size"] / 2000 == pytest.approx(share, abs=0.02)


def test_by_time_with_four_moments_each_is_a_part() -> None:
    rows, schema = toy(["a", "b"] * 100, t=np.repeat([1.0, 2.0, 3.0, 4.0], [170, 10, 10, 10]))
    assert parted(rows, schema, by="time").groupby("t")["part"].unique().map(list).tolist() == [[p] for p in PARTS]


def test_by_time_copies_go_to_the_latest_part_so_that_nothing_learns_from_the_future() -> None:
    x = np.arange(400.0)
    x[0] = x[399]
    rows, schema = toy(["a", "b"] * 200, None, x, t=np.arange(400.0))
    assert parted(rows, schema, by="time")["part"].iloc[[0, 399]].tolist() == ["test", "test"]


@pytest.mark.parametrize(
    ("time", "message"),
    [
        ([1.0, 2.0] * 100, "has 2 different values; four parts need at least 4"),
        ([np.nan, *np.arange(199.0)], "is missing in 1 rows"),
        (None, "no column orders the rows"),
    ],
)
def test_by_time_needs_a_time(time: list[float] | None, message: str) -> None:
    rows, schema = toy(["a", "b"] * 100, **({} if time is None else {"t": time}))
    with pytest.raises(InputError, match=message):
        split_rows(rows, schema, Split(by="time"), 0)


def test_by_time_a_class_that_died_out_is_named() -> None:
    rows, schema = toy(["a", "b"] * 50 + ["a"] * 100, t=np.arange(200.0))
    with pytest.raises(InputError, match="class 'b' has no row in the part 'valid'"):
        split_rows(rows, schema, Split(by="time"), 0)


def test_official_test_rows_are_test_and_the_rest_is_divided() -> None:
    rng = np.random.default_rng(0)
    rows, schema = toy(rng.choice(["a", "b"], 1000).tolist(), official_split=["train"] * 700 + ["test"] * 300)
    table = parted(rows, schema, by="official")
    assert (table["part"] == "test").tolist() == [False] * 700 + [True] * 300
    sizes = table["part"].value_counts()
    for name in PARTS[:3]:
        assert sizes[name] == pytest.approx(700 * SHARES[name] / 0.85, abs=2)


def test_official_training_records_that_are_test_records_too_are_left_out() -> None:
    x = np.arange(1000.0)
    x[[0, 1]] = x[[998, 999]]
    rows, schema = toy(["a", "b"] * 500, None, x, official_split=["train"] * 700 + ["test"] * 300)
    repeated = pd.DataFrame({"row_id": [0, 998], "record": [5, 5]})
    table, summary = split_rows(rows, schema, Split(by="official"), 0, repeated)
    assert 0 not in set(table["row_id"])
    assert summary["left_out"] == 1
    assert "same record is among the test rows: 1 rows" in summary["notes"][0]
    assert "equal to a test row in every feature: 1 rows" in summary["notes"][1]


def test_official_needs_published_parts() -> None:
    rows, schema = toy(["a", "b"] * 100)
    with pytest.raises(InputError, match="'toy' has no published parts"):
        split_rows(rows, schema, Split(by="official"), 0)
    with pytest.raises(InputError, match="all rows are of one published part"):
        split_rows(rows.assign(official_split="train"), schema, Split(by="official"), 0)


def run_stages(
    out: Path, name: str | None, path: Path | None = None, target: str | None = None, **settings: Any
) -> Path:
    """Ingest, then split, as the pipeline does."""
    params = Params.model_construct(
        seed=0,
        data=Data(name=name, path=str(path) if path else None),
        target=TargetParams(column=target),
        sensitive="auto",
        split=Split(**settings),
    )
    ingest.run(params, {}, {"ingest": out / "ingest"})
    split.run(params, {"ingest": out / "ingest"}, {"split": out / "split"})
    return out


def test_the_stage_writes_the_parts_and_their_counts(tmp_path: Path) -> None:
    out = run_stages(tmp_path, "breast_cancer")
    rows = read_rows(out / "ingest")
    summary = json.loads((out / "split/summary.json").read_text())
    for part in PARTS:
        chosen = rows_of(rows, out / "split", part)
        assert len(chosen) == summary["parts"][part]["rows"]
        assert chosen["diagnosis"].value_counts().to_dict() == summary["parts"][part]["classes"]
    first = (out / "split/split.parquet").read_bytes()
    run_stages(tmp_path, "breast_cancer")
    assert (out / "split/split.parquet").read_bytes() == first


def test_a_refused_split_writes_nothing(tmp_path: Path) -> None:
    rows = "".join(f"{i / 7},{'a' if i > 2 else 'rare'}\n" for i in range(100))
    (tmp_path / "shop.csv").write_text("x,y\n" + rows)
    with pytest.raises(InputError, match="class 'rare' has 3 rows"):
        run_stages(tmp_path, None, tmp_path / "shop.csv", "y")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["ingest", "shop.csv"]


@pytest.mark.parametrize(
    ("name", "by"),
    [
        ("adult", "stratified"),
        ("adult", "official"),
        ("compas", "stratified"),
        ("mammography", "stratified"),
        ("mnist-lt", "official"),
    ],
)
def test_real_data(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, by: str) -> None:
    monkeypatch.setenv("EQUIPOISE_MIRROR", str(mirror))
    out = run_stages(tmp_path, name, by=by)
    schema, rows = read_schema(out / "ingest"), read_rows(out / "ingest")
    table = rows.merge(pd.read_parquet(out / "split/split.parquet"), on="row_id")
    table["copy"] = same_rows(table, [c.name for c in schema.features(sensitive=True)])
    learned = table[table["part"] != "test"] if by == "official" else table
    assert (learned.groupby("copy")["part"].nunique() == 1).all()
    if by == "official":
        assert (table["part"].eq("test") == table["official_split"].eq("test")).all()
        assert len(rows) - len(table) == {"adult": 25, "mnist-lt": 0}[name]
    else:
        counts = table.groupby([schema.target.column, "part"]).size().unstack()
        expected = counts.sum(axis=1).to_numpy()[:, None] * np.array([SHARES[p] for p in counts.columns])
        assert (abs(counts - expected) <= np.maximum(2, 0.02 * expected)).all().all()
