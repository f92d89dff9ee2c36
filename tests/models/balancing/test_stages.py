"""Trainings in stages: which rows each sees, what it learns them for, and the formulas of pretexts and pseudo-labels."""

import dataclasses
import math

import pytest
import torch

from models.balancing.pretexts.column_corruption import ColumnCorruption, contrast, corrupted
from models.balancing.pretexts.rotation_prediction import RotationPrediction, turned
from models.balancing.schedule.pseudo_labels import confident, guessed, kept_shares
from models.data import Split, Statistics
from models.errors import InputError
from models.learners.learner import Input, Member, Plan
from models.learners.population import Population
from models.learners.torch import MLP
from models.recipe import parse

torch.set_num_threads(1)
PLAN = Plan(budget=4, batch_size=32, hidden=(16,), patience=10)
MEMBERS = [
    Member({"learning_rate": 3e-3, "weight_decay": 0.01}, 1),
    Member({"learning_rate": 6e-3, "weight_decay": 0.01}, 2),
]


def close(found, expected, **tolerance):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), **tolerance)


def table(rows, seed=0, groups=2):
    g = torch.Generator().manual_seed(seed)
    x, c = torch.randn(rows, 4, generator=g), torch.randint(0, 3, (rows, 1), generator=g)
    labels = (x[:, 0] + x[:, 1] > 0.8).long()
    ids = torch.randint(0, groups, (rows,), generator=g)
    none = torch.zeros(rows, dtype=torch.bool)
    return Split(x, c, labels, ids, torch.ones(rows), torch.arange(rows), none, 2, groups)


def fit(recipe, train, valid=None, members=MEMBERS, plan=PLAN):
    valid = table(120, 1) if valid is None else valid
    return MLP().fit(parse(recipe), members, train, valid, Input(4, (3,)), plan), valid


@pytest.fixture
def seen(monkeypatch):
    """The rows, labels and weights of every batch, by the number of the phase."""
    found, step = {}, Population._step

    def watched(self, columns, *args, **kwargs):
        found.setdefault(self.phase, []).append((columns[5], columns[2], columns[4]))
        return step(self, columns, *args, **kwargs)

    monkeypatch.setattr(Population, "_step", watched)
    return found


def rows_of(seen, phase):
    return torch.cat([rows.reshape(-1) for rows, _, _ in seen[phase]])


# --- pretexts ---


def test_contrast_by_hand_and_as_cross_entropy():
    unit = torch.eye(2)
    close(contrast(unit, unit, 1.0), -math.log(math.e / ((math.e + 1) / 2)))
    close(contrast(unit, unit[[1, 0]], 1.0), -math.log(1 / ((math.e + 1) / 2)))
    g = torch.Generator().manual_seed(0)
    a, b = torch.randn(6, 5, generator=g), torch.randn(6, 5, generator=g)
    similar = torch.nn.functional.cosine_similarity(a[:, None], b[None], dim=-1) / 0.5
    close(contrast(a, b, 0.5), torch.nn.functional.cross_entropy(similar, torch.arange(6)) - math.log(6))
    close(contrast(a, 3 * b, 0.5), contrast(a, b, 0.5))


def test_corruption_takes_masked_cells_from_donors_and_leaves_the_others():
    columns = torch.tensor([[1.0, 10.0], [2.0, 20.0], [3.0, 30.0]])
    masked = torch.tensor([[True, False], [False, True], [False, False]])
    donors = torch.tensor([[2, 0], [0, 0], [1, 1]])
    close(corrupted(columns, masked, donors), [[3.0, 10.0], [2.0, 10.0], [3.0, 30.0]])
    pretext = ColumnCorruption(rate=0.0)
    draws = {k: v[0] for k, v in pretext.draw_views(torch.Generator().manual_seed(0), 1, 3, (2,), 1).items()}
    rows = (columns, torch.tensor([[1], [2], [0]]))
    plain, other = pretext.views(rows, draws)
    assert all(torch.equal(a, b) for a, b in zip(plain, other, strict=True))
    drawn = ColumnCorruption(rate=0.6).draw_views(torch.Generator().manual_seed(0), 50, 100, (2,), 1)["masked"]
    assert float(drawn.double().mean()) == pytest.approx(0.6, abs=0.02)


