"""Trees: our evaluation is scikit-learn's to the bit, weights are the recipe's, nothing depends on threads or restarts."""

import json
import math

import numpy as np
import pytest
import safetensors.torch
import torch
from sklearn.ensemble import HistGradientBoostingClassifier

from models.data import Split, Statistics
from models.learners import learner, model_class
from models.learners.learner import Input, Member, Plan
from models.learners.tree_bins import column_bounds, numeric_bounds, numeric_codes
from models.learners.trees import BINS, MISSING, ROUNDS_PER_EPOCH, Boosting, as_numbers, category_codes, table
from models.learners.trees_model import export
from models.recipe import parse

torch.set_num_threads(1)
CARDINALITIES = (5, 400, 1)
INPUTS = Input(4, CARDINALITIES)
PLAN = Plan(budget=20, patience=5)
TREES = learner("trees")


def make(rows: int, seed: int = 0, classes: int = 2, missing: float = 0.1) -> Split:
    g = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, 4, generator=g)
    c = torch.stack(
        [
            torch.randint(0, 5, (rows,), generator=g),
            torch.randint(0, 400, (rows,), generator=g),
            torch.zeros(rows, dtype=torch.int64),
        ],
        1,
    )
    score = x[:, 0] + 0.5 * (c[:, 0] == 1) + 1.0 * (c[:, 1] % 7 == 3) + 0.3 * torch.randn(rows, generator=g)
    x[torch.rand(rows, 4, generator=g) < missing] = float("nan")
    labels = torch.bucketize(score, torch.linspace(1.0, 2.0, classes - 1))
    none = torch.zeros(rows, dtype=torch.bool)
    return Split(
        x, c, labels, torch.randint(0, 3, (rows,), generator=g), torch.ones(rows), torch.arange(rows), none, classes, 3
    )


TRAIN, VALID = make(3000), make(800, 1)


def fit(recipe="none", members=None, train=TRAIN, valid=VALID, plan=PLAN, **options):
    return TREES.fit(parse(recipe), members or [Member({}, 7)], train, valid, INPUTS, plan, **options)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("leaves", [4, 31, 100])
@pytest.mark.parametrize("missing", [0.0, 0.2])
def test_raw_predictions_are_those_of_scikit_learn_to_the_bit(classes, leaves, missing):
    train, other = make(3000, 0, classes, missing), make(1000, 1, classes, 0.1)
    codes, bounds = category_codes(train.categorical, CARDINALITIES), numeric_bounds(train, BINS)
    boosting = HistGradientBoostingClassifier(
        max_iter=15,
        max_leaf_nodes=leaves,
        min_samples_leaf=3,
        early_stopping=False,
        categorical_features=np.arange(7) < 3,
    ).fit(as_numbers(table(train, codes, bounds)), train.labels.numpy())
    ours = export(boosting, 15, codes, bounds, classes, len(train))
    seen = as_numbers(table(other, codes, bounds))
    expected = boosting._raw_predict(seen)
    assert np.array_equal(ours.raw(other).numpy(), expected)
    probabilities = torch.softmax(ours.logits(other), -1).numpy()
    np.testing.assert_allclose(probabilities, boosting.predict_proba(seen), atol=1e-6)


def test_a_model_survives_safetensors_and_json():
    model = fit()[0].model
    tensors = safetensors.torch.load(safetensors.torch.save(model.tensors()))
    again = model_class(model.kind).rebuild(json.loads(json.dumps(model.architecture())), tensors)
    assert torch.equal(again.logits(VALID), model.logits(VALID))


def test_an_id_never_seen_in_training_counts_as_missing():
    train = TRAIN.take(torch.nonzero(TRAIN.categorical[:, 0] != 4)[:, 0])
    model = fit(train=train)[0].model
    unseen, missing = VALID.categorical.clone(), VALID.categorical.clone()
    unseen[:, 0], missing[:, 0] = 4, 0
    answers = [model.logits(Split(**{**vars(VALID), "categorical": c})) for c in (unseen, missing)]
    assert torch.equal(*answers)


def test_rows_that_are_bins_already_boost_as_scikit_learn_does_with_numbers():
    codes, bounds = category_codes(TRAIN.categorical, CARDINALITIES), numeric_bounds(TRAIN, BINS)
    rows, others = table(TRAIN, codes, bounds), table(VALID, codes, bounds)
    truth, valid_truth = TRAIN.labels.numpy(), VALID.labels.numpy()
    settings = {
        "max_iter": 5, "max_features": 0.5, "categorical_features": np.arange(7) < 3, "early_stopping": True,
        "scoring": "loss", "random_state": 3,
    }  # fmt: skip
    bins = [int(np.sum(~np.isnan(np.unique(own)))) for own in codes] + [len(own) + 1 for own in bounds]
    ours = Boosting(**settings).watched(bins, 5, lambda rounds: None)
    ours.fit(rows, truth, X_val=others, y_val=valid_truth)
    theirs = HistGradientBoostingClassifier(**settings, n_iter_no_change=6)
    theirs.fit(as_numbers(rows), truth, X_val=as_numbers(others), y_val=valid_truth)
    np.testing.assert_array_equal(ours.validation_score_, theirs.validation_score_)


def test_a_column_with_more_values_than_bins_keeps_the_frequent_ones():
    ids = torch.cat([torch.arange(400), torch.arange(1, 300)])[:, None]
    code = category_codes(ids, (400,))[0]
    assert math.isnan(code[0])
    own, shared = code[1:255], code[255:]
    assert len(set(own)) == 254
    assert set(shared) == {254.0}


