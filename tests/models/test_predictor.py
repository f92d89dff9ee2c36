"""The predictor: raw columns in, the same answer after saving and loading, errors that name the file."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

from models.adjustment import average, fit_adjusters
from models.data import Statistics
from models.errors import InputError
from models.learners import learner
from models.learners.learner import Member, Plan
from models.predictor import DESCRIPTION, WEIGHTS, Predictor
from models.preprocess import Preprocessor
from models.recipe import parse
from models.schema import Attribute, Column, Schema, Target

SCHEMA = Schema(
    dataset="toy",
    columns=(
        Column(name="x", kind="numeric", role="feature"),
        Column(name="c", kind="categorical", role="feature", categories=("a", "b")),
        Column(name="sex", kind="categorical", role="sensitive"),
        Column(name="y", kind="categorical", role="target", feature=False),
    ),
    target=Target(column="y", kind="binary", classes=("no", "yes")),
    sensitive=(Attribute(name="sex", groups=("F", "M")),),
)


def frame(rows=3000, seed=0):
    rng = np.random.default_rng(seed)
    x, c = rng.normal(size=rows), rng.choice(["a", "b"], rows)
    risk = 1 / (1 + np.exp(-(2 * x + (c == "a") - 3)))
    return pd.DataFrame(
        {"x": x, "c": c, "sex": rng.choice(["F", "M"], rows), "y": np.where(rng.random(rows) < risk, "yes", "no")}
    )


@pytest.fixture(scope="module")
def predictor():
    preprocessor = Preprocessor.fit(frame(), SCHEMA, False)
    train, valid, calib = (preprocessor.encode(frame(3000, seed)) for seed in (0, 1, 2))
    recipe = parse({"loss": "balanced_softmax", "adjust": "bias_corrected_temperature"})
    members = [Member({}, seed) for seed in range(2)]
    outcomes = learner("mlp").fit(recipe, members, train, valid, preprocessor.inputs, Plan(budget=8, hidden=(16,)))
    models = tuple(o.model for o in outcomes)
    states, _ = fit_adjusters(recipe.adjust, average(models, calib), calib, Statistics.of(train))
    return Predictor(preprocessor, models, recipe.adjust, tuple(states), recipe.name)


def test_it_loads_from_disk_alone_and_answers_the_same(predictor, tmp_path):
    predictor.save(tmp_path)
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted([DESCRIPTION, WEIGHTS])
    again = Predictor.load(tmp_path)
    pd.testing.assert_frame_equal(
        predictor.predict_frame(frame(200, 5)), again.predict_frame(frame(200, 5)), check_exact=True
    )
    assert again.schema == SCHEMA


def test_saving_twice_gives_the_same_bytes(predictor, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        predictor.save(tmp_path / name)
    for file in (DESCRIPTION, WEIGHTS):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_balanced_decisions_come_with_calibrated_probabilities(predictor):
    rows = frame(20000, 7)
    scored = predictor.predict_frame(rows)
    truth = rows["y"] == "yes"
    assert scored["p_yes"].mean() == pytest.approx(truth.mean(), abs=0.02)
    recalls = [(scored["decision"][truth] == "yes").mean(), (scored["decision"][~truth] == "no").mean()]
    assert abs(recalls[0] - recalls[1]) < 0.12
    assert np.allclose(scored[["p_no", "p_yes"]].sum(axis=1), 1)


def test_members_are_averaged_as_probabilities(predictor):
    split = predictor.preprocessor.encode(frame(50, 3))
    expected = torch.stack([torch.softmax(m.logits(split).double(), -1) for m in predictor.models]).mean(0)
    torch.testing.assert_close(average(predictor.models, split).log_probabilities.exp(), expected)


def test_target_and_groups_are_not_needed_to_predict(predictor):
    rows = frame(50, 4)
    whole = predictor.predict_frame(rows)
    pd.testing.assert_frame_equal(whole, predictor.predict_frame(rows.drop(columns=["y", "sex"])), check_exact=True)


def test_no_rows_give_no_predictions(predictor):
    assert predictor.predict_frame(frame(10).iloc[:0]).empty


def test_index_is_kept(predictor):
    assert predictor.predict_frame(frame(50).iloc[10:13]).index.tolist() == [10, 11, 12]


def test_broken_and_missing_files_are_named(predictor, tmp_path):
    with pytest.raises(InputError, match=f"{DESCRIPTION} is missing"):
        Predictor.load(tmp_path)
    predictor.save(tmp_path)
    whole = (tmp_path / WEIGHTS).read_bytes()
    (tmp_path / WEIGHTS).write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot be read"):
        Predictor.load(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(whole)
    description = json.loads((tmp_path / DESCRIPTION).read_text())
    (tmp_path / DESCRIPTION).write_text(json.dumps({**description, "format": 99}))
    with pytest.raises(InputError, match="format 99, this version reads 1"):
        Predictor.load(tmp_path)