def test_images_turn_by_their_own_quarters():
    images = torch.randint(0, 256, (4, 3, 5, 5), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    found = turned(images, torch.tensor([0, 1, 2, 3]))
    for k in range(4):
        assert torch.equal(found[k], torch.rot90(images[k], k, (-2, -1)))
    with pytest.raises(InputError, match="5 x 6"):
        RotationPrediction().draw_views(torch.Generator(), 1, 4, (3, 5, 6), 0)


def test_predicting_quarters_is_cross_entropy():
    pretext, g = RotationPrediction(), torch.Generator().manual_seed(0)
    state = pretext.parameters(Statistics.of(table(10)), 6, g)
    features, quarters = torch.randn(8, 6, generator=g), torch.randint(4, (8,), generator=g)
    logits = features @ state["quarters_weight"].T + state["quarters_bias"]
    expected = torch.nn.functional.cross_entropy(logits, quarters)
    close(pretext.loss(state, (features,), {"quarters": quarters}), expected)


def test_pretraining_changes_the_body_and_not_what_is_learned_from_labels(seen):
    train = table(200).joined(table(80, 3).unlabelled())
    outcomes, valid = fit({"schedule": "corrupted_columns", "loss": "ldam"}, train)
    assert set(rows_of(seen, 0).tolist()) & set(range(200, 280))
    assert int(rows_of(seen, 1).max()) < 200
    assert all(len(o.history) == o.budget_used - 1 for o in outcomes)
    assert float((outcomes[1].model.logits(valid).argmax(1) == valid.labels).double().mean()) > 0.7


def test_pseudo_labels_help_where_labels_are_few():
    def clusters(rows, seed):
        g = torch.Generator().manual_seed(seed)
        labels = (torch.rand(rows, generator=g) < 0.3).long()
        signs = 1.0 - 2.0 * (torch.arange(16) % 2)
        x = 0.6 * (2 * labels[:, None] - 1) * signs + torch.randn(rows, 16, generator=g)
        nothing, none = torch.zeros(rows, 0, dtype=torch.long), torch.zeros(rows, dtype=torch.bool)
        return Split(x, nothing, labels, labels * 0, torch.ones(rows), torch.arange(rows), none, 2, 1)

    train, valid, fresh = clusters(24, 0).joined(clusters(600, 1).unlabelled()), clusters(200, 2), clusters(2000, 3)
    plan, right = Plan(budget=30, batch_size=16, hidden=(16,), patience=20), []
    for recipe in ("none", "pseudo_labels"):
        members = [Member({"learning_rate": 5e-3, "weight_decay": 0.01}, seed) for seed in range(3)]
        outcomes = MLP().fit(parse(recipe), members, train, valid, Input(16), plan)
        decided = torch.stack([o.model.logits(fresh).argmax(1) for o in outcomes])
        right.append(float((decided == fresh.labels).double().mean()))
    assert right[1] > right[0] + 0.01


# --- rows without a label ---


def test_rows_without_a_label_are_as_if_they_were_not_there_to_methods_that_do_not_ask():
    train = table(200)
    alone, valid = fit("none", train)
    beside, _ = fit("none", train.joined(table(70, 3).unlabelled()))
    for a, b in zip(alone, beside, strict=True):
        assert torch.equal(a.model.logits(valid), b.model.logits(valid))
    for recipe in ("class_balanced_sampling", "feasible_learning"):
        a, b = (fit(recipe, t)[0][0].model.logits(valid) for t in (train, train.joined(table(70, 3).unlabelled())))
        assert torch.equal(a, b)
    counts = Statistics.of(train.joined(table(70, 3).unlabelled()))
    assert counts.rows == 200
    close(counts.class_counts, Statistics.of(train).class_counts)


def test_kept_shares_by_hand():
    counts = torch.tensor([10.0, 1000.0, 100.0])
    close(kept_shares(counts, 1.0), [1.0, 0.01, 0.1])
    close(kept_shares(counts, 0.5), [1.0, 0.1, 0.1**0.5])
    close(kept_shares(counts, 0.0), torch.ones(3))
    close(kept_shares(torch.full((4,), 7.0), 2.0), torch.ones(4))


def test_the_surest_rows_of_each_class_are_kept():
    p = torch.tensor([[0.9, 0.1], [0.6, 0.4], [0.7, 0.3], [0.2, 0.8], [0.45, 0.55]])
    labels, kept = confident(p, torch.tensor([0.34, 1.0]))
    assert labels.tolist() == [0, 0, 0, 1, 1]
    assert kept.tolist() == [True, False, True, True, True]
    statistics = Statistics(torch.tensor([90.0, 10.0]), torch.tensor([100.0]), torch.tensor([[90.0], [10.0]]), 100)
    labels, weights = guessed(p, statistics, 1.0, 0.5)
    assert weights.tolist() == [0.5, 0, 0, 0.5, 0.5]


def test_the_second_training_learns_from_what_the_first_guessed(seen):
    train = table(200).joined(table(80, 3).unlabelled())
    fit({"schedule": {"pseudo_labels": {"power": 0.0, "weight": 0.5}}}, train)
    assert int(rows_of(seen, 0).max()) < 200
    second = rows_of(seen, 1)
    assert int((second >= 200).sum()) > 0
    for rows, labels, weights in seen[1]:
        guesses = rows >= 200
        assert bool((labels >= 0).all())
        close(weights[guesses], torch.full((int(guesses.sum()),), 0.5))
        close(weights[~guesses], torch.ones(int((~guesses).sum())))
        assert torch.equal(labels[~guesses], train.labels[rows[~guesses]])
    truth = table(80, 3).labels
    right = torch.cat([labels[rows >= 200] == truth[rows[rows >= 200] - 200] for rows, labels, _ in seen[1]])
    assert float(right.double().mean()) > 0.6


def test_guesses_of_no_weight_change_nothing():
    train, unlabelled = table(200), table(80, 3).unlabelled()
    recipe = {"schedule": {"pseudo_labels": {"weight": 0.0}}}
    without, valid = fit(recipe, train)
    beside, _ = fit(recipe, train.joined(unlabelled))
    for a, b in zip(without, beside, strict=True):
        assert torch.equal(a.model.logits(valid), b.model.logits(valid))


def test_a_recipe_that_needs_unlabelled_rows_says_so_where_there_are_none():
    with pytest.raises(InputError, match="learns from rows without a label, and there are none"):
        parse("pseudo_labels").check("binary", False, False, "here", unlabelled=False)
    parse("corrupted_columns").check("binary", False, False, "here", unlabelled=False)


# --- synthetic rows, groups ---


def test_from_fake_to_real_keeps_both_kinds_apart_and_balances_the_first(seen):
    train = table(300)
    train = dataclasses.replace(train, synthetic=torch.arange(300) >= 180)
    fit("from_fake_to_real", train, plan=dataclasses.replace(PLAN, budget=8))
    first, second = rows_of(seen, 0), rows_of(seen, 1)
    assert bool(train.synthetic[first].all())
    assert not bool(train.synthetic[second].any())
    cells = torch.bincount(train.labels[first] * 2 + train.groups[first], minlength=4).double()
    assert float(cells.max() / cells.min()) < 1.6
    with pytest.raises(InputError, match="learns from synthetic rows"):
        fit("from_fake_to_real", table(100))


def test_what_is_remembered_of_rows_fits_a_phase_that_draws_some_of_them():
    train = dataclasses.replace(table(300), synthetic=torch.arange(300) < 120)
    recipe = {"schedule": "from_fake_to_real", "regularize": {"subclass_balancing": {"warm_up": 0.0}}}
    found, _ = fit(recipe, train)
    assert [outcome.error for outcome in found] == [None, None]


def test_what_counts_synthetic_rows_counts_the_real_ones_when_their_training_begins(monkeypatch):
    train, found = dataclasses.replace(table(300), synthetic=torch.arange(300) >= 180), []
    enter = Population.enter

    def watched(self, *args, **kwargs):
        enter(self, *args, **kwargs)
        found.append(self.state["loss"]["class_counts"][0])

    monkeypatch.setattr(Population, "enter", watched)
    outcomes, _ = fit({"schedule": "from_fake_to_real", "loss": "balanced_softmax"}, train)
    assert [o.error for o in outcomes] == [None, None]
    for counts, own in zip(found, (train.synthetic, ~train.synthetic), strict=True):
        assert torch.equal(counts, torch.bincount(train.labels[own], minlength=2).float())


def test_from_fake_to_real_needs_a_resampler_that_makes_rows():
    assert parse("from_fake_to_real").resample.name == "cell_smote"
    with pytest.raises(InputError, match="no resampler of the recipe makes any"):
        parse("from_fake_to_real_random_over")


def test_balanced_fine_tuning_ends_on_balanced_cells(seen):
    train = table(300)
    fit("balanced_fine_tuning", train, plan=dataclasses.replace(PLAN, budget=10))
    spread = []
    for phase in (0, 1):
        rows = rows_of(seen, phase)
        cells = torch.bincount(train.labels[rows] * 2 + train.groups[rows], minlength=4).double()
        spread.append(float(cells.max() / cells.min()))
    assert spread[0] > 2
    assert spread[1] < 1.6
