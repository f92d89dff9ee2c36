"""Ingest: any source becomes typed rows with a schema and a card; a bad one is a clear error and writes nothing."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from models.errors import InputError
from models.schema import Schema
from tasks import ingest
from tasks.params import Data, Params, Target
from tasks.params import Sensitive as Group

ROWS = 200


@pytest.fixture
def table() -> pd.DataFrame:
    """A small table of every kind of column."""
    rng = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "customer_id": rng.permutation(ROWS) + 1000,
            "token": [hashlib.sha256(bytes([i])).hexdigest()[:8] + "x" for i in range(ROWS)],
            "opened": [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(ROWS)],
            "amount": np.where(np.arange(ROWS) % 10 == 0, np.nan, rng.normal(100, 20, ROWS).round(2)),
            "items": rng.integers(0, 9, ROWS),
            "band": rng.choice(["18-25", "26-40", "41+", "<18"], ROWS),
            "colour": rng.choice(["red", "green", "blue"], ROWS),
            "member": rng.choice(["true", "false"], ROWS),
            "sex": np.where(np.arange(ROWS) % 17 == 0, None, rng.choice(["F", "M"], ROWS)),
            "age": rng.integers(18, 80, ROWS),
            "bought": np.where(rng.random(ROWS) < 0.2, "yes", "no"),
        }
    )


def run(out: Path, source: Path | str | None = None, **settings: Any) -> Path:
    """Run the stage; `target` and `sensitive` are their sections, the rest is the section data."""
    target = Target(**settings.pop("target", {"column": "bought"} if source else {}))
    sensitive = settings.pop("sensitive", "auto")
    data = Data(path=str(source), **settings) if source else Data(**settings)
    params = Params.model_construct(seed=0, data=data, target=target, sensitive=sensitive)
    ingest.run(params, {}, {"ingest": out})
    return out


def read(folder: Path) -> tuple[pd.DataFrame, Schema, dict[str, Any]]:
    schema = Schema.model_validate(json.loads((folder / "schema.json").read_text()))
    return pd.read_parquet(folder / "rows.parquet"), schema, json.loads((folder / "card.json").read_text())


def kinds(schema: Schema) -> dict[str, str]:
    return {c.name: c.kind for c in schema.columns}


def refused(tmp_path: Path, message: str, source: Path | str | None = None, **settings: Any) -> str:
    """The stage fails with this message, and what stood in its output folder stands there untouched."""
    out = tmp_path / "out"
    out.mkdir()
    (out / "rows.parquet").write_text("older")
    with pytest.raises(InputError, match=message) as caught:
        run(out, source, **settings)
    assert [p.name for p in tmp_path.glob("*.tmp")] == []
    assert [p.name for p in out.iterdir()] == ["rows.parquet"]
    assert (out / "rows.parquet").read_text() == "older"
    return str(caught.value)


def csv_of(table: pd.DataFrame, folder: Path, **settings: Any) -> Path:
    path = folder / "shop.csv"
    table.to_csv(path, index=False, **settings)
    return path


# --- what comes out ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_a_users_file_needs_only_path_target_and_sensitive(table: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
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


def test_columns_keep_their_values_and_missing_values(table: pd.DataFrame, tmp_path: Path) -> None:
    rows, schema, _ = read(run(tmp_path / "out", csv_of(table, tmp_path), sensitive=("sex",)))
    np.testing.assert_array_equal(rows["amount"], table["amount"])
    assert rows["items"].dtype == np.float64
    assert rows["opened"].tolist() == pd.to_datetime(table["opened"]).tolist()
    assert rows["colour"].tolist() == table["colour"].tolist()
    band = next(c for c in schema.columns if c.name == "band")
    assert band.categories == ("<18", "18-25", "26-40", "41+")


def test_identifiers_are_dropped_and_said_so(
    table: pd.DataFrame, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level("INFO", logger="equipoise"):
        rows, _, card = read(run(tmp_path / "out", csv_of(table, tmp_path)))
    assert not {"customer_id", "token"} & set(rows.columns)
    assert set(card["dropped_columns"]) == {"customer_id", "token"}
    assert "identifier" in card["dropped_columns"]["customer_id"]
    assert "customer_id" in caplog.text


def test_params_overrule_what_was_guessed(table: pd.DataFrame, tmp_path: Path) -> None:
    settings = {
        "columns": {"items": "categorical", "token": "categorical"},
        "drop": ("colour",),
        "id": "customer_id",
        "time": "opened",
    }
    rows, schema, card = read(run(tmp_path / "out", csv_of(table, tmp_path), **settings))
    assert set(rows["items"]) == {str(i) for i in range(9)}
    assert kinds(schema)["token"] == "categorical"
    assert card["dropped_columns"]["colour"] == "left out by data.drop"
    assert "colour" not in rows
    assert schema.identifier == "customer_id"
    assert rows["customer_id"].tolist() == [str(i) for i in table["customer_id"]]
    assert schema.time == "opened"
    assert not {"customer_id", "opened"} & {c.name for c in schema.features(sensitive=True)}


def test_the_rarer_of_two_classes_is_positive_unless_params_say_otherwise(table: pd.DataFrame, tmp_path: Path) -> None:
    path = csv_of(table, tmp_path)
    _, schema, card = read(run(tmp_path / "a", path))
    assert (schema.target.kind, schema.target.classes, schema.target.positive) == ("binary", ("no", "yes"), "yes")
    assert card["imbalance_ratio"] == pytest.approx(card["classes"]["no"] / card["classes"]["yes"], abs=1e-5)
    assert read(run(tmp_path / "b", path, target={"column": "bought", "positive": "no"}))[1].target.positive == "no"
    table["bought"] = (table["bought"] == "yes").astype(int)
    assert (
        read(run(tmp_path / "c", csv_of(table, tmp_path), target={"column": "bought", "positive": 0}))[
            1
        ].target.positive
        == "0"
    )


def test_cut_points_turn_a_number_into_classes(table: pd.DataFrame, tmp_path: Path) -> None:
    rows, schema, _ = read(
        run(tmp_path / "out", csv_of(table, tmp_path), target={"column": "age", "bins": (30, 31, 50)})
    )
    assert schema.target.classes == ("<=30", "31", "32-50", ">50")
    expected = pd.cut(table["age"], [-np.inf, 30, 31, 50, np.inf], labels=list(schema.target.classes))
    assert rows["age"].tolist() == expected.tolist()
    _, schema, _ = read(
        run(tmp_path / "real", csv_of(table, tmp_path), target={"column": "amount", "bins": (90, 110.5)})
    )
    assert schema.target.classes == ("<=90", "(90, 110.5]", ">110.5")


def test_sensitive_attributes_keep_every_row_and_every_declared_group(table: pd.DataFrame, tmp_path: Path) -> None:
    sensitive = (Group(column="sex", values=("F", "M", "X")), Group(column="age", bins=(30, 50, 100)))
    rows, schema, card = read(run(tmp_path / "out", csv_of(table, tmp_path), sensitive=sensitive))
    assert [a.name for a in schema.sensitive] == ["sex", "age_group"]
    assert schema.sensitive[0].groups == ("F", "M", "X", "missing")
    assert (rows["sex"] == "missing").sum() == table["sex"].isna().sum()
    assert card["groups"]["sex"]["X"] == 0
    assert card["groups"]["age_group"][">100"] == 0
    assert sum(card["groups"]["age_group"].values()) == ROWS
    assert {c.name for c in schema.features(sensitive=False)} & {"sex", "age", "age_group"} == set()
    assert {c.name for c in schema.features(sensitive=True)} & {"sex", "age", "age_group"} == {"sex", "age"}


def test_the_card_counts_classes_groups_and_missing_values(table: pd.DataFrame, tmp_path: Path) -> None:
    table["constant"] = "same"
    _, _, card = read(run(tmp_path / "out", csv_of(table, tmp_path), sensitive=("sex", "colour")))
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


def test_rows_without_a_label_are_left_out_and_counted(table: pd.DataFrame, tmp_path: Path) -> None:
    table.loc[[3, 5], "bought"] = None
    rows, _, card = read(run(tmp_path / "out", csv_of(table, tmp_path)))
    assert card["rows_left_out"] == [{"rows": 2, "why": "no value in the target 'bought'"}]
    assert (card["rows"], card["rows_read"]) == (ROWS - 2, ROWS)
    assert rows["row_id"].tolist() == [i for i in range(ROWS) if i not in (3, 5)]


def test_a_cap_draws_by_class_with_the_seed(table: pd.DataFrame, tmp_path: Path) -> None:
    path = csv_of(pd.concat([table] * 5, ignore_index=True).drop(columns=["customer_id", "token"]), tmp_path)
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


def test_weights_are_carried_and_never_a_feature(table: pd.DataFrame, tmp_path: Path) -> None:
    rows, schema, _ = read(run(tmp_path / "out", csv_of(table, tmp_path), weight="items"))
    assert rows["weight"].tolist() == table["items"].tolist()
    assert schema.weight == "weight"
    assert "items" not in rows
    assert not {"weight", "items"} & {c.name for c in schema.features(sensitive=True)}


def test_the_same_input_gives_the_same_bytes(table: pd.DataFrame, tmp_path: Path) -> None:
    path = csv_of(table, tmp_path)
    for out in ("a", "b"):
        run(tmp_path / out, path, sensitive=("sex",))
    for name in ("rows.parquet", "schema.json", "card.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_separators_quotes_blanks_and_missing_marks_of_a_csv(tmp_path: Path, separator: str) -> None:
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


def test_an_ordered_parquet_column_keeps_its_order_and_large_ids_stay_apart(tmp_path: Path) -> None:
    size = pd.Categorical(["small", "large", "middle"] * 20, ["small", "middle", "large"], ordered=True)
    ids = [2**60 + i for i in range(60)]
    path = tmp_path / "sizes.parquet"
    pd.DataFrame({"size": size, "number": ids, "flag": [True, False] * 30, "y": ["a", "b"] * 30}).to_parquet(path)
    rows, schema, _ = read(run(tmp_path / "out", path, target={"column": "y"}, id="number"))
    assert next(c for c in schema.columns if c.name == "size").categories == ("small", "middle", "large")
    assert rows["number"].tolist() == [str(i) for i in ids]
    assert set(rows["flag"]) == {"true", "false"}


def test_a_folder_of_images_with_groups_from_its_metadata(tmp_path: Path) -> None:
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


# --- the catalogue -----------------------------------------------------------------------------------------------


def test_lending_is_the_default_and_keeps_its_truth_beside_the_data(tmp_path: Path) -> None:
    out = run(tmp_path / "out")
    rows, schema, card = read(out)
    truth = pd.read_parquet(out / "truth.parquet")
    assert len(rows) == 60_000
    assert [a.name for a in schema.sensitive] == ["sex", "age_band", "region"]
    assert truth["row_id"].equals(rows["row_id"])
    assert not {"probability", "unbiased_label", "label_was_biased"} & set(rows.columns)
    assert card["declared"]["biased_labels"]["against"] == {"sex": "Female"}
    assert schema.time == "application_date"
    assert {"age", "age_band", "sex", "region"} & {c.name for c in schema.features(sensitive=False)} == set()
    capped = run(tmp_path / "capped", rows=2000)
    assert pd.read_parquet(capped / "truth.parquet")["row_id"].equals(read(capped)[0]["row_id"])


@pytest.mark.parametrize("name", ["digits", "breast_cancer"])
def test_bundled_data_sets_are_always_there(tmp_path: Path, name: str) -> None:
    rows, schema, card = read(run(tmp_path / "out", name=name))
    assert len(rows) == {"digits": 1797, "breast_cancer": 569}[name]
    assert card["classes"] == rows[schema.target.column].value_counts().reindex(schema.target.classes).to_dict()
    if name == "digits":
        assert rows["image"].iloc[0].startswith(b"\x89PNG")
        assert schema.target.classes == tuple("0123456789")


def test_digits_thin_out_with_the_imbalance_ratio(tmp_path: Path) -> None:
    _, _, card = read(run(tmp_path / "out", name="digits", imbalance_ratio=20))
    assert list(card["classes"].values()) == [int(174 * 20 ** (-c / 9) + 1e-9) for c in range(10)]


REAL = {
    "adult": (48842, {"<=50K": 37155, ">50K": 11687}, {"sex": 2, "race": 5, "age_group": 4}),
    "compas": (6172, {"not charged again": 3363, "charged again": 2809}, {"race": 6, "sex": 2, "age_cat": 3}),
    "german": (1000, {"good": 700, "bad": 300}, {"sex": 2, "age_group": 2}),
    "mammography": (11183, {"no": 10923, "yes": 260}, {}),
    "abalone": (4177, {"<=7": 839, "8-10": 1891, "11-14": 1083, "15-20": 328, ">20": 36}, {"sex": 3}),
    "acsincome": (665800, {"<=50K": 420286, ">50K": 245514}, {"SEX": 2, "RAC1P": 9, "AGEP_group": 4}),
}


@pytest.mark.parametrize("name", REAL)
def test_real_tables_of_the_catalogue(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    monkeypatch.setenv("EQUIPOISE_MIRROR", str(mirror))
    rows, schema, card = read(run(tmp_path / "out", name=name))
    count, classes, groups = REAL[name]
    assert len(rows) == count
    assert card["classes"] == classes
    assert {a.name: len(a.groups) for a in schema.sensitive} == groups
    assert set(rows[schema.target.column]) == set(schema.target.classes)
    assert not {"decile_score", "is_recid", "fnlwgt", "index", "personal_status"} & set(rows.columns)
    if name == "adult":
        assert rows["official_split"].value_counts().to_dict() == {"train": 32561, "test": 16281}
        assert rows["workclass"].isna().sum() == 2799
    if name == "compas":
        assert card["groups"]["race"]["Native American"] == 11


@pytest.mark.parametrize("name", ["mnist-lt", "cifar10-lt"])
@pytest.mark.parametrize("ratio", [10, 100])
def test_real_images_have_the_nested_tail(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, ratio: int
) -> None:
    monkeypatch.setenv("EQUIPOISE_MIRROR", str(mirror))
    rows, schema, card = read(run(tmp_path / "out", name=name, imbalance_ratio=ratio))
    assert list(card["published_parts"]["train"].values()) == [int(5000 * ratio ** (-c / 9) + 1e-9) for c in range(10)]
    assert sum(card["published_parts"]["test"].values()) == 10_000
    assert schema.target.classes == tuple("0123456789")
    assert [c.name for c in schema.features(sensitive=False)] == ["image"]
    assert rows["image"].iloc[0][:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0")


def test_a_ratio_that_the_images_cannot_serve_is_refused(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EQUIPOISE_MIRROR", str(mirror))
    refused(tmp_path, r"imbalance_ratio: 5 is too small.*10", name="mnist-lt", imbalance_ratio=5)


def test_an_imbalance_ratio_needs_a_long_tail(tmp_path: Path) -> None:
    refused(tmp_path, "only for data sets with a long tail", name="breast_cancer", imbalance_ratio=5)


def test_params_apply_over_the_catalogue(tmp_path: Path) -> None:
    sensitive = (Group(column="mean_radius", bins=(13, 16)),)
    _, schema, _ = read(run(tmp_path / "out", name="breast_cancer", target={"positive": "benign"}, sensitive=sensitive))
    assert schema.target.positive == "benign"
    assert schema.sensitive[0].groups == ("<=13", "(13, 16]", ">16")


# --- bad input ---------------------------------------------------------------------------------------------------


def test_missing_target_column(table: pd.DataFrame, tmp_path: Path) -> None:
    refused(
        tmp_path,
        r"target\.column: the data have no column 'bougt'\. Did you mean 'bought'\?",
        csv_of(table, tmp_path),
        target={"column": "bougt"},
    )


def test_no_target_named(table: pd.DataFrame, tmp_path: Path) -> None:
    refused(tmp_path, r"target\.column: missing", csv_of(table, tmp_path), target={})


def test_sensitive_column_that_does_not_exist(table: pd.DataFrame, tmp_path: Path) -> None:
    refused(
        tmp_path,
        r"sensitive: the data have no column 'sexx'\. Did you mean 'sex'\?",
        csv_of(table, tmp_path),
        sensitive=("sexx",),
    )


def test_one_class_only(table: pd.DataFrame, tmp_path: Path) -> None:
    refused(
        tmp_path, r"target 'bought': only one class, 'no' \(200 rows\)", csv_of(table.assign(bought="no"), tmp_path)
    )


def test_all_missing_column(table: pd.DataFrame, tmp_path: Path) -> None:
    path = csv_of(table.assign(colour=None), tmp_path)
    refused(tmp_path, r"column 'colour': all 200 values are missing.*data\.drop", path)
    assert "colour" not in read(run(tmp_path / "other", path, drop=("colour",)))[0]


def test_mixed_types_in_a_column(table: pd.DataFrame, tmp_path: Path) -> None:
    table["items"] = table["items"].astype(object)
    table.loc[41, "items"] = "many"
    path = csv_of(table, tmp_path)
    refused(
        tmp_path,
        r"column 'items' mixes numbers and words: row 42 holds 'many'; 1 values are words, 199 are numbers",
        path,
    )
    assert "many" in set(read(run(tmp_path / "other", path, columns={"items": "categorical"}))[0]["items"])


def test_words_in_a_column_declared_as_numeric(table: pd.DataFrame, tmp_path: Path) -> None:
    refused(
        tmp_path,
        r"column 'colour' is declared as numeric, but row 1 holds",
        csv_of(table, tmp_path),
        columns={"colour": "numeric"},
    )


def test_duplicate_ids(table: pd.DataFrame, tmp_path: Path) -> None:
    table.loc[[7, 9], "customer_id"] = 5000
    refused(
        tmp_path,
        r"data\.id: 'customer_id' is not unique.*'5000' in the rows 8, 10",
        csv_of(table, tmp_path),
        id="customer_id",
    )


def test_missing_ids(table: pd.DataFrame, tmp_path: Path) -> None:
    table["token"] = table["token"].astype(object)
    table.loc[3, "token"] = None
    refused(tmp_path, r"data\.id: 'token' has 1 missing values", csv_of(table, tmp_path), id="token")


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_infinite_values(table: pd.DataFrame, tmp_path: Path, suffix: str) -> None:
    table.loc[[4, 6], "amount"] = [np.inf, -np.inf]
    path = tmp_path / f"shop.{suffix}"
    table.to_csv(path, index=False) if suffix == "csv" else table.to_parquet(path)
    refused(tmp_path, r"column 'amount': 2 infinite values, the first in row 5", path)


@pytest.mark.parametrize(
    ("content", "message"), [(b"", "is empty"), (b"  \n\n", "is empty"), (b"a,b,bought\n", "header but no rows")]
)
def test_empty_file(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "shop.csv").write_bytes(content)
    refused(tmp_path, message, tmp_path / "shop.csv")


def test_empty_parquet(table: pd.DataFrame, tmp_path: Path) -> None:
    path = tmp_path / "shop.parquet"
    table.head(0).to_parquet(path)
    refused(tmp_path, "columns but no rows", path)


@pytest.mark.parametrize("kept", [0, 10, -200])
def test_truncated_parquet(table: pd.DataFrame, tmp_path: Path, kept: int) -> None:
    path = tmp_path / "shop.parquet"
    table.to_parquet(path)
    path.write_bytes(path.read_bytes()[:kept])
    refused(tmp_path, "is empty" if kept == 0 else "not a whole Parquet file.*truncated", path)


def test_csv_in_latin_1(table: pd.DataFrame, tmp_path: Path) -> None:
    table.loc[2, "colour"] = "bläulich"
    path = csv_of(table, tmp_path, encoding="latin-1")
    position = path.read_bytes().index(b"\xe4")
    message = refused(tmp_path, rf"not UTF-8: byte {position} \(0xe4, line 4, near .*LATIN1", path)
    assert "iconv -f LATIN1 -t UTF-8" in message
    path.write_text(path.read_text("latin-1"), "utf-8")
    assert "bläulich" in set(read(run(tmp_path / "other", path))[0]["colour"])


def test_csv_in_utf_16(table: pd.DataFrame, tmp_path: Path) -> None:
    refused(tmp_path, "byte 0 .*UTF-16", csv_of(table, tmp_path, encoding="utf-16"))


def test_rows_of_uneven_length(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("a,bought\n1,yes\n2,no,3\n")
    refused(
        tmp_path, r"not a well-formed CSV with 2 columns \(Row #3: Expected 2 columns, got 3", tmp_path / "shop.csv"
    )


def test_a_column_named_twice(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text("a,a,bought\n1,1,yes\n2,2,no\n")
    refused(tmp_path, "the header names 'a' more than once", tmp_path / "shop.csv")


def test_unknown_data_set(tmp_path: Path) -> None:
    refused(tmp_path, r"no data set 'adlut'.*Did you mean 'adult'\?", name="adlut")


def test_wrong_checksum(mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    spoilt = tmp_path / "mirror/mammography/mammography.csv"
    spoilt.parent.mkdir(parents=True)
    spoilt.write_bytes((mirror / "mammography/mammography.csv").read_bytes()[:-1])
    monkeypatch.setenv("EQUIPOISE_MIRROR", str(tmp_path / "mirror"))
    refused(tmp_path, "(?s)mammography.csv.*wrong SHA-256.*expected 7d3dea3f.*found .*unset", name="mammography")


def test_image_folder_without_classes(tmp_path: Path) -> None:
    (tmp_path / "flat").mkdir()
    Image.new("L", (4, 4)).save(tmp_path / "flat/1.png")
    refused(tmp_path, r"1\.png is in no class folder", tmp_path / "flat", target={})


def test_unreadable_image(tmp_path: Path) -> None:
    for name in ("cat", "dog"):
        (tmp_path / "pets" / name).mkdir(parents=True)
        Image.new("L", (4, 4)).save(tmp_path / "pets" / name / "1.png")
    (tmp_path / "pets/dog/2.png").write_bytes(b"\x89PNG and no more")
    refused(tmp_path, r"pets/dog/2\.png: not a readable image", tmp_path / "pets", target={})


def test_reserved_names(table: pd.DataFrame, tmp_path: Path) -> None:
    path = csv_of(table.rename(columns={"items": "weight"}), tmp_path)
    refused(tmp_path, r"'weight' is reserved.*data\.weight: weight", path)
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
            {"target": {"column": "amount"}},
            r"target 'amount': a number with \d+ values\. Cut it into classes with target\.bins",
        ),
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
    table: pd.DataFrame, tmp_path: Path, settings: dict[str, Any], message: str
) -> None:
    refused(tmp_path, message, csv_of(table, tmp_path), **settings)


def test_no_feature_left(tmp_path: Path) -> None:
    (tmp_path / "shop.csv").write_text(
        "user_id,bought\n" + "".join(f"{i},{'yes' if i % 2 else 'no'}\n" for i in range(30))
    )
    refused(tmp_path, r"no column is left as a feature \(dropped: user_id\)", tmp_path / "shop.csv")
