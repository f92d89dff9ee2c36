"""What is done to trained models, against the papers: weights, thresholds, calibration."""

import itertools

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, f1_score, matthews_corrcoef

from models.adjustment import together
from models.balancing import component
from models.balancing.adjust.equalized_odds import fair_thresholds
from models.balancing.adjust.expected_utility import expected_utility
from models.balancing.adjust.group_rates import candidate_cuts
from models.balancing.adjust.last_layer_retraining import balanced_subset, l1_logistic
from models.balancing.adjust.nearest_class_mean import class_means
from models.balancing.adjust.tau_normalization import tau_normalized
from models.balancing.adjust.temperature import fit_scale_and_bias, fit_scale_of_labels
from models.balancing.adjust.threshold_optimization import best_threshold, f1
from models.balancing.adjust.vector_scaling import fit_vector
from models.balancing.adjust.weight_aligning import aligned
from models.balancing.component import Scores, TrainedNet
from models.balancing.loss.integrated_risk import tail_sensitive_utility
from models.data import Split, Statistics
from models.errors import InputError
from models.recipe import parse

WEIGHT = torch.tensor([[3.0, 4.0], [0.6, 0.8], [0.0, 2.0]])


def close(found, expected, **tolerance):
    torch.testing.assert_close(torch.as_tensor(found), torch.as_tensor(expected), **tolerance)


def split(labels, groups=None):
    n = len(labels)
    zeros = torch.zeros(n, dtype=torch.long)
    groups = zeros if groups is None else groups
    return Split(
        torch.zeros(n, 1), zeros[:, None], labels, groups, torch.ones(n), zeros, zeros.bool(), 3, int(groups.max()) + 1
    )


def reweigh(name, net, train, **values):
    part = component(name).build(values)
    return part.reweigh(net, train, Statistics.of(train), torch.Generator().manual_seed(0))


# --- weights ---


def test_tau_normalization_by_hand_and_at_its_ends():
    close(tau_normalized(WEIGHT, 0.0), WEIGHT)
    close(tau_normalized(WEIGHT, 1.0).norm(dim=1), torch.ones(3))
    close(tau_normalized(WEIGHT, 0.5), torch.stack([WEIGHT[0] / 5**0.5, WEIGHT[1], WEIGHT[2] / 2**0.5]))


def test_tau_normalization_discards_the_biases():
    net = TrainedNet(None, {"weight": WEIGHT, "bias": torch.ones(3)}, lambda s: torch.zeros(3, 2))
    head, changed = reweigh("tau_normalization", net, split(torch.tensor([0, 1, 2])), tau=0.0)
    assert head is None
    close(changed["weight"], WEIGHT)
    close(changed["bias"], torch.zeros(3))


def test_class_means_by_hand():
    features = torch.tensor([[1.0, 0], [3.0, 0], [0, 5.0]])
    close(class_means(features, torch.tensor([0, 0, 1]), torch.ones(3), 3), [[2.0, 0], [0, 5.0], [0, 0]])
    close(class_means(features, torch.tensor([0, 0, 1]), torch.tensor([3.0, 1, 1]), 3)[0], [1.5, 0.0])


def test_nearest_class_mean_puts_the_means_into_a_cosine_classifier():
    features = torch.tensor([[1.0, 0], [3.0, 0], [0, 5.0], [1.0, 1.0]])
    net = TrainedNet(None, {"weight": WEIGHT, "bias": torch.ones(3)}, lambda s: features)
    head, changed = reweigh("nearest_class_mean", net, split(torch.tensor([0, 0, 1, 2])))
    assert head == "cosine"
    close(changed["weight"], [[2.0, 0], [0, 5.0], [1.0, 1.0]])


def test_weight_aligning_by_hand():
    close(aligned(WEIGHT, torch.tensor([False, True, True])), torch.cat([WEIGHT[:1], WEIGHT[1:] * 5 / 1.5]))
    close(aligned(WEIGHT, torch.tensor([False, False, False])), WEIGHT)


