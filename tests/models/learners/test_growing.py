"""Ensembles grown by other rules than boosting: what is exported is what the library made, and does what it is for."""

import json
import warnings

import numpy as np
import pytest
import safetensors.torch
import torch
from fairlearn import reductions
from imblearn.ensemble import BalancedRandomForestClassifier, RUSBoostClassifier
from sklearn.ensemble import AdaBoostClassifier, HistGradientBoostingClassifier
from sklearn.tree import DecisionTreeClassifier

from models.balancing import catalogue
from models.balancing.grow.boosted_stumps import boosted_votes
from models.balancing.grow.easy_ensemble import balanced_rows
from models.balancing.grow.reductions import ExponentiatedGradient, GridSearch
from models.balancing.growing import Ground, Grower, Judges, Votes
from models.data import Split
from models.learners import learner, model_class
from models.learners.forest_model import design, export_votes, indicators
from models.learners.learner import Input, Member, Plan
from models.recipe import parse

torch.set_num_threads(1)
CARDINALITIES = (5, 40)
INPUTS = Input(3, CARDINALITIES)
TREES = learner("trees")
GROWERS = [m for m in catalogue().values() if issubclass(m, Grower)]


QUICK = {
    "exponentiated_gradient": {"grow": {"exponentiated_gradient": {"iterations": 2}}},
    "grid_search": {"grow": {"grid_search": {"grid": 4}}},
}


def make(rows: int, seed: int = 0, classes: int = 2, between: float = 0.6) -> Split:
    """Rows whose score is shifted `between` the groups, and a column that betrays the group."""
    g = torch.Generator().manual_seed(seed)
    x, groups = torch.randn(rows, 3, generator=g), torch.randint(0, 2, (rows,), generator=g)
    c = torch.stack([torch.randint(0, k, (rows,), generator=g) for k in CARDINALITIES], 1)
    score = x[:, 0] + 0.8 * (c[:, 0] == 1) + between * groups + torch.randn(rows, generator=g)
    x[:, 2] = groups + 0.3 * x[:, 2]
    labels = torch.bucketize(score, torch.linspace(1.6, 2.6, classes - 1))
    none = torch.zeros(rows, dtype=torch.bool)
    return Split(x, c, labels, groups, torch.ones(rows), torch.arange(rows), none, classes, 2)


TRAIN, VALID = make(1200), make(600, 1)
PLAN = Plan(budget=12, patience=5)


def fit(recipe, train=TRAIN, valid=VALID, members=None, plan=PLAN, **options):
    return TREES.fit(parse(recipe), members or [Member({}, 7)], train, valid, INPUTS, plan, **options)


def columns(split, train=TRAIN):
    return design(split, indicators(train.categorical, CARDINALITIES)).numpy()


@pytest.mark.parametrize("classes", [2, 3])
def test_a_forest_gives_the_probabilities_of_imbalanced_learn(classes):
    train, valid = make(900, 0, classes), make(300, 1, classes)
    forest = BalancedRandomForestClassifier(
        n_estimators=10, sampling_strategy="all", replacement=True, bootstrap=False, random_state=3
    ).fit(columns(train, train), train.labels.numpy())
    trees = tuple(forest.estimators_)
    votes = Votes(trees, tuple(t.tree_.value[:, 0, :] / len(trees) for t in trees), "share")
    ours = export_votes(votes, indicators(train.categorical, CARDINALITIES), range(classes), classes, len(train))
    np.testing.assert_allclose(ours.sums(valid).numpy(), forest.predict_proba(columns(valid, train)), atol=1e-12)


