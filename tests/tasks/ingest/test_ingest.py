"""Ingest: any file of the user's own becomes typed rows with a schema and a card, the same bytes every time."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models.schema import Schema
from tasks.params import Sensitive as Group

Call = Callable[..., Any]

ROWS = 200


def kinds(schema: Schema) -> dict[str, str]:
    return {c.name: c.kind for c in schema.columns}


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_users_file_needs_only_path_target_and_sensitive(
    table: pd.DataFrame, tmp_path: Path, suffix: str, run: Call, read: Call
) -> None:
    path = tmp_path / f"shop.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path, index=False)
    rows, schema, card = read(run(tmp_path / "out", path, sensitive=("sex", Group(column="age", bins=(30, 50)))))
    assert kinds(schema) == {
        "customer_id": "identifier", "token": "identifier", "opened": "date", "amount": "numeric", "items": "numeric",
        "band": "ordinal", "colour": "categorical", "member": "categorical", "sex": "categorical", "age": "numeric",
        "bought": "categorical", "age_group": "ordinal",
    }  # fmt: skip
    assert list(rows.columns) == ["row_id", *(c.name for c in schema.columns if c.role != "dropped")]
    assert rows["row_id"].tolist() == list(range(ROWS))
    assert schema.dataset == "shop"
    assert card["source"]["files"] == [
        {"name": f"shop.{suffix}", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    ]
    assert str(tmp_path) not in json.dumps(card)


def test_columns_keep_their_values_and_missing_values(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, csv_of: Call
) -> None:
    rows, schema, _ = read(run(tmp_path / "out", csv_of(table), sensitive=("sex",)))
    np.testing.assert_array_equal(rows["amount"], table["amount"])
    assert rows["items"].dtype == np.float64
    assert rows["opened"].tolist() == pd.to_datetime(table["opened"]).tolist()
    assert rows["colour"].tolist() == table["colour"].tolist()
    band = next(c for c in schema.columns if c.name == "band")
    assert band.categories == ("<18", "18-25", "26-40", "41+")


def test_where_commas_separate_no_columns_they_are_decimal_marks_unless_declared_as_words(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, csv_of: Call
) -> None:
    marks = table.assign(size=[f"{i % 3},5" for i in range(len(table))], pair=[f"{i % 3},5" for i in range(len(table))])
    path = csv_of(marks, sep=";", decimal=",")
    rows, schema, _ = read(run(tmp_path / "out", path, sensitive=("sex",), columns={"pair": "categorical"}))
    assert kinds(schema)["amount"] == "numeric"
    assert kinds(schema)["size"] == "numeric"
    np.testing.assert_array_equal(rows["amount"], table["amount"])
    assert rows["size"].head(3).tolist() == [0.5, 1.5, 2.5]
    assert rows["pair"].head(3).tolist() == ["0,5", "1,5", "2,5"]


def test_identifiers_are_dropped_and_said_so(
    table: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture, run: Call, read: Call, csv_of: Call
) -> None:
    with caplog.at_level("INFO", logger="equipoise"):
        rows, _, card = read(run(tmp_path / "out", csv_of(table)))
    assert not {"customer_id", "token"} & set(rows.columns)
    assert set(card["dropped_columns"]) == {"customer_id", "token"}
    assert "identifier" in card["dropped_columns"]["customer_id"]
    assert "customer_id" in caplog.text


def test_params_overrule_what_was_guessed(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, csv_of: Call
) -> None:
    settings = {
        "columns": {"items": "categorical", "token": "categorical"},
        "drop": ("colour",),
        "id": "customer_id",
        "time": "opened",
    }
    rows, schema, card = read(run(tmp_path / "out", csv_of(table), **settings))
    assert set(rows["items"]) == {str(i) for i in range(9)}
    assert kinds(schema)["token"] == "categorical"
    assert card["dropped_columns"]["colour"] == "left out by data.drop"
    assert "colour" not in rows
    assert schema.identifier == "customer_id"
    assert rows["customer_id"].tolist() == [str(i) for i in table["customer_id"]]
    assert schema.time == "opened"
    assert not {"customer_id", "opened"} & {c.name for c in schema.features(sensitive=True)}


def test_the_rarer_of_two_classes_is_positive_unless_params_say_otherwise(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, csv_of: Call
) -> None:
    path = csv_of(table)
    _, schema, card = read(run(tmp_path / "a", path))
    assert (schema.target.kind, schema.target.classes, schema.target.positive) == ("binary", ("no", "yes"), "yes")
    assert card["imbalance_ratio"] == pytest.approx(card["classes"]["no"] / card["classes"]["yes"], abs=1e-5)
    assert read(run(tmp_path / "b", path, target={"column": "bought", "positive": "no"}))[1].target.positive == "no"
    table["bought"] = (table["bought"] == "yes").astype(int)
    assert (
        read(run(tmp_path / "c", csv_of(table), target={"column": "bought", "positive": 0}))[1].target.positive == "0"
    )


def test_cut_points_turn_a_number_into_classes(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, csv_of: Call
) -> None:
    rows, schema, _ = read(run(tmp_path / "out", csv_of(table), target={"column": "age", "bins": (30, 31, 50)}))
    assert schema.target.classes == ("<=30", "31", "32-50", ">50")
    expected = pd.cut(table["age"], [-np.inf, 30, 31, 50, np.inf], labels=list(schema.target.classes))
    assert rows["age"].tolist() == expected.tolist()
    _, schema, _ = read(run(tmp_path / "real", csv_of(table), target={"column": "amount", "bins": (90, 110.5)}))
    assert schema.target.classes == ("<=90", "(90, 110.5]", ">110.5")


def test_sensitive_attributes_keep_every_row_and_every_declared_group(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, csv_of: Call
) -> None:
    sensitive = (Group(column="sex", values=("F", "M", "X")), Group(column="age", bins=(30, 50, 100)))
    rows, schema, card = read(run(tmp_path / "out", csv_of(table), sensitive=sensitive))
    assert [a.name for a in schema.sensitive] == ["sex", "age_group"]
    assert schema.sensitive[0].groups == ("F", "M", "X", "missing")
    assert (rows["sex"] == "missing").sum() == table["sex"].isna().sum()
    assert card["groups"]["sex"]["X"] == 0
    assert card["groups"]["age_group"][">100"] == 0
    assert sum(card["groups"]["age_group"].values()) == ROWS
    assert {c.name for c in schema.features(sensitive=False)} & {"sex", "age", "age_group"} == set()
    assert {c.name for c in schema.features(sensitive=True)} & {"sex", "age", "age_group"} == {"sex", "age"}


def test_the_card_counts_classes_groups_and_missing_values(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, csv_of: Call
) -> None:
    table["constant"] = "same"
    _, _, card = read(run(tmp_path / "out", csv_of(table), sensitive=("sex", "colour")))
    filled = table.assign(sex=table["sex"].fillna("missing"))
    counts = filled.groupby(["sex", "bought"]).size()
    assert card["class_by_group"]["sex"] == {
        g: {c: int(counts.get((g, c), 0)) for c in ("no", "yes")} for g in ("F", "M", "missing")
    }
    assert card["classes"] == table["bought"].value_counts().to_dict()
    assert card["missing"]["columns"] == {"amount": 0.1}
    by_group = table["amount"].isna().groupby(filled["sex"]).mean()
    assert card["missing"]["groups"]["sex"]["F"]["amount"] == pytest.approx(by_group["F"], abs=1e-6)
    assert card["intersections"]["attribute"] == "sex & colour"
    assert sum(g["rows"] for g in card["intersections"]["groups"].values()) == ROWS
    assert any("'constant' has the same value" in note for note in card["notes"])


def test_rows_without_a_label_are_left_out_and_counted(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, csv_of: Call
) -> None:
    table.loc[[3, 5], "bought"] = None
    rows, _, card = read(run(tmp_path / "out", csv_of(table)))
    assert card["rows_left_out"] == [{"rows": 2, "why": "no value in the target 'bought'"}]
    assert (card["rows"], card["rows_read"]) == (ROWS - 2, ROWS)
    assert rows["row_id"].tolist() == [i for i in range(ROWS) if i not in (3, 5)]


def test_a_cap_draws_by_class_with_the_seed(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, csv_of: Call
) -> None:
    path = csv_of(pd.concat([table] * 5, ignore_index=True).drop(columns=["customer_id", "token"]))
    first, _, card = read(run(tmp_path / "a", path, rows=300))
    again, _, _ = read(run(tmp_path / "b", path, rows=300))
    full, _, _ = read(run(tmp_path / "c", path))
    assert len(first) == 300
    pd.testing.assert_frame_equal(first, again)
    share = (full["bought"] == "yes").mean()
    assert (first["bought"] == "yes").mean() == pytest.approx(share, abs=0.01)
    chosen = full[full["row_id"].isin(first["row_id"])].reset_index(drop=True)
    pd.testing.assert_frame_equal(first, chosen)
    assert first["row_id"].is_monotonic_increasing
    assert card["rows_left_out"][0]["rows"] == len(full) - 300


def test_weights_are_carried_and_never_a_feature(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, csv_of: Call
) -> None:
    rows, schema, _ = read(run(tmp_path / "out", csv_of(table), weight="items"))
    assert rows["weight"].tolist() == table["items"].tolist()
    assert schema.weight == "weight"
    assert "items" not in rows
    assert not {"weight", "items"} & {c.name for c in schema.features(sensitive=True)}


def test_the_same_input_gives_the_same_bytes(table: pd.DataFrame, tmp_path: Path, run: Call, csv_of: Call) -> None:
    path = csv_of(table)
    for out in ("a", "b"):
        run(tmp_path / out, path, sensitive=("sex",))
    for name in ("rows.parquet", "schema.json", "card.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_quotes_blanks_and_missing_marks_of_a_csv(
    tmp_path: Path, separator: str, run: Call, read: Call
) -> None:
    lines = [
        ["a", "b ", "y"],
        ["1", '"x, y; z"', "no"],
        ["?", " N/A", "yes"],
        [" 3", '"line\nbreak"', "no"],
        ["4", "w", "yes"],
    ]
    path = tmp_path / "odd.csv"
    path.write_bytes(b"\xef\xbb\xbf" + "\r\n".join(separator.join(line) for line in lines).encode())
    rows, _, _ = read(run(tmp_path / "out", path, target={"column": "y"}))
    np.testing.assert_array_equal(rows["a"], [1, np.nan, 3, 4])
    assert rows["b"].iloc[0] == "x, y; z"
    assert rows["b"].isna().tolist() == [False, True, False, False]


def test_an_ordered_parquet_column_keeps_its_order_and_large_ids_stay_apart(
    tmp_path: Path, run: Call, read: Call
) -> None:
    size = pd.Categorical(["small", "large", "middle"] * 20, ["small", "middle", "large"], ordered=True)
    ids = [2**60 + i for i in range(60)]
    path = tmp_path / "sizes.parquet"
    pd.DataFrame({"size": size, "number": ids, "flag": [True, False] * 30, "y": ["a", "b"] * 30}).to_parquet(path)
    rows, schema, _ = read(run(tmp_path / "out", path, target={"column": "y"}, id="number"))
    assert next(c for c in schema.columns if c.name == "size").categories == ("small", "middle", "large")
    assert rows["number"].tolist() == [str(i) for i in ids]
    assert set(rows["flag"]) == {"true", "false"}


def test_a_folder_of_images_with_groups_from_its_metadata(tmp_path: Path, run: Call, read: Call) -> None:
    lines = ["file_name,owner,camera"]
    for i in range(12):
        name = f"{'cat' if i % 3 else 'dog'}/{i}.png"
        (tmp_path / "pets" / name).parent.mkdir(parents=True, exist_ok=True)
        Image.new("L", (4, 4), i).save(tmp_path / "pets" / name)
        lines.append(f"{name},{'Ada' if i % 2 else 'Ben'},old")
    (tmp_path / "pets/metadata.csv").write_text("\n".join(lines))
    rows, schema, card = read(run(tmp_path / "out", tmp_path / "pets", target={}, sensitive=("owner",)))
    assert list(rows.columns) == ["row_id", "image", "class", "owner"]
    assert [c.name for c in schema.features(sensitive=False)] == ["image"]
    assert schema.target.classes == ("cat", "dog")
    assert card["groups"] == {"owner": {"Ada": 6, "Ben": 6}}
    assert "reads the image alone" in card["dropped_columns"]["camera"]


def test_rows_of_a_window_of_time_are_kept_and_the_others_counted(
    table: pd.DataFrame, csv_of: Call, run: Call, read: Call, tmp_path: Path, refused: Call
) -> None:
    source = csv_of(table)
    rows, _, card = read(run(tmp_path / "window", source, time="opened", since="2024-03-01", until="2024-07-01"))
    wanted = table["opened"].between("2024-03-01", "2024-06-30")
    assert rows["amount"].tolist() == pytest.approx(table.loc[wanted, "amount"].tolist(), nan_ok=True)
    assert card["rows_left_out"] == [
        {"rows": int((~wanted).sum()), "why": "outside of 2024-03-01 to 2024-07-01 by 'opened'"}
    ]
    refused("data.since and data.until need a column", source, since="2024-03-01")
    shutil.rmtree(tmp_path / "out")
    refused("no row is from 2030-01-01 to the end", source, time="opened", since="2030-01-01")
    shutil.rmtree(tmp_path / "out")
    refused("'colour' holds no dates", source, time="colour", since="2024-03-01")