def test_a_balanced_subset_takes_as_many_of_each_cell_as_the_smallest_has():
    labels, groups = torch.tensor([0] * 10 + [1] * 6), torch.tensor([0] * 7 + [1] * 3 + [0] * 2 + [1] * 4)
    rows = balanced_subset(labels, groups, torch.Generator().manual_seed(0))
    assert len(set(rows.tolist())) == 8
    for c, g in itertools.product((0, 1), (0, 1)):
        assert int(((labels[rows] == c) & (groups[rows] == g)).sum()) == 2


def test_l1_logistic_decides_as_scikit_learns_for_two_and_for_three_classes():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 4))
    for classes in (2, 3):
        y = (x[:, 0] > 0).astype(int) + (x[:, 1] > 0.5) * (classes - 2)
        weight, bias = l1_logistic(x, y, classes, 0.5)
        solver = "liblinear" if classes == 2 else "saga"
        expected = LogisticRegression(l1_ratio=1.0, C=0.5, solver=solver, max_iter=1000, tol=1e-3, random_state=0).fit(
            x, y
        )
        assert ((x @ weight.T + bias).argmax(1) == expected.predict(x)).all()
    weight, bias = l1_logistic(x, np.where(y == 1, 2, y), 3, 0.5)
    assert bias[1] == -30


def test_last_layer_retraining_lifts_the_group_that_a_spurious_feature_betrays():
    g = torch.Generator().manual_seed(0)
    labels = torch.randint(2, (4000,), generator=g)
    agrees = torch.rand(4000, generator=g) < 0.95
    groups = torch.where(agrees, labels, 1 - labels)
    core = labels * 2.0 - 1 + 1.5 * torch.randn(4000, generator=g)
    spurious = groups * 2.0 - 1 + 0.3 * torch.randn(4000, generator=g)
    features = torch.stack([core, spurious], 1)
    biased = {"weight": torch.tensor([[0.0, 0.0], [0.5, 2.0]]), "bias": torch.zeros(2)}
    train = split(labels, groups)
    net = TrainedNet(None, biased, lambda s: features)
    _, changed = reweigh("last_layer_retraining", net, Split(**{**vars(train), "classes": 2}), strength=1.0)
    worst = [
        min(
            float(
                (((features @ c["weight"].T + c["bias"]).argmax(1) == labels)[(labels == y) & (groups == a)])
                .float()
                .mean()
            )
            for y in (0, 1)
            for a in (0, 1)
        )
        for c in (biased, changed)
    ]
    assert worst[0] < 0.1
    assert worst[1] > 0.65


@pytest.mark.parametrize("name", ["tau_normalization", "weight_aligning", "last_layer_retraining"])
def test_methods_of_linear_classifiers_refuse_another_head(name):
    with pytest.raises(
        InputError, match=f"'{name}' cannot act here: it needs a linear classifier, and head 'cosine' makes another"
    ):
        parse({"head": "cosine", "adjust": name})
    assert parse({"head": "aglu", "adjust": name}).head.name == "aglu"


# --- thresholds ---


def toy(seed=0, n=400):
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.2).astype(int)
    margin = rng.normal(size=n) + 1.5 * y - 1
    return torch.tensor(margin), torch.tensor(y)


def scores_of(margins):
    z = torch.stack([torch.zeros_like(margins), margins], 1)
    return Scores(torch.log_softmax(z, -1), z)


SKLEARN = {
    "threshold_balanced_accuracy": balanced_accuracy_score,
    "threshold_f1": f1_score,
    "threshold_matthews": matthews_corrcoef,
    "threshold_g_mean": lambda y, d: np.sqrt((d[y == 1] == 1).mean() * (d[y == 0] == 0).mean()),
}


