"""The difference between two models on the same rows."""

import numpy as np
import pytest

from models.metrics.fairness import Evidence
from models.metrics.figures import Terms
from models.metrics.gaps import Counted
from models.metrics.names import BY_GROUP, METRICS
from models.metrics.paired import Comparison, paired_difference
from models.metrics.score import compare_groups, overall
from models.metrics.scored import Grouping, Scored

TERMS = Terms(evidence=Evidence(1, 1))


def models(seed=0, rows=600, blur=0.5, classes=2):
    """Two models of the same rows, and three groups."""
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), rng.integers(0, classes, rows - classes)]
    score = rng.normal(size=(rows, classes))
    score[np.arange(rows), labels] += 1.5
    found = []
    for noise in (np.zeros_like(score), blur * rng.normal(size=score.shape)):
        p = np.exp(score + noise)
        p /= p.sum(1, keepdims=True)
        found.append(Scored.of(labels, p.argmax(1), p))
    return found[0], found[1], Grouping("g", ("a", "b", "c"), rng.integers(0, 3, rows))


def difference(metric, first, second, grouping, draws=200, seed=1):
    counted = Counted.of(first, grouping, TERMS)
    what = Comparison(metric, 15, grouping if metric in BY_GROUP else None, counted.masks, counted.enough)
    return paired_difference(what, first, second, draws, 0.95, np.random.default_rng([seed, 7]))


@pytest.mark.parametrize("classes", [2, 4])
@pytest.mark.parametrize("metric", METRICS)
def test_the_estimate_is_the_difference_and_lies_in_its_interval(metric, classes):
    first, second, grouping = models(classes=classes)
    one, other = (overall(s) | compare_groups(s, grouping, Evidence()) for s in (first, second))
    value, (low, high) = difference(metric, first, second, grouping)
    assert value == pytest.approx(one[metric] - other[metric], abs=1e-12)
    assert low < value + 1e-12
    assert value - 1e-12 < high
    assert low < high
    assert (value, (low, high)) == difference(metric, first, second, grouping), "same seed, same bits"


@pytest.mark.parametrize("metric", METRICS)
def test_a_model_does_not_differ_from_itself(metric):
    first, _, grouping = models()
    assert difference(metric, first, first, grouping) == (0, (0, 0))


@pytest.mark.parametrize(
    "metric", ["accuracy", "balanced_accuracy", "roc_auc", "brier", "equal_opportunity_difference"]
)
def test_swapping_the_models_mirrors_the_interval(metric):
    first, second, grouping = models(rows=2000)
    value, (low, high) = difference(metric, first, second, grouping, draws=2000)
    back, (back_low, back_high) = difference(metric, second, first, grouping, draws=2000)
    assert back == pytest.approx(-value)
    assert (back_low, back_high) == pytest.approx((-high, -low), abs=0.1 * (high - low))


def test_pairing_is_much_narrower_than_two_separate_intervals():
    first, second, grouping = models(rows=3000, blur=0.1)
    for metric in ("accuracy", "roc_auc", "log_loss"):
        _, (low, high) = difference(metric, first, second, grouping)
        shuffled = second.take(np.random.default_rng(0).permutation(3000))
        _, (apart_low, apart_high) = difference(metric, first, shuffled, grouping)
        assert (high - low) < 0.5 * (apart_high - apart_low), metric


def test_three_disagreements_that_favour_one_model_are_not_certainty():
    labels = np.r_[np.ones(50, dtype=int), np.zeros(150, dtype=int)]
    worse = labels.copy()
    worse[:3] = 0
    p = np.column_stack([np.linspace(0, 1, 200), 1 - np.linspace(0, 1, 200)])
    grouping = Grouping("g", ("a", "b"), np.arange(200) % 2)
    value, (low, high) = difference(
        "balanced_accuracy", Scored.of(labels, labels, p), Scored.of(labels, worse, p), grouping
    )
    assert value == pytest.approx(0.03)
    assert low < 0.003
    assert high > 0.05


def test_same_decisions_with_other_probabilities_are_not_proof_of_no_difference():
    labels = np.r_[np.ones(20, dtype=int), np.zeros(80, dtype=int)]
    p, q = np.where(labels == 1, 0.9, 0.1), np.where(labels == 1, 0.7, 0.2)
    first, second = (Scored.of(labels, labels, np.column_stack([1 - x, x])) for x in (p, q))
    grouping = Grouping("g", ("a", "b"), np.arange(100) % 2)
    for metric in ("accuracy", "roc_auc", "equalized_odds_difference"):
        value, (low, high) = difference(metric, first, second, grouping)
        assert value == 0
        assert low < 0 < high, metric


def test_what_is_not_defined_has_no_difference():
    labels = np.zeros(50, dtype=int)
    first, second = (Scored.of(labels, labels, np.tile([0.9 - x, 0.1 + x], (50, 1))) for x in (0.0, 0.1))
    grouping = Grouping("g", ("a", "b"), np.arange(50) % 2)
    for metric in ("roc_auc", "equalized_odds_difference"):
        value, (low, high) = difference(metric, first, second, grouping)
        assert np.isnan([value, low, high]).all(), metric
