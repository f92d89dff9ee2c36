"""The resample stage: which tables it writes, from which rows, and what its summary says."""

import filecmp
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from models.errors import InputError
from models.schema import Attribute, Column, Schema, Target
from tasks.ingest import STAGE as INGEST
from tasks.params import Params, parse_params
from tasks.parts import read_schema
from tasks.resample import STAGE
from tasks.sources.parquet import write_parquet
from tasks.split import STAGE as SPLIT
from tasks.stage import read_json, write_json
from tasks.start import STAGE as START
from tasks.validate import STAGE as VALIDATE
from tests.tasks.conftest import nothing_to_learn_from

CLASSES, GROUPS, COUNT = ("no", "yes"), ("A", "B", "never seen"), 400


def params(*recipes: object, **sections: object) -> Params:
    rules = [{"metric": "balanced_accuracy", "at_least": 0.6}]
    return parse_params({"search": {"recipes": list(recipes)}, "gates": {"rules": rules}, **sections})


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A working copy with the outputs of ingest and split; part of a row depends on its id alone."""
    random = np.random.default_rng(0)
    rows = pd.DataFrame(
        {
            "row_id": np.arange(COUNT) + 1000,
            "income": random.lognormal(8, 1, COUNT),
            "city": random.choice(["Bern", "Rome"], COUNT),
            "sex": random.choice(["A", "B"], COUNT, p=[0.8, 0.2]),
            "default": np.where(random.random(COUNT) < 0.15, "yes", "no"),
        }
    )
    rows.loc[:5, "income"] = np.nan
    schema = Schema(
        dataset="small",
        columns=(
            Column(name="income", kind="numeric", role="feature"),
            Column(name="city", kind="categorical", role="feature", categories=("Bern", "Rome")),
            Column(name="sex", kind="categorical", role="sensitive", categories=GROUPS),
            Column(name="default", kind="categorical", role="target", feature=False, categories=CLASSES),
        ),
        target=Target(column="default", kind="binary", classes=CLASSES),
        sensitive=(Attribute(name="sex", groups=GROUPS),),
    )
    write_parquet(tmp_path / "data/ingest/rows.parquet", rows)
    write_json(tmp_path / "data/ingest/schema.json", schema.model_dump())
    nothing_to_learn_from(tmp_path)
    part = np.resize(["train", "train", "train", "valid", "calib", "test"], COUNT)
    write_parquet(tmp_path / "data/split/split.parquet", pd.DataFrame({"row_id": rows["row_id"], "part": part}))
    return tmp_path


def tables(root: Path) -> dict[str, pd.DataFrame]:
    return {p.stem: pd.read_parquet(p) for p in sorted((root / "data/resample").glob("*.parquet"))}


def test_a_table_for_each_resampler_that_a_recipe_names_and_no_other(root):
    STAGE.execute(params("none", "smote", {"resample": "smote", "loss": "focal"}, {"resample": "random_under"}), root)
    assert set(tables(root)) == {"smote", "random_under"}
    summary = read_json(root / "data/resample/summary.json")
    assert set(summary["resamplers"]) == {"smote", "random_under"}


def test_a_search_without_resamplers_has_a_summary_alone(root):
    STAGE.execute(params("none", "focal"), root)
    assert tables(root) == {}
    assert read_json(root / "data/resample/summary.json")["resamplers"] == {}


def test_tables_of_an_earlier_search_do_not_stay(root):
    STAGE.execute(params("random_over"), root)
    STAGE.execute(params("smote"), root)
    assert set(tables(root)) == {"smote"}


def test_no_row_of_another_part_appears_and_none_shapes_a_synthetic_row(root):
    STAGE.execute(params("random_over", "random_under", "smote"), root)
    before = tables(root)
    parts = pd.read_parquet(root / "data/split/split.parquet")
    train = set(parts.loc[parts["part"] == "train", "row_id"])
    for table in before.values():
        assert set(table["row_id"]) <= train
        assert set(table["neighbour_row_id"]) <= train | {-1}
    rows = pd.read_parquet(root / "data/ingest/rows.parquet")
    rows.loc[~rows["row_id"].isin(train), "income"] *= 1000
    write_parquet(root / "data/ingest/rows.parquet", rows)
    STAGE.execute(params("random_over", "random_under", "smote"), root)
    for name, table in tables(root).items():
        pd.testing.assert_frame_equal(table, before[name])


def test_the_summary_counts_classes_and_groups_before_and_after(root):
    STAGE.execute(params("random_over", "random_under", "smote"), root)
    summary = read_json(root / "data/resample/summary.json")
    before = summary["before"]
    assert before["rows"] == 201
    assert before["groups"]["sex"]["never seen"] == {"no": 0, "yes": 0}
    assert sum(before["groups"]["sex"][g]["yes"] for g in GROUPS) == before["classes"]["yes"]
    for name, table in tables(root).items():
        after = summary["resamplers"][name]
        assert after["rows"] == len(table)
        assert after["classes"] == table["default"].value_counts()[list(CLASSES)].to_dict()
        for group in ("A", "B"):
            assert after["groups"]["sex"][group]["yes"] == ((table["sex"] == group) & (table["default"] == "yes")).sum()
    gap = before["classes"]["no"] - before["classes"]["yes"]
    over, under, smote = (summary["resamplers"][n] for n in ("random_over", "random_under", "smote"))
    assert (over["repeated"], under["dropped"], smote["synthetic"]) == (gap, gap, gap)


def test_the_same_params_and_rows_give_the_same_bytes_and_another_seed_does_not(root, tmp_path):
    names = [f"{n}.parquet" for n in ("random_over", "random_under", "smote")] + ["summary.json"]
    STAGE.execute(params("random_over", "random_under", "smote"), root)
    (root / "data/resample").rename(tmp_path / "first")
    STAGE.execute(params("random_over", "random_under", "smote"), root)
    assert filecmp.cmpfiles(tmp_path / "first", root / "data/resample", names, shallow=False)[0] == names
    STAGE.execute(params("random_over", "random_under", "smote", seed=1), root)
    assert filecmp.cmpfiles(tmp_path / "first", root / "data/resample", names[:3], shallow=False)[1] == names[:3]


def test_settings_reach_the_resamplers(root):
    STAGE.execute(params("random_over", resample={"sampling_strategy": {"yes": 150}}), root)
    assert (tables(root)["random_over"]["default"] == "yes").sum() == 150
    with pytest.raises(
        InputError, match=r"resample: 'smote': class 'yes' has \d+ training rows, too few for 99 neighbours"
    ):
        STAGE.execute(params("smote", resample={"k_neighbors": 99}), root)


def test_an_error_leaves_the_earlier_tables_as_they_were(root):
    STAGE.execute(params("random_over"), root)
    with pytest.raises(InputError, match=r"resample\.sampling_strategy: no class 'yse'. Did you mean 'yes'"):
        STAGE.execute(params("smote", "random_under", resample={"sampling_strategy": {"yse": 10}}), root)
    assert set(tables(root)) == {"random_over"}
    assert [p.name for p in (root / "data").iterdir() if p.name.startswith(".")] == []


def test_smote_on_images_is_refused_by_the_name_of_its_recipe(root):
    schema = read_json(root / "data/ingest/schema.json")
    schema["columns"][0] |= {"name": "image", "kind": "image"}
    write_json(root / "data/ingest/schema.json", schema)
    with pytest.raises(
        InputError, match=r"search\.recipes: smote_focal: 'smote' works on tables.*random_over or random_under"
    ):
        STAGE.execute(params("smote_focal"), root)


@pytest.mark.parametrize("name", ["lending", "adult"])
def test_after_the_stages_before_it(name, tmp_path, request, monkeypatch):
    if name != "lending":
        monkeypatch.setenv("EQUIPOISE_MIRROR", str(request.getfixturevalue("mirror")))
    chosen = params("random_over", "random_under", "smote", data={"name": name})
    for stage in (INGEST, VALIDATE, SPLIT, START, STAGE):
        stage.execute(chosen, tmp_path)
    schema = read_schema(tmp_path / "data/ingest")
    parts = pd.read_parquet(tmp_path / "data/split/split.parquet").set_index("row_id")["part"]
    source = pd.read_parquet(tmp_path / "data/ingest/rows.parquet").set_index("row_id")
    groups = [a.name for a in schema.sensitive]
    for table in tables(tmp_path).values():
        assert set(parts[table["row_id"]]) == {"train"}
        assert table[schema.target.column].value_counts().nunique() == 1
        origin = source.loc[table["row_id"], groups].reset_index(drop=True)
        pd.testing.assert_frame_equal(table[groups], origin)
    made = tables(tmp_path)["smote"].query("synthetic")
    whole = [c.name for c in schema.features(False) if c.kind == "numeric" and (source[c.name].dropna() % 1 == 0).all()]
    assert whole
    for column in whole:
        assert (made[column].dropna() % 1 == 0).all()
    for column in schema.features(False):
        if column.categories:
            assert set(made[column.name].dropna()) <= set(column.categories)
