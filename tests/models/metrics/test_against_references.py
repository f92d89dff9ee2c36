"""Our metrics against scikit-learn, fairlearn and imbalanced-learn on random data, with and without weights."""

import warnings

import fairlearn.metrics as fairlearn
import numpy as np
import pytest
import sklearn.metrics as sklearn
from imblearn.metrics import geometric_mean_score

from models.metrics.classification import confusion_matrix, f1, precision, recall
from models.metrics.figures import Terms, overall_figures
from models.metrics.names import METRICS
from models.metrics.paired import Comparison, paired_difference
from models.metrics.score import score_all
from models.metrics.scored import Scored


def random_rows(seed: int, classes: int, rows: int = 400, ties: bool = False):
    """Labels, decisions, probabilities, groups and weights in which every class and group occurs."""
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), rng.choice(classes, rows - classes, p=rng.dirichlet(np.full(classes, 4)))]
    probabilities = rng.dirichlet(np.ones(classes), rows)
    probabilities[np.arange(rows), labels] += 0.3
    probabilities /= probabilities.sum(1, keepdims=True)
    if ties:
        probabilities = np.round(probabilities * 5 + 0.2)
        probabilities /= probabilities.sum(1, keepdims=True)
    decisions = np.where(rng.random(rows) < 0.8, probabilities.argmax(1), rng.integers(0, classes, rows))
    groups = {"a": rng.integers(0, 3, rows), "b": rng.integers(0, 2, rows)}
    return labels, decisions, probabilities, groups, rng.exponential(size=rows)


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("classes", [2, 3, 7])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("ties", [False, True])
def test_overall_metrics_are_those_of_scikit_learn_and_imbalanced_learn(seed, classes, weighted, ties):
    y, d, p, groups, w = random_rows(seed, classes, ties=ties)
    weights = w if weighted else None
    found = score_all(y, d, p, groups, weights)
    onehot = np.eye(classes)[y]
    kept = {"sample_weight": weights}
    expected = {
        "accuracy": sklearn.accuracy_score(y, d, **kept),
        "balanced_accuracy": sklearn.balanced_accuracy_score(y, d, **kept),
        "macro_f1": sklearn.f1_score(y, d, average="macro", **kept),
        "f_beta": sklearn.fbeta_score(y, d, beta=2, average="binary" if classes == 2 else "macro", **kept),
        "mcc": sklearn.matthews_corrcoef(y, d, **kept),
        "worst_class_recall": sklearn.recall_score(y, d, average=None, **kept).min(),
        "log_loss": sklearn.log_loss(y, p, labels=range(classes), **kept),
        "roc_auc": np.mean([
            sklearn.roc_auc_score(onehot[:, c], p[:, c], **kept) for c in ([1] if classes == 2 else range(classes))
        ]),
        "average_precision": np.mean([
            sklearn.average_precision_score(onehot[:, c], p[:, c], **kept)
            for c in ([1] if classes == 2 else range(classes))
        ]),
        "brier": sklearn.brier_score_loss(y, p[:, 1] if classes == 2 else p, labels=range(classes), **kept),
    }  # fmt: skip
    if not weighted:
        expected["g_mean"] = geometric_mean_score(y, d, average="multiclass")
    for name, value in expected.items():
        assert found[name] == pytest.approx(value, abs=1e-9), name


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("weighted", [False, True])
def test_group_metrics_are_those_of_fairlearn_for_the_worst_attribute(seed, weighted):
    y, d, p, groups, w = random_rows(seed, 2)
    weights = w if weighted else None
    found = score_all(y, d, p, groups, weights)
    names = ("demographic_parity_difference", "demographic_parity_ratio", "equalized_odds_difference",
             "equalized_odds_ratio", "equal_opportunity_difference")  # fmt: skip
    for name in names:
        metric = getattr(fairlearn, name)
        values = [metric(y, d, sensitive_features=ids, sample_weight=weights) for ids in groups.values()]
        worst = min if name.endswith("ratio") else max
        assert found[name] == pytest.approx(worst(values), abs=1e-12), name
    lowest = [
        fairlearn.accuracy_score_group_min(y, d, sensitive_features=ids, sample_weight=weights)
        for ids in groups.values()
    ]
    assert found["worst_group_accuracy"] == pytest.approx(min(lowest), abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_multiclass_gaps_are_the_worst_of_fairlearns_one_against_the_rest(seed):
    y, d, p, groups, _ = random_rows(seed, 4)
    found = score_all(y, d, p, {"a": groups["a"]})
    for name, worst in (("demographic_parity_difference", max), ("equalized_odds_difference", max),
                        ("equalized_odds_ratio", min), ("equal_opportunity_difference", max)):  # fmt: skip
        metric = getattr(fairlearn, name)
        values = [metric(y == c, d == c, sensitive_features=groups["a"]) for c in range(4)]
        assert found[name] == pytest.approx(worst(values), abs=1e-12), name


@pytest.mark.parametrize("classes", [2, 5])
def test_recall_precision_and_f1_of_each_class(classes):
    y, d, *_ = random_rows(7, classes)
    confusion = confusion_matrix(y, d, classes)
    expected = sklearn.precision_recall_fscore_support(y, d, labels=range(classes))
    for ours, theirs in zip((precision(confusion), recall(confusion), f1(confusion)), expected, strict=False):
        np.testing.assert_allclose(ours, theirs)
    np.testing.assert_array_equal(confusion, sklearn.confusion_matrix(y, d, labels=range(classes)))


@pytest.mark.parametrize(("beta", "classes"), [(0.5, 2), (1.0, 3), (3.0, 2)])
def test_f_beta_is_that_of_scikit_learn_for_any_beta(beta, classes):
    y, d, p, *_ = random_rows(2, classes)
    expected = sklearn.fbeta_score(y, d, beta=beta, average="binary" if classes == 2 else "macro")
    assert score_all(y, d, p, {}, beta=beta)["f_beta"] == pytest.approx(expected)
    what, other = Comparison("f_beta", beta=beta), Scored.of(y, np.zeros_like(y), p)
    value, found = paired_difference(what, Scored.of(y, d, p), other, 200, 0.95, np.random.default_rng(0))
    never = sklearn.fbeta_score(y, 0 * y, beta=beta, average="binary" if classes == 2 else "macro", zero_division=0)
    assert value == pytest.approx(expected - never)
    assert found.low < value < found.high
    figure = overall_figures(Scored.of(y, d, p), range(classes), Terms(draws=100, beta=beta), ["f_beta"])["f_beta"]
    assert figure.value == pytest.approx(expected)
    assert figure.low < figure.value < figure.high


def test_whole_weights_count_as_repeated_rows():
    y, d, p, groups, _ = random_rows(3, 3)
    times = np.random.default_rng(0).integers(1, 4, len(y))
    repeated = np.repeat(np.arange(len(y)), times)
    weighted = score_all(y, d, p, groups, times)
    again = score_all(y[repeated], d[repeated], p[repeated], {k: v[repeated] for k, v in groups.items()})
    assert weighted == pytest.approx(again, abs=1e-12)


def test_the_order_of_the_rows_does_not_matter():
    y, d, p, groups, _ = random_rows(5, 2, ties=True)
    order = np.random.default_rng(1).permutation(len(y))
    assert score_all(y, d, p, groups) == pytest.approx(
        score_all(y[order], d[order], p[order], {k: v[order] for k, v in groups.items()}), abs=1e-12
    )


def test_every_metric_is_there_and_none_warns():
    y, d, p, groups, _ = random_rows(0, 2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert tuple(score_all(y, d, p, groups)) == METRICS