@pytest.mark.parametrize("classes", [2, 3])
@pytest.mark.parametrize("kind", [RUSBoostClassifier, AdaBoostClassifier])
def test_boosted_votes_give_the_probabilities_of_the_library(kind, classes):
    train, valid = make(900, 0, classes), make(300, 1, classes)
    boosted = kind(
        estimator=DecisionTreeClassifier(max_depth=3), n_estimators=8, learning_rate=0.2, random_state=3
    ).fit(columns(train, train), train.labels.numpy())
    votes = boosted_votes(boosted, classes)
    ours = export_votes(votes, indicators(train.categorical, CARDINALITIES), range(classes), classes, len(train))
    expected = boosted.predict_proba(columns(valid, train))
    np.testing.assert_allclose(torch.softmax(ours.sums(valid), -1).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("method", GROWERS, ids=lambda m: m.name)
def test_a_grown_model_survives_saving_and_an_interruption_and_repeats(method):
    recipe, plan, saved = QUICK.get(method.name, method.name), Plan(budget=6), []
    both = [Member({}, 1), Member({}, 2)]
    whole = fit(recipe, members=both, plan=plan, on_epoch=lambda rounds, make: saved.append(make()))
    model = whole[0].model
    tensors = safetensors.torch.load(safetensors.torch.save(model.tensors()))
    again = model_class(model.kind).rebuild(json.loads(json.dumps(model.architecture())), tensors)
    assert torch.equal(again.logits(VALID), model.logits(VALID))
    assert torch.isfinite(model.logits(VALID)).all()
    torch.testing.assert_close(model.logits(VALID.take(torch.arange(5))), model.logits(VALID)[:5])
    assert [len(one.numbers["members"]) for one in saved] == [0, 1]
    resumed = fit(recipe, members=both, plan=plan, resume=saved[1])
    for a, b in zip(whole, resumed, strict=True):
        assert torch.equal(a.model.logits(VALID), b.model.logits(VALID))
        assert (a.history, a.budget_used) == (b.history, b.budget_used)


@pytest.mark.parametrize("name", ["balanced_forest", "rusboost", "easy_ensemble"])
def test_balanced_ensembles_find_the_rare_class_that_boosting_misses(name):
    recalls = []
    for recipe in ("none", name):
        decided = fit(recipe, plan=Plan(budget=40))[0].model.logits(VALID).argmax(1)
        recalls.append(float((decided[VALID.labels == 1] == 1).double().mean()))
    assert recalls[1] > recalls[0] + 0.1


def test_balanced_rows_are_as_many_of_every_class():
    labels = np.array([0] * 50 + [1] * 7 + [2] * 20)
    rows = balanced_rows(labels, np.random.default_rng(0))
    assert np.bincount(labels[rows]).tolist() == [7, 7, 7]
    assert len(set(rows.tolist())) == 21


def test_rows_count_by_their_weights_and_by_those_of_the_recipe():
    forest = {"balanced_forest": {"min_samples_leaf": 20}}
    weights = torch.where(TRAIN.labels == 1, 5.0, 1.0)
    plain, heavy, by_recipe = (
        torch.softmax(fit(recipe, train=Split(**{**vars(TRAIN), "weights": own}))[0].model.logits(VALID), -1)[
            :, 1
        ].mean()
        for recipe, own in (
            ({"grow": forest}, TRAIN.weights),
            ({"grow": forest}, weights),
            ({"grow": forest, "loss": "weighted_ce"}, TRAIN.weights),
        )
    )
    assert heavy > plain + 0.1
    assert by_recipe > plain + 0.1


def test_a_class_without_training_rows_keeps_a_small_probability():
    train = make(900, 0, 4)
    train = train.take(torch.nonzero(train.labels != 2)[:, 0])
    model = fit("balanced_forest", train=train, valid=make(300, 1, 4))[0].model
    p = torch.softmax(model.logits(make(300, 1, 4)), -1)
    assert p.shape == (300, 4)
    assert float(p[:, 2].max()) < 2 / len(train)
    assert float(p[:, 2].min()) > 0


def gap(decided, split):
    rates = torch.tensor(
        [[float(decided[(split.groups == g) & (split.labels == y)].double().mean()) for y in (0, 1)] for g in (0, 1)]
    )
    return float((rates[0] - rates[1]).abs().max())


@pytest.mark.parametrize("method", [{"exponentiated_gradient": {}}, {"grid_search": {"price": 0.9}}])
def test_reductions_narrow_the_gap(method):
    train, valid = make(1200, 0, between=1.5), make(4000, 5, between=1.5)
    gaps = [
        gap(fit(recipe, train, valid, plan=Plan(budget=10))[0].model.logits(valid).argmax(1), valid)
        for recipe in ("none", {"grow": method})
    ]
    assert gaps[1] < 0.75 * gaps[0]


def test_exponentiated_gradient_averages_the_ensembles_by_fairlearns_shares():
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(400, 2)), rng.integers(0, 2, 400)
    y = (x[:, 0] + 0.8 * groups + rng.normal(size=400) > 0.5).astype(np.int64)
    make_one = lambda: HistGradientBoostingClassifier(max_iter=3, random_state=0)  # noqa: E731
    ground = Ground(x.astype(np.float32), x, y, groups, np.ones(400), 5, 0, make_one, Judges(x, y, groups))
    parts = ExponentiatedGradient(iterations=3, constraint="demographic_parity").grow(ground)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = reductions.ExponentiatedGradient(
            make_one(), reductions.DemographicParity(difference_bound=0.02), eps=0.02, max_iter=3, nu=1e-9
        ).fit(x, y, sensitive_features=groups)
    shares = theirs.weights_[theirs.weights_ > 1e-9]
    np.testing.assert_allclose([p.share for p in parts], shares.to_numpy())
    for part, number in zip(parts, shares.index, strict=True):
        predictor = theirs.predictors_[number]
        mine = np.full(400, part.part) if isinstance(part.part, int) else part.part.predict(x)
        assert (mine == predictor.predict(x)).all()


def test_grid_search_keeps_the_ensemble_that_validation_rows_prefer():
    rng = np.random.default_rng(0)
    x, groups = rng.normal(size=(600, 2)), rng.integers(0, 2, 600)
    y = (x[:, 0] + 0.8 * groups + rng.normal(size=600) > 0.5).astype(np.int64)
    make_one = lambda: HistGradientBoostingClassifier(max_iter=3, random_state=0)  # noqa: E731
    mine, judges = slice(0, 300), Judges(x[300:], y[300:], groups[300:])
    ground = Ground(x[mine].astype(np.float32), x[mine], y[mine], groups[mine], np.ones(300), 5, 0, make_one, judges)
    (kept,) = GridSearch(grid=6, price=0.5).grow(ground)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        theirs = reductions.GridSearch(make_one(), reductions.EqualizedOdds(), grid_size=6)
        theirs.fit(x[mine], y[mine], sensitive_features=groups[mine])
    said = [predictor.predict(judges.coded) for predictor in theirs.predictors_]

    def loss(decided):
        # Each group's rates against those of all, and the share of errors.
        rates = [
            abs(decided[there & (judges.labels == c)].mean() - decided[judges.labels == c].mean())
            for c in (0, 1)
            for there in (judges.groups == 0, judges.groups == 1)
        ]
        return 0.5 * (decided != judges.labels).mean() + 0.5 * max(rates)

    best = said[int(np.argmin([loss(decided) for decided in said]))]
    assert (kept.part.predict(judges.coded) == best).all()
    assert (best != said[theirs.best_idx_]).any(), "by the training rows it is another one"


def test_nets_refuse_what_grows_trees_and_trees_what_trains_nets():
    assert learner("mlp").refuses(parse("rusboost"), image=False) == "mlp is a net, and 'rusboost' is about trees"
    assert TREES.refuses(parse("rusboost"), image=False) is None
    assert "mixup" in TREES.refuses(parse("mixup_rusboost"), image=False)
