"""Ingest of the data sets of the catalogue: bundled ones always, real ones where the mirror is."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from models.errors import InputError
from tasks.params import Sensitive as Group
from tasks.sources.catalog import find_entry
from tasks.sources.download import sum_of
from tasks.sources.read_tables import read_csv

Call = Callable[..., Any]


def test_lending_is_the_default_and_keeps_its_truth_beside_the_data(tmp_path: Path, run: Call, read: Call) -> None:
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
def test_bundled_data_sets_are_always_there(tmp_path: Path, name: str, run: Call, read: Call) -> None:
    rows, schema, card = read(run(tmp_path / "out", name=name))
    assert len(rows) == {"digits": 1797, "breast_cancer": 569}[name]
    assert card["classes"] == rows[schema.target.column].value_counts().reindex(schema.target.classes).to_dict()
    if name == "digits":
        assert rows["image"].iloc[0].startswith(b"\x89PNG")
        assert schema.target.classes == tuple("0123456789")


def test_digits_thin_out_with_the_imbalance_ratio(tmp_path: Path, run: Call, read: Call) -> None:
    _, _, card = read(run(tmp_path / "out", name="digits", imbalance_ratio=20))
    assert list(card["classes"].values()) == [int(174 * 20 ** (-c / 9) + 1e-9) for c in range(10)]


REAL = {
    "adult": (48842, {"<=50K": 37155, ">50K": 11687}, {"sex": 2, "race": 5, "age_group": 4}),
    "compas": (6172, {"not charged again": 3363, "charged again": 2809}, {"race": 6, "sex": 2, "age_cat": 3}),
    "german": (1000, {"good": 700, "bad": 300}, {"sex": 2, "age_group": 2}),
    "mammography": (11183, {"no": 10923, "yes": 260}, {}),
    "abalone-rare": (4177, {"<=7": 839, "8-10": 1891, "11-14": 1083, "15-20": 328, ">20": 36}, {"sex": 3}),
    "acsincome": (665800, {"<=50K": 420286, ">50K": 245514}, {"SEX": 2, "RAC1P": 9, "AGEP_group": 4}),
}


@pytest.mark.parametrize("name", REAL)
def test_real_tables_of_the_catalogue(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, run: Call, read: Call
) -> None:
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
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, ratio: int, run: Call, read: Call
) -> None:
    monkeypatch.setenv("EQUIPOISE_MIRROR", str(mirror))
    rows, schema, card = read(run(tmp_path / "out", name=name, imbalance_ratio=ratio))
    assert list(card["published_parts"]["train"].values()) == [int(5000 * ratio ** (-c / 9) + 1e-9) for c in range(10)]
    assert sum(card["published_parts"]["test"].values()) == 10_000
    assert schema.target.classes == tuple("0123456789")
    assert [c.name for c in schema.features(sensitive=False)] == ["image"]
    assert rows["image"].iloc[0][:4] in (b"\x89PNG", b"\xff\xd8\xff\xe0")


def test_a_ratio_that_the_images_cannot_serve_is_refused(
    mirror: Path, monkeypatch: pytest.MonkeyPatch, refused: Call
) -> None:
    monkeypatch.setenv("EQUIPOISE_MIRROR", str(mirror))
    refused(r"imbalance_ratio: 5 is too small.*10", name="mnist-lt", imbalance_ratio=5)


def test_an_imbalance_ratio_needs_a_long_tail(refused: Call) -> None:
    refused("only for data sets with a long tail", name="breast_cancer", imbalance_ratio=5)


def test_params_apply_over_the_catalogue(tmp_path: Path, run: Call, read: Call) -> None:
    sensitive = (Group(column="mean_radius", bins=(13, 16)),)
    _, schema, _ = read(run(tmp_path / "out", name="breast_cancer", target={"positive": "benign"}, sensitive=sensitive))
    assert schema.target.positive == "benign"
    assert schema.sensitive[0].groups == ("<=13", "(13, 16]", ">16")


PUBLIC_FORMS = {
    "adult/adult.test": ("adult/adult.test", lambda data: b"|1x3 Cross validator\n" + data),
    "german/german.data": ("german/german.csv", lambda data: data.replace(b",", b" ")),
    "abalone/abalone.data": ("abalone/abalone.csv", lambda data: data + b"\n"),
}
"""How the files of the mirror differ from the public ones; the catalogue's sums show that nothing else does."""


@pytest.mark.parametrize("name", ["adult", "german", "abalone", "mammography"])
def test_public_files_give_the_same_rows_as_the_mirror(
    mirror: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, run: Call
) -> None:
    public = find_entry(name).public
    assert public is not None
    for file in public.files:
        source, change = PUBLIC_FORMS.get(file.name, (file.name, lambda data: data))
        path = tmp_path / ".equipoise/downloads" / file.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(change((mirror / source).read_bytes()))
        assert sum_of(path) == file.sha256
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("EQUIPOISE_MIRROR", raising=False)
    run(tmp_path / "public", name=name)
    monkeypatch.setenv("EQUIPOISE_MIRROR", str(mirror.resolve()))
    run(tmp_path / "mirrored", name=name)
    for made in ("rows.parquet", "schema.json"):
        assert (tmp_path / "public" / made).read_bytes() == (tmp_path / "mirrored" / made).read_bytes()


def test_a_public_table_with_more_columns_is_reduced_to_those_of_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "wide.csv").write_text("score,name,score,y\n1,Ada,1,a\n2,Ben,2,b\n")
    frame = read_csv(tmp_path / "wide.csv", name="wide.csv", keep=("y", "score"))
    assert frame.to_dict("list") == {"score": ["1", "2"], "y": ["a", "b"]}
    with pytest.raises(InputError, match=r"wide\.csv: there is no column 'scor'\. Did you mean 'score'\?"):
        read_csv(tmp_path / "wide.csv", name="wide.csv", keep=("y", "scor"))
