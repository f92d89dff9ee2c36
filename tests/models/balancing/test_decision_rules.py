"""Rules for deciding that look at more than one threshold, against exhaustive search and hand-worked values."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, f1_score, fbeta_score

from models.balancing import component
from models.balancing.adjust.bias_correction import class_balanced, fit_correction
from models.balancing.adjust.class_offsets import METRICS, best_offset, class_offsets, value_of
from models.balancing.adjust.uncertainty_boundary import best_cut, dynamic_program, levels_of, uncertainty
from models.balancing.component import Scores
from models.data import Statistics


def two(margins):
    return torch.stack([torch.zeros_like(margins), margins], 1)


def adjusted(name, scores, labels, statistics=None, **values):
    part = component(name).build(values)
    state = part.fit(scores, labels, labels * 0, torch.ones(len(labels)), statistics)
    return part.adjust(state, scores, labels * 0).decision.argmax(1).numpy()


def statistics_of(labels, classes):
    counts = torch.bincount(labels, minlength=classes).float()
    return Statistics(counts, counts.sum()[None], counts[:, None], len(labels))


# --- score and uncertainty ---


@pytest.mark.parametrize("bound", [0.5, 0.7, 0.95])
def test_dynamic_programming_finds_what_trying_everything_finds(bound):
    rng = np.random.default_rng(0)
    for _ in range(10):
        cells = -np.sort(-rng.random((3, 5)), 1) + rng.normal(0, 0.1, (3, 5))
        gained = np.concatenate([np.zeros((3, 1)), cells.cumsum(1)], 1)
        every = [
            (gained[0, a] + gained[1, b] + gained[2, c], a + b + c)
            for a, b, c in itertools.product(range(6), repeat=3)
            if a + b + c
        ]
        allowed = [hit for hit, size in every if hit / size >= bound]
        counts = dynamic_program(list(gained), bound)
        hit, size = gained[range(3), counts].sum(), counts.sum()
        if allowed:
            assert hit / size >= bound - 1e-9
            assert hit == pytest.approx(max(allowed))
        else:
            assert hit / size == pytest.approx(max(h / s for h, s in every))


def test_best_cut_by_hand():
    values, y, ones = np.array([4.0, 3, 3, 2, 1]), np.array([1.0, 1, 0, 1, 0]), np.ones(5)
    assert best_cut(values, y, ones, 0.7) == 2.0
    assert best_cut(values, y, ones, 0.9) == 4.0
    assert best_cut(values, 1 - y, ones, 0.9) == 1.0


def uncertain(rows=6000, seed=0):
    """Positives are rare, and where the models disagree a high score means less."""
    g = torch.Generator().manual_seed(seed)
    labels = (torch.rand(rows, generator=g) < 0.2).long()
    wild = torch.rand(rows, generator=g) < 0.5
    signal = torch.where(wild, 0.5, 2.5) * labels + torch.randn(rows, generator=g)
    spread = torch.where(wild, 2.0, 0.2)[None] * torch.randn(5, rows, generator=g)
    members = torch.stack([torch.log_softmax(two(m).double(), -1) for m in (signal + wild * 1.0) + spread])
    mean = torch.logsumexp(members, 0) - np.log(5)
    return Scores(mean, mean, members), labels.numpy(), labels


@pytest.mark.parametrize("name", ["uncertainty_dynamic_program", "uncertainty_isotonic"])
def test_uncertainty_finds_more_positives_at_the_same_precision(name):
    scores, y, labels = uncertain()
    alone = Scores(scores.log_probabilities, scores.decision)
    found, plain = (adjusted(name, s, labels, precision=0.7) for s in (scores, alone))
    for decided in (found, plain):
        assert y[decided == 1].mean() >= 0.69
    assert found[y == 1].mean() > 1.15 * plain[y == 1].mean()


def test_models_that_agree_are_certain_and_get_one_threshold():
    scores, _, labels = uncertain(400)
    one = Scores(scores.decision, scores.decision, scores.members[:1].expand(3, -1, -1))
    assert float(uncertainty(one).abs().max()) < 1e-12
    assert float(uncertainty(Scores(scores.decision, scores.decision)).abs().max()) == 0
    part = component("uncertainty_isotonic").build({"precision": 0.5})
    state = part.fit(one, labels, labels, torch.ones(400), None)
    assert torch.isinf(state["edges"]).all()


@pytest.mark.parametrize("digits", [9, 0])
@pytest.mark.parametrize("alike", [0, 42, 60])
def test_of_few_rows_the_program_finds_the_best_thresholds_whatever_rows_are_alike(alike, digits):
    """`alike` rows are certain, and scores have so many digits."""
    g = torch.Generator().manual_seed(0)
    for _ in range(5):
        labels = (torch.rand(60, generator=g) < 0.4).long()
        margin = (1.5 * labels + torch.randn(60, generator=g, dtype=torch.float64)).round(decimals=digits)
        apart = torch.rand(60, generator=g).double() * (torch.arange(60) >= alike)
        members = torch.stack([torch.log_softmax(two(m), -1) for m in (margin - apart, margin + apart)])
        mean = torch.logsumexp(members, 0) - np.log(2)
        part, scores, y = (
            component("uncertainty_dynamic_program").build({}),
            Scores(mean, mean, members),
            labels.numpy(),
        )
        state = part.fit(scores, labels, labels, torch.ones(60), None)
        decided = part.adjust(state, scores, labels).decision.argmax(1).numpy() == 1
        level = levels_of(uncertainty(scores), state["edges"]).numpy()
        m = (mean[:, 1] - mean[:, 0]).numpy()
        hits, sizes = np.zeros(1), np.zeros(1)
        for one in np.unique(level):
            above = m[level == one] > np.r_[np.inf, np.unique(m[level == one]), -np.inf][:, None]
            hits = (hits[:, None] + (above * y[level == one]).sum(1)).ravel()
            sizes = (sizes[:, None] + above.sum(1)).ravel()
        assert y[decided].mean() >= 0.7
        assert y[decided].sum() == hits[hits >= 0.7 * sizes - 1e-9].max()


# --- thresholds by metric ---


def test_f_beta_and_cost_thresholds_are_the_best_of_all():
    rng = np.random.default_rng(0)
    y = (rng.random(500) < 0.2).astype(int)
    margin = rng.normal(size=500) + 1.5 * y - 1
    scores, labels = Scores(two(torch.tensor(margin)), two(torch.tensor(margin))), torch.tensor(y)
    tried = [(margin > t).astype(int) for t in (-9.0, *margin)]

    def f3(d):
        tp = (d * y).sum()
        return 10 * tp / (10 * tp + 9 * ((1 - d) * y).sum() + (d * (1 - y)).sum())

    found = adjusted("threshold_f_beta", scores, labels, beta=3.0)
    assert fbeta_score(y, found, beta=3) == pytest.approx(max(f3(d) for d in tried))
    cost = lambda d: 7 * ((d == 0) & (y == 1)).sum() + ((d == 1) & (y == 0)).sum()  # noqa: E731
    assert cost(adjusted("threshold_cost", scores, labels, price=7.0)) <= min(cost(d) for d in tried)
    assert (adjusted("threshold_f_beta", scores, labels, beta=1.0) == adjusted("threshold_f1", scores, labels)).all()


# --- offsets ---


def toy(classes, rows=400, seed=0):
    g = torch.Generator().manual_seed(seed)
    labels = torch.multinomial(0.5 ** torch.arange(1.0, classes + 1), rows, replacement=True, generator=g)
    z = torch.randn(rows, classes, generator=g, dtype=torch.float64)
    z[torch.arange(rows), labels] += 1.0
    return z - torch.arange(classes).double(), labels


def metric_by_sklearn(name, y, decided):
    if name == "macro_f1":
        return f1_score(y, decided, average="macro")
    recalls = np.array([(decided[y == c] == c).mean() for c in np.unique(y)])
    return {"balanced_accuracy": recalls.mean(), "g_mean": np.exp(np.log(recalls.clip(1e-12)).mean())}.get(
        name, recalls.min() + 1e-3 * recalls.mean()
    )


@pytest.mark.parametrize("name", METRICS)
def test_no_single_offset_is_better_and_the_metric_is_what_it_says(name):
    z, labels = toy(3)
    ones = torch.ones(len(labels)).double()
    for label in range(3):
        step, value = best_offset(z, labels, ones, label, METRICS[name])
        add = torch.zeros(3).double()
        add[label] = step
        assert float(value_of(z + add, labels, ones, METRICS[name])) == pytest.approx(float(value))
        assert float(value) == pytest.approx(metric_by_sklearn(name, labels.numpy(), (z + add).argmax(1).numpy()))
        for t in torch.linspace(-6, 6, 301):
            add[label] = t
            assert float(value_of(z + add, labels, ones, METRICS[name])) <= float(value) + 1e-9


def test_offsets_of_two_classes_are_the_best_threshold():
    z, labels = toy(2)
    scores = Scores(z, z)
    by_offsets = adjusted("class_offsets", scores, labels, statistics_of(labels, 2))
    by_threshold = adjusted("threshold_balanced_accuracy", scores, labels)
    y = labels.numpy()
    assert balanced_accuracy_score(y, by_offsets) == pytest.approx(balanced_accuracy_score(y, by_threshold))


def test_offsets_lift_the_worst_class_and_what_is_best_already_stays():
    z, labels = toy(4, 2000)
    found = adjusted("class_offsets", Scores(z, z), labels, statistics_of(labels, 4), metric="worst_class_recall")
    worst = lambda d: min((d[labels.numpy() == c] == c).mean() for c in range(4))  # noqa: E731
    assert worst(found) > worst(z.argmax(1).numpy()) + 0.2
    perfect = torch.nn.functional.one_hot(labels, 4).double()
    starts = torch.zeros(1, 4).double()
    offsets = class_offsets(perfect, labels, torch.ones(2000).double(), starts, METRICS["macro_f1"])
    torch.testing.assert_close(offsets, torch.zeros(4).double())


# --- bias correction ---


def test_class_balanced_weights_by_hand():
    labels, weights = torch.tensor([0, 0, 1, 2]), torch.tensor([1.0, 3.0, 1.0, 1.0])
    found = class_balanced(labels, weights, 4)
    torch.testing.assert_close(found, torch.tensor([1 / 12, 1 / 4, 1 / 3, 1 / 3]).double())


def test_bias_correction_takes_back_a_known_scale_and_shift_of_the_tail():
    g = torch.Generator().manual_seed(0)
    true = 1.5 * torch.randn(60000, 4, generator=g, dtype=torch.float64)
    labels = torch.multinomial(torch.softmax(true, -1), 1, generator=g).squeeze(1)
    tail = torch.tensor([False, False, True, True])
    biased = torch.where(tail, (true - 0.7) / 1.6, true)
    scale, shift = fit_correction(biased, labels, torch.full((60000,), 1 / 60000).double(), tail)
    assert float(scale) == pytest.approx(1.6, abs=0.05)
    assert float(shift) == pytest.approx(0.7, abs=0.05)


def test_bias_correction_leaves_frequent_classes_and_balanced_training_alone():
    z, labels = toy(3)
    part = component("bias_correction").build({})
    state = part.fit(Scores(z, z), labels, labels, torch.ones(400), statistics_of(labels, 3))
    assert state["scale"][0] == 1
    assert state["shift"][0] == 0
    even = Statistics(torch.full((3,), 5.0), torch.tensor([15.0]), torch.full((3, 1), 5.0), 15)
    state = part.fit(Scores(z, z), labels, labels, torch.ones(400), even)
    torch.testing.assert_close(state["scale"], torch.ones(3).double())
    torch.testing.assert_close(state["shift"], torch.zeros(3).double())
    recall = lambda d: np.mean([(d[labels.numpy() == c] == c).mean() for c in range(3)])  # noqa: E731
    assert (
        recall(adjusted("bias_correction", Scores(z, z), labels, statistics_of(labels, 3)))
        > recall(z.argmax(1).numpy()) + 0.05
    )