def test_a_column_with_few_values_is_cut_between_all_of_them():
    column = np.array([3.0, 1.0, np.nan, 1.0, 2.0], dtype=np.float32)
    bounds = column_bounds(column, np.ones(5), 255)
    assert bounds.tolist() == [1.0, 2.0]
    codes = numeric_codes(np.array([0.0, 1.0, 1.5, 9.0, np.nan], dtype=np.float32), bounds, MISSING)
    assert codes.tolist() == [0, 0, 1, 2, MISSING]


def test_a_frequent_value_has_a_bin_of_its_own_and_the_others_share_the_rest():
    spread = np.linspace(1, 2, 1001, dtype=np.float32)
    column = np.concatenate([np.full(9000, 1.5, dtype=np.float32), spread])
    bounds = column_bounds(column, np.ones(len(column)), 32)
    assert len(bounds) < 32
    assert {1.5, spread[499]} <= set(bounds.tolist())
    rows = np.bincount(np.searchsorted(bounds, spread[spread != 1.5], side="left"))
    assert rows[rows > 0].max() <= 2 * 1000 / 30


def test_a_rare_class_gets_as_many_bins_as_all_rows():
    """2% of the rows lie above all others: bins of equally many rows would leave them 2% of the bins."""
    train = make(5000, 0, 2, 0.0)
    labels = torch.arange(5000) >= 4900
    numeric = torch.arange(5000.0)[:, None].expand(-1, 4)
    bounds = numeric_bounds(Split(**{**vars(train), "numeric": numeric, "labels": labels.long()}), 100)[0]
    assert len(bounds) <= 99
    assert 20 <= (bounds >= 4900).sum() <= 30


def test_row_weights_are_the_recipes():
    """Boosting weighted by class is boosting with those weights given as the rows' own."""
    recipe = parse("weighted_ce")
    weights = {
        part: recipe.loss.row_weights(Statistics.of(TRAIN), rows.labels, rows.groups)
        for part, rows in (("train", TRAIN), ("valid", VALID))
    }
    by_recipe = fit("weighted_ce")[0]
    by_hand = fit(
        train=Split(**{**vars(TRAIN), "weights": weights["train"]}),
        valid=Split(**{**vars(VALID), "weights": weights["valid"]}),
    )[0]
    assert torch.equal(by_recipe.model.logits(VALID), by_hand.model.logits(VALID))
    assert not torch.equal(by_recipe.model.logits(VALID), fit()[0].model.logits(VALID))


def test_the_best_round_is_kept():
    outcome = fit(plan=Plan(budget=200, patience=3), members=[Member({"learning_rate": 0.3}, 1)])[0]
    rounds = int(np.argmin(outcome.history)) + 1
    assert outcome.budget_used == rounds + 3 * ROUNDS_PER_EPOCH < 200
    assert outcome.model.architecture()["trees"] == rounds
    losses = torch.nn.functional.cross_entropy(outcome.model.logits(VALID), VALID.labels)
    assert float(losses) == pytest.approx(min(outcome.history), abs=1e-5)


def test_seeds_differ_and_repeat():
    first, second, third = (fit(members=[Member({}, seed)])[0].model.logits(VALID) for seed in (1, 1, 2))
    assert torch.equal(first, second)
    assert not torch.equal(first, third)


def test_finished_members_are_not_trained_again():
    members = [Member({"max_leaf_nodes": n}, n) for n in (4, 8)]
    saved, seen = [], []
    whole = fit(members=members, on_epoch=lambda rounds, make: saved.append((rounds, make())))
    halfway = next(c for r, c in saved if len(c.numbers["members"]) == 1)
    resumed = fit(members=members, resume=halfway, on_epoch=lambda rounds, make: seen.append(rounds))
    assert len(seen) < len(saved)
    for a, b in zip(whole, resumed, strict=True):
        assert torch.equal(a.model.logits(VALID), b.model.logits(VALID))
        assert (a.history, a.budget_used) == (b.history, b.budget_used)


def test_a_class_without_training_rows_keeps_a_small_probability():
    train = make(3000, 0, 4)
    train = train.take(torch.nonzero(train.labels != 2)[:, 0])
    model = fit(train=train, valid=make(800, 1, 4))[0].model
    probabilities = torch.softmax(model.logits(VALID), -1)
    assert probabilities.shape == (800, 4)
    assert torch.all(probabilities[:, 2] > 0)
    assert torch.all(probabilities[:, 2] < 1 / len(train))


def test_one_class_is_a_failure_that_says_so():
    train = TRAIN.take(torch.nonzero(TRAIN.labels == 0)[:, 0])
    outcome = fit(train=train)[0]
    assert outcome.model is None
    assert "two classes" in outcome.error


@pytest.mark.parametrize(
    "recipe", ["none", "prior_threshold", "weighted_ce", "class_balanced", "effective_number", "random_over"]
)
def test_recipes_of_weights_tables_and_adjustments_are_taken(recipe):
    if recipe == "random_over":
        pytest.importorskip("models.balancing.resample.random_over")
    assert TREES.refuses(parse(recipe), image=False) is None


@pytest.mark.parametrize(
    ("recipe", "method"),
    [("focal", "focal"), ("ldam", "cosine"), ("mixup", "mixup"), ("group_dro", "group_dro"), ("drw", "drw"), ("square_root_sampling", "square_root_sampling")],
)  # fmt: skip
def test_a_method_that_is_no_row_weight_is_refused_by_name(recipe, method):
    assert f"'{method}'" in TREES.refuses(parse(recipe), image=False)


def test_images_are_refused():
    assert "tables" in TREES.refuses(parse("none"), image=True)
