"""Bad input: a clear error that names what, where and what to do, and nothing written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from tasks.params import Sensitive as Group

Call = Callable[..., Any]


def test_missing_target_column(table: pd.DataFrame, refused: Call, csv_of: Call) -> None:
    refused(
        r"target\.column: the data have no column 'bougt'\. Did you mean 'bought'\?",
        csv_of(table),
        target={"column": "bougt"},
    )


def test_no_target_named(table: pd.DataFrame, refused: Call, csv_of: Call) -> None:
    refused(r"target\.column: missing", csv_of(table), target={})


def test_sensitive_column_that_does_not_exist(table: pd.DataFrame, refused: Call, csv_of: Call) -> None:
    refused(
        r"sensitive: the data have no column 'sexx'\. Did you mean 'sex'\?",
        csv_of(table),
        sensitive=("sexx",),
    )


def test_one_class_only(table: pd.DataFrame, refused: Call, csv_of: Call) -> None:
    refused(r"target 'bought': only one class, 'no' \(200 rows\)", csv_of(table.assign(bought="no")))


def test_all_missing_column(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, refused: Call, csv_of: Call
) -> None:
    path = csv_of(table.assign(colour=None))
    refused(r"column 'colour': all 200 values are missing.*data\.drop", path)
    assert "colour" not in read(run(tmp_path / "other", path, drop=("colour",)))[0]


def test_mixed_types_in_a_column(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, refused: Call, csv_of: Call
) -> None:
    table["items"] = table["items"].astype(object)
    table.loc[41, "items"] = "many"
    path = csv_of(table)
    refused(
        r"column 'items' mixes numbers and words: row 42 holds 'many'; 1 of 200 values are words, the others numbers",
        path,
    )
    assert "many" in set(read(run(tmp_path / "other", path, columns={"items": "categorical"}))[0]["items"])


def test_words_in_a_column_declared_as_numeric(table: pd.DataFrame, refused: Call, csv_of: Call) -> None:
    refused(
        r"column 'colour' is declared as numeric, but row 1 holds",
        csv_of(table),
        columns={"colour": "numeric"},
    )


def test_duplicate_ids(table: pd.DataFrame, refused: Call, csv_of: Call) -> None:
    table.loc[[7, 9], "customer_id"] = 5000
    refused(
        r"data\.id: 'customer_id' is not unique.*'5000' in the rows 8, 10",
        csv_of(table),
        id="customer_id",
    )


def test_missing_ids(table: pd.DataFrame, refused: Call, csv_of: Call) -> None:
    table["token"] = table["token"].astype(object)
    table.loc[3, "token"] = None
    refused(r"data\.id: 'token' is empty in 1 of 200 rows", csv_of(table), id="token")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_infinite_values(table: pd.DataFrame, tmp_path: Path, suffix: str, refused: Call) -> None:
    table.loc[[4, 6], "amount"] = [np.inf, -np.inf]
    path = tmp_path / f"shop.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    refused(r"column 'amount' has infinite values: 2, the first in row 5", path)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"  \n\n", "is empty"), (b"a,b,bought\n", "header but no rows")]
)
def test_empty_file(tmp_path: Path, content: bytes, message: str, refused: Call) -> None:
    (tmp_path / "shop.csv").write_bytes(content)
    refused(message, tmp_path / "shop.csv")


def test_empty_parquet(table: pd.DataFrame, tmp_path: Path, refused: Call) -> None:
    path = tmp_path / "shop.parquet"
    table.head(0).to_parquet(path)
    refused("columns but no rows", path)


@pytest.mark.parametrize("kept", [0, 10, -200])
def test_truncated_parquet(table: pd.DataFrame, tmp_path: Path, kept: int, refused: Call) -> None:
    path = tmp_path / "shop.parquet"
    table.to_parquet(path)
    path.write_bytes(path.read_bytes()[:kept])
    refused("is empty" if kept == 0 else "not a whole Parquet file.*truncated", path)


def test_csv_in_latin_1(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, refused: Call, csv_of: Call
) -> None:
    table.loc[2, "colour"] = "bläulich"
    path = csv_of(table, encoding="latin-1")
    position = path.read_bytes().index(b"\xe4")
    message = refused(rf"not UTF-8: byte {position} \(0xe4, line 4, near .*LATIN1", path)
    assert "iconv -f LATIN1 -t UTF-8" in message
    path.write_text(path.read_text("latin-1"), "utf-8")
    assert "bläulich" in set(read(run(tmp_path / "other", path))[0]["colour"])


def test_csv_in_utf_16(table: pd.DataFrame, refused: Call, csv_of: Call) -> None:
    refused("byte 0 .*UTF-16", csv_of(table, encoding="utf-16"))


def test_rows_of_uneven_length(tmp_path: Path, refused: Call) -> None:
    (tmp_path / "shop.csv").write_text("a,bought\n1,yes\n2,no,3\n")
    refused(r"not a well-formed CSV with 2 columns \(Row #3: Expected 2 columns, got 3", tmp_path / "shop.csv")


def test_a_column_named_twice(tmp_path: Path, refused: Call) -> None:
    (tmp_path / "shop.csv").write_text("a,a,bought\n1,1,yes\n2,2,no\n")
    refused("the header names 'a' more than once", tmp_path / "shop.csv")


def test_unknown_data_set(refused: Call) -> None:
    refused(r"no data set 'adlut'.*Did you mean 'adult'\?", name="adlut")


def test_wrong_checksum(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refused: Call) -> None:
    spoilt = tmp_path / "mirror/mammography/mammography.csv"
    spoilt.parent.mkdir(parents=True)
    spoilt.write_bytes((mirror / "mammography/mammography.csv").read_bytes()[:-1])
    monkeypatch.setenv("EQUIPOISE_MIRROR", str(tmp_path / "mirror"))
    refused("(?s)mammography.csv.*wrong SHA-256.*expected 7d3dea3f.*found .*unset", name="mammography")


def test_image_folder_without_classes(tmp_path: Path, refused: Call) -> None:
    (tmp_path / "flat").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "flat/1.png")
    refused(r"1\.png is in no class folder", tmp_path / "flat", target={})


def test_unreadable_image(tmp_path: Path, refused: Call) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "pets" / name / "1.png")
    (tmp_path / "pets/dog/2.png").write_bytes(b"\x89PNG and no more")
    refused(r"pets/dog/2\.png: not a readable image", tmp_path / "pets", target={})


def test_reserved_names(
    table: pd.DataFrame, tmp_path: Path, run: Call, read: Call, refused: Call, csv_of: Call
) -> None:
    path = csv_of(table.rename(columns={"items": "weight"}))
    refused(r"'weight' is reserved.*data\.weight: weight", path)
    assert read(run(tmp_path / "other", path, weight="weight"))[1].weight == "weight"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"columns": {"colr": "categorical"}},
            r"data\.columns: the data have no column 'colr'\. Did you mean 'colour'",
        ),
        ({"drop": ("itms",)}, r"data\.drop: the data have no column 'itms'\. Did you mean 'items'"),
        ({"id": "costumer_id"}, r"data\.id: the data have no column"),
        ({"time": "colour"}, r"data\.time: 'colour' is neither a date nor a number"),
        ({"weight": "colour"}, r"data\.weight: 'colour' must hold numbers"),
        ({"weight": "amount"}, r"data\.weight: 'amount' must hold numbers of at least 0, but row 1 holds"),
        ({"id": "bought"}, r"data\.id: 'bought' is the target"),
        ({"sensitive": ("bought",)}, r"sensitive: 'bought' is the target"),
        (
            {"sensitive": ("age",)},
            r"sensitive: 'age' is a number with \d+ values\. Give cut points: \{column: age, bins: \[",
        ),
        ({"sensitive": ("token",)}, r"sensitive: 'token' has 200 groups"),
        ({"sensitive": ("sex", "sex")}, r"'sex' is named more than once"),
        ({"sensitive": (Group(column="age", bins=(50, 30)),)}, r"must be finite and rise"),
        ({"sensitive": (Group(column="colour", bins=(1, 2)),)}, r"'colour' is not numeric"),
        (
            {"target": {"column": "colour", "kind": "regression"}},
            r"target\.kind: regression, but 'colour' does not hold numbers alone",
        ),
        ({"target": {"column": "colour", "kind": "ordinal"}}, r"target\.order: it does not say where"),
        (
            {"target": {"column": "bought", "positive": "yess"}},
            r"target\.positive: 'yess' is not a value.*Did you mean 'yes'",
        ),
        ({"target": {"column": "colour", "kind": "binary"}}, r"target\.kind: binary, but 'colour' has 3 classes"),
        ({"target": {"column": "colour", "positive": "red"}}, r"target\.positive: 'colour' has 3 classes"),
        ({"columns": {"colour": "date"}}, r"column 'colour' is no date"),
    ],
)
def test_impossible_roles_say_what_to_do(
    table: pd.DataFrame, settings: dict[str, Any], message: str, refused: Call, csv_of: Call
) -> None:
    refused(message, csv_of(table), **settings)


def test_no_feature_left(tmp_path: Path, refused: Call) -> None:
    (tmp_path / "shop.csv").write_text(
        "user_id,bought\n" + "".join(f"{i},{'yes' if i % 2 else 'no'}\n" for i in range(30))
    )
    refused(r"no column is left as a feature \(dropped: user_id\)", tmp_path / "shop.csv")


@pytest.mark.parametrize("public", [False, True])
def test_a_published_split_of_a_users_own(
    table: pd.DataFrame, tmp_path: Path, public: bool, run: Call, read: Call, refused: Call, csv_of: Call
) -> None:
    parts = ["train"] * 150 + ["test"] * (50 if public else 49) + ([] if public else ["dev"])
    path = csv_of(table.assign(official_split=parts))
    if public:
        rows, schema, card = read(run(tmp_path / "out", path))
        assert rows["official_split"].tolist() == parts
        assert "official_split" not in {c.name for c in schema.columns}
        assert sum(card["published_parts"]["test"].values()) == 50
    else:
        refused(r"column 'official_split': row 200 holds 'dev'\. Use train or test", path)
