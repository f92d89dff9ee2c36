"""Rows without a value of the target: left out, or kept apart for the recipes that learn from them."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from models.errors import InputError
from models.learners.learner import Plan
from models.preprocess import Preprocessor
from tasks import ingest, split, train
from tasks.params import Data, Params, Search, Split, Target, parse_params
from tasks.parts import read_rows, read_schema, rows_of
from tasks.search.entrants import entrants
from tasks.search.work import Job, Setting, carry_out
from tests.tasks.conftest import nothing_to_learn_from

torch.set_num_threads(1)
ROWS, WITHOUT = 700, 200


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(ROWS, 3)).round(4)
    labels = pd.Series(np.where(x.sum(1) + 0.3 * rng.normal(size=ROWS) > 0.8, "yes", "no")).astype("object")
    labels[rng.choice(ROWS, WITHOUT, replace=False)] = None
    path = tmp_path_factory.mktemp("source") / "few.csv"
    pd.DataFrame({**{c: x[:, i] for i, c in enumerate("abc")}, "y": labels}).to_csv(path, index=False)
    return path


def ingested(out, source, unlabelled):
    data = Data(path=str(source), unlabelled=unlabelled)
    params = Params.model_construct(seed=0, data=data, target=Target(column="y"), sensitive="auto")
    ingest.run(params, {}, {"ingest": out})
    return read_rows(out), read_schema(out), json.loads((out / "card.json").read_text())


@pytest.fixture(scope="module")
def used(source, tmp_path_factory):
    """A working copy in which the rows without a label are used, divided into parts."""
    root = tmp_path_factory.mktemp("used")
    rows, schema, _ = ingested(root / "data" / "ingest", source, "use")
    table, summary = split.split_rows(rows, schema, Split(), 0)
    split.write(root / "data" / "split", table, summary)
    (root / "data/resample").mkdir()
    nothing_to_learn_from(root)
    return root


def test_by_default_they_are_left_out_and_the_card_says_so(source, tmp_path):
    rows, schema, card = ingested(tmp_path / "ingest", source, Data().unlabelled)
    assert len(rows) == ROWS - WITHOUT
    assert schema.unlabelled is None
    assert {"rows": WITHOUT, "why": "no value in the target 'y'"} in card["rows_left_out"]


def test_used_they_are_in_no_part_and_what_depends_on_them_knows_their_hash(used, source, tmp_path):
    rows, schema = read_rows(used / "data/ingest"), read_schema(used / "data/ingest")
    apart = pd.read_parquet(used / "data/ingest/unlabelled.parquet")
    assert len(rows) == ROWS - WITHOUT
    assert schema.unlabelled.rows == len(apart) == WITHOUT
    assert not set(apart["row_id"]) & set(rows["row_id"])
    assert not set(apart["row_id"]) & set(pd.read_parquet(used / "data/split/split.parquet")["row_id"])
    assert "y" not in apart
    changed = pd.read_csv(source)
    changed.loc[changed.index[changed["y"].isna()][0], "a"] += 1
    changed.to_csv(tmp_path / "few.csv", index=False)
    again, other, _ = ingested(tmp_path / "ingest", tmp_path / "few.csv", "use")
    pd.testing.assert_frame_equal(again, rows)
    assert other.unlabelled.sha256 != schema.unlabelled.sha256


def test_a_source_with_all_labels_is_the_same_however_it_is_asked(source, tmp_path):
    full = pd.read_csv(source).dropna(subset="y")
    full.to_csv(tmp_path / "full.csv", index=False)
    made = [ingested(tmp_path / wanted, tmp_path / "full.csv", wanted) for wanted in ("drop", "use")]
    pd.testing.assert_frame_equal(made[0][0], made[1][0])
    assert made[0][1] == made[1][1]
    assert not (tmp_path / "use" / "unlabelled.parquet").exists()


def test_recipes_that_need_them_compete_only_where_there_are_some(used, source, tmp_path):
    search = Search(recipes=("pseudo_labels", "corrupted_columns"), unsuitable="leave_out")
    without = ingested(tmp_path / "ingest", source, "drop")[1]
    assert "pseudo_labels" in entrants(search, read_schema(used / "data/ingest")).recipes
    found = entrants(search, without).recipes
    assert "pseudo_labels" not in found
    assert "corrupted_columns" in found
    with pytest.raises(InputError, match=r"Set data\.unlabelled to use"):
        entrants(Search(recipes=("pseudo_labels",)), without)


@pytest.mark.parametrize(("recipe", "more"), [("pseudo_labels", WITHOUT), ("class_balanced_sampling", 0)])
def test_the_refit_trains_on_them_where_the_recipe_asks(used, recipe, more):
    params = parse_params(
        {
            "search": {"recipes": [recipe]},
            "gates": {"rules": [{"metric": "accuracy", "at_least": 0.1}]},
            "model": {"hidden": [8], "epochs": 15, "batch_size": 64, "refits": 1},
        }
    )
    choice = {"recipe": recipe, "learner": "mlp", "values": {}}
    (used / "data/tune").mkdir(exist_ok=True)
    (used / "data/tune/choice.json").write_text(json.dumps(choice))
    train.STAGE.execute(params, used)
    summary = json.loads((used / "data/train/summary.json").read_text())
    trained = len(rows_of(read_rows(used / "data/ingest"), used / "data/split", "train"))
    assert summary["rows"] == trained + more
    assert summary["together"]["accuracy"] > 0.7


def test_a_trial_trains_on_them_where_the_recipe_asks(used):
    rows, schema = read_rows(used / "data/ingest"), read_schema(used / "data/ingest")
    preprocessor = Preprocessor.fit(rows_of(rows, used / "data/split", "train"), schema, False)
    tables = {p: preprocessor.encode(rows_of(rows, used / "data/split", p)) for p in ("train", "valid", "calib")}
    apart = pd.read_parquet(used / "data/ingest/unlabelled.parquet")
    tables["unlabelled"] = preprocessor.encode(apart).unlabelled()
    params = parse_params(
        {"search": {"recipes": ["pseudo_labels"]}, "gates": {"rules": [{"metric": "accuracy", "at_least": 0.1}]}}
    )
    asked = []

    def table(name):
        asked.append(name)
        return tables[name]

    recipes = entrants(params.search, schema).recipes
    plan = Plan(budget=1, hidden=(8,))
    setting = Setting(recipes, preprocessor.inputs, plan, schema, params.evaluate, "balanced_accuracy", 0)
    for name in ("none", "pseudo_labels"):
        result = carry_out(Job("run", name, "mlp", 3, (({}, 1),)), setting, table)[0]
        assert result.error is None
        assert ("unlabelled" in asked) == (name == "pseudo_labels")