@pytest.mark.parametrize("name", SKLEARN)
def test_no_other_threshold_is_better(name):
    margins, labels = toy()
    part, scores = component(name).build({}), scores_of(margins)
    state = part.fit(scores, labels, labels * 0, torch.ones(len(labels)), None)
    decided = part.adjust(state, scores, labels * 0).decision.argmax(1).numpy()
    metric, y = SKLEARN[name], labels.numpy()
    best = max(metric(y, (margins.numpy() > t).astype(int)) for t in np.linspace(-4, 4, 2001))
    assert metric(y, decided) >= best - 1e-9
    torch.testing.assert_close(part.adjust(state, scores, labels).log_probabilities, scores.log_probabilities)


def test_of_equally_good_thresholds_the_one_nearest_the_decision_as_it_was():
    margins = torch.tensor([-3.0, -1.0, 1.0, 5.0], dtype=torch.float64)
    positive, ones = torch.tensor([0.0, 0, 1, 1], dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    close(best_threshold(margins, positive, ones, f1), torch.tensor(0.0, dtype=torch.float64))


def test_rows_count_by_their_weight():
    margins = torch.tensor([0.0, 1.0, 2.0], dtype=torch.float64)
    positive = torch.tensor([1.0, 0.0, 1.0], dtype=torch.float64)
    few, many = torch.tensor([1.0, 9.0, 1.0], dtype=torch.float64), torch.tensor([9.0, 1.0, 1.0], dtype=torch.float64)
    assert best_threshold(margins, positive, few, f1) > 1
    assert best_threshold(margins, positive, many, f1) < 0


# --- groups ---


def two_groups(seed=0, n=4000):
    rng = np.random.default_rng(seed)
    group = (rng.random(n) < 0.3).astype(int)
    y = (rng.random(n) < np.where(group == 1, 0.15, 0.4)).astype(int)
    margin = rng.normal(size=n) * np.where(group == 1, 1.5, 1.0) + 2 * y - 1 - 1.2 * group
    return torch.tensor(margin), torch.tensor(y), torch.tensor(group)


def rates(margins, labels, groups, thresholds):
    decided = margins > thresholds[groups]
    return torch.tensor(
        [[float(decided[(groups == g) & (labels == y)].double().mean()) for y in (0, 1)] for g in (0, 1)]
    )


def statistics_of(labels, groups, count=2):
    cells = torch.bincount(labels * count + groups, minlength=2 * count).reshape(2, count).float()
    return Statistics(cells.sum(1), cells.sum(0), cells, len(labels))


def test_equalized_odds_keeps_both_rates_within_its_tolerance_at_the_least_error():
    margins, labels, groups = two_groups()
    ones = torch.ones(len(labels))
    before = rates(margins, labels, groups, torch.zeros(2))
    assert (before[0] - before[1]).abs().max() > 0.2
    cuts = candidate_cuts(scores_of(margins), labels, groups, ones, 2)
    thresholds = fair_thresholds(cuts, 0.05)
    after = rates(margins, labels, groups, thresholds)
    assert (after[0] - after[1]).abs().max() <= 0.051
    wide = fair_thresholds(cuts, 1.0)
    error = lambda t: float(((margins > t[groups]) != (labels == 1)).double().mean())  # noqa: E731
    assert error(wide) <= error(thresholds) + 1e-9


def test_a_group_without_a_class_keeps_its_decision():
    margins, labels, groups = two_groups(n=300)
    labels = torch.where(groups == 1, 0, labels)
    for name in ("equalized_odds", "group_thresholds"):
        part, scores = component(name).build({}), scores_of(margins)
        state = part.fit(scores, labels, groups, torch.ones(300), statistics_of(labels, groups, 3))
        close(state["thresholds"][1:], torch.zeros(2, dtype=torch.float64))
        adjusted = part.adjust(state, scores, groups)
        assert torch.equal(adjusted.decision[groups == 1], scores.decision[groups == 1])


def test_group_thresholds_trade_f1_for_a_smaller_gap_in_balanced_error():
    margins, labels, groups = two_groups()
    found = {}
    for price in (0.0, 5.0):
        part = component("group_thresholds").build({"price": price})
        state = part.fit(scores_of(margins), labels, groups, torch.ones(len(labels)), statistics_of(labels, groups))
        r = rates(margins, labels, groups, state["thresholds"])
        error = (r[:, 0] + 1 - r[:, 1]) / 2
        found[price] = (f1_score(labels, margins > state["thresholds"][groups]), float((error[0] - error[1]).abs()))
    plain = f1_score(labels, margins > 0)
    assert found[0.0][0] >= plain
    assert found[5.0][1] < found[0.0][1]
    assert found[5.0][0] <= found[0.0][0] + 1e-9


# --- calibration ---


def test_vector_scaling_takes_back_a_known_scale_and_shift():
    g = torch.Generator().manual_seed(0)
    z = torch.log_softmax(1.5 * torch.randn(60000, 3, generator=g, dtype=torch.float64), -1)
    scale, shift = torch.tensor([0.5, 1.0, 2.0]).double(), torch.tensor([0.3, -0.6, 0.3]).double()
    labels = torch.multinomial(torch.softmax(z * scale + shift, -1), 1, generator=g).squeeze(1)
    found, bias = fit_vector(z, labels, torch.ones(60000))
    close(found, scale, rtol=0.1, atol=0.05)
    close(bias, shift, rtol=0.1, atol=0.06)


def test_vector_scaling_is_never_worse_than_temperature_and_keeps_decisions():
    g = torch.Generator().manual_seed(1)
    z = torch.log_softmax(torch.randn(2000, 3, generator=g, dtype=torch.float64) * 3 + torch.tensor([1.0, 0, -1]), -1)
    labels = torch.randint(3, (2000,), generator=g)
    scale, bias = fit_vector(z, labels, torch.ones(2000))
    one, _ = fit_scale_and_bias(z, labels, torch.ones(2000), bias=False)

    def loss(scores):
        return float(torch.nn.functional.cross_entropy(scores, labels))

    assert loss(z * scale + bias) <= loss(z * one) + 1e-6
    part = component("vector_scaling").build({})
    state = part.fit(Scores(z, z), labels, labels, torch.ones(2000), None)
    assert torch.equal(part.adjust(state, Scores(z, z), labels).decision, z)


def test_expected_utility_by_hand_and_without_tolerance_is_the_most_probable_class():
    utility = tail_sensitive_utility(torch.tensor([1000.0, 100.0, 10.0]), 0.5)
    p = torch.tensor([[0.6, 0.3, 0.1]])
    torch.testing.assert_close(expected_utility(p.log(), utility), torch.tensor([[0.6, 0.3 + 0.3, 0.1 + 0.5 * 0.9]]))
    plain = expected_utility(p.log(), tail_sensitive_utility(torch.tensor([1000.0, 100.0, 10.0]), 0.0))
    torch.testing.assert_close(plain, p)


def test_the_temperature_of_labels_is_found_from_draws_and_keeps_decisions():
    g = torch.Generator().manual_seed(2)
    odds = 3 * torch.randn(20000, 3, generator=g, dtype=torch.float64)
    carried = (torch.rand(20000, 3, generator=g) < torch.sigmoid(0.4 * odds)).float()
    weights = torch.ones(20000)
    close(fit_scale_of_labels(odds, carried, weights), torch.tensor(0.4).double(), rtol=0.03, atol=0)
    scores, part = together([odds], "multilabel"), component("temperature").build({})
    state = part.fit(scores, carried, carried[:, 0].long(), weights, None)
    found = part.adjust(state, scores, carried[:, 0].long())
    assert torch.equal(found.decision, scores.decision)
    close(found.log_probabilities.exp(), torch.sigmoid(state["slope"] * odds), rtol=1e-5, atol=1e-9)
