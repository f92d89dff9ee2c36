"""Metrics of numbers, of several labels and of classes with an order: hand-worked values and references of scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics as sk

from models.errors import InputError
from models.metrics.fairness import Evidence
from models.metrics.figures import Terms, class_figures, group_figures, overall_figures
from models.metrics.gaps import Counted, gap_figures
from models.metrics.labels import Labels
from models.metrics.names import by_group_for, names_for, overall_for
from models.metrics.numbers import Numbers
from models.metrics.paired import Comparison, paired_difference
from models.metrics.score import overall, score_rows
from models.metrics.scored import Grouping, Scored

TERMS = Terms(draws=100, evidence=Evidence(rows=20, per_class=3))
RNG = np.random.default_rng(0)
ACTUAL = RNG.gamma(2.0, 3.0, 300)
BINS = np.searchsorted([4.0, 9.0], ACTUAL)
PREDICTED = 0.7 * ACTUAL + 1.0 + RNG.normal(0, 1, 300)
GROUPS = Grouping("sex", ("a", "b", "c"), RNG.integers(0, 2, 300))
NUMBERS = Numbers.of(ACTUAL, PREDICTED, BINS, 3)
CARRIED = (RNG.random((400, 3)) < [0.5, 0.3, 0.1]).astype(int)
CHANCES = np.clip(0.35 * CARRIED + 0.65 * RNG.random((400, 3)), 0.01, 0.99)
LABELS = Labels.of(CARRIED, (CHANCES > 0.5).astype(int), CHANCES)


def test_errors_by_hand():
    rows = Numbers.of([0.0, 2.0, 10.0, 12.0], [1.0, 2.0, 7.0, 11.0], [0, 0, 1, 1], 2)
    found = overall(rows)
    assert found["mae"] == pytest.approx((1 + 0 + 3 + 1) / 4)
    assert found["rmse"] == pytest.approx((11 / 4) ** 0.5)
    assert found["balanced_mae"] == pytest.approx((0.5 + 2) / 2)
    assert found["worst_bin_mae"] == pytest.approx(2.0)
    assert found["bias"] == pytest.approx(0.75)
    halves = score_rows(rows, {"g": [0, 0, 1, 1]})
    assert halves["worst_group_mae"] == pytest.approx(2.0)
    assert halves["mae_difference"] == pytest.approx(1.5)
    assert halves["mean_error_difference"] == pytest.approx(0.5 + 2)


def test_errors_are_those_of_scikit_learn_weighted_or_not():
    for weights in (None, RNG.random(300)):
        found = overall(NUMBERS, weights)
        assert found["mae"] == pytest.approx(sk.mean_absolute_error(ACTUAL, PREDICTED, sample_weight=weights))
        assert found["rmse"] == pytest.approx(sk.mean_squared_error(ACTUAL, PREDICTED, sample_weight=weights) ** 0.5)
        assert found["r2"] == pytest.approx(sk.r2_score(ACTUAL, PREDICTED, sample_weight=weights))
    slope = np.polyfit(PREDICTED, ACTUAL, 1)[0]
    assert overall(NUMBERS)["calibration_slope_error"] == pytest.approx(abs(slope - 1))


def test_what_is_not_defined_of_a_number_is_none():
    assert overall(Numbers.of([1.0, 2.0], [3.0, 3.0], [0, 0], 2))["calibration_slope_error"] is None
    found = overall(Numbers.of([2.0, 2.0], [1.0, 3.0], [0, 0], 2))
    assert found["r2"] is None
    assert found["balanced_mae"] is None


def test_labels_are_those_of_scikit_learn():
    found = overall(LABELS)
    decided = LABELS.decided
    assert found["macro_f1"] == pytest.approx(sk.f1_score(CARRIED, decided, average="macro"))
    assert found["f_beta"] == pytest.approx(sk.fbeta_score(CARRIED, decided, beta=2, average="macro"))
    assert found["subset_accuracy"] == pytest.approx(sk.accuracy_score(CARRIED, decided))
    assert found["hamming_loss"] == pytest.approx(sk.hamming_loss(CARRIED, decided))
    assert found["roc_auc"] == pytest.approx(sk.roc_auc_score(CARRIED, CHANCES, average="macro"))
    assert found["average_precision"] == pytest.approx(sk.average_precision_score(CARRIED, CHANCES, average="macro"))
    each = [sk.balanced_accuracy_score(CARRIED[:, i], decided[:, i]) for i in range(3)]
    assert found["balanced_accuracy"] == pytest.approx(np.mean(each))
    assert found["worst_class_recall"] == pytest.approx(min(sk.recall_score(CARRIED, decided, average=None)))


def test_a_gap_of_labels_is_that_of_the_worst_label():
    ids = RNG.integers(0, 2, 400)
    found = score_rows(LABELS, {"g": ids})
    each = [score_rows(LABELS.one(i), {"g": ids}) for i in range(3)]
    for name in ("demographic_parity_difference", "equalized_odds_difference", "equal_opportunity_difference"):
        assert found[name] == pytest.approx(max(one[name] for one in each))
    shares = [(LABELS.decided == CARRIED)[ids == g].mean() for g in (0, 1)]
    assert found["worst_group_accuracy"] == pytest.approx(min(shares))


def test_classes_with_an_order_by_hand_and_by_scikit_learn():
    truth, decided = RNG.integers(0, 4, 200), RNG.integers(0, 4, 200)
    found = overall(Scored.of(truth, decided, np.full((200, 4), 0.25), ordered=True))
    kappa = sk.cohen_kappa_score(truth, decided, weights="quadratic")
    assert found["quadratic_weighted_kappa"] == pytest.approx(kappa)
    assert found["class_distance"] == pytest.approx(np.abs(truth - decided).mean())
    by_class = [np.abs(truth - decided)[truth == c].mean() for c in range(4)]
    assert found["balanced_class_distance"] == pytest.approx(np.mean(by_class))
    assert "quadratic_weighted_kappa" not in overall(Scored.of(truth, decided, np.full((200, 4), 0.25)))


@pytest.mark.parametrize("rows", [NUMBERS, LABELS], ids=["numbers", "labels"])
def test_every_figure_has_an_interval_that_holds_it(rows):
    classes, grouping = ("x", "y", "z"), GROUPS if rows is NUMBERS else Grouping("g", ("a", "b"), np.arange(400) % 2)
    figures = overall_figures(rows, classes, TERMS)
    assert tuple(figures) == overall_for(rows.task)
    gaps = gap_figures(rows, classes, grouping, TERMS)
    assert tuple(gaps) == by_group_for(rows.task)
    for figure in [*figures.values(), *gaps.values()]:
        assert figure.low <= figure.value <= figure.high
        assert figure.low < figure.high
    assert set(score_rows(rows, {"g": grouping.ids})) == set(names_for(rows.task))
    groups = group_figures(rows, classes, grouping, TERMS)
    assert set(groups) == set(grouping.groups)
    assert set(class_figures(rows, classes, TERMS)) == set(classes)


def test_a_group_without_rows_is_insufficient_evidence():
    groups = group_figures(NUMBERS, ("x", "y", "z"), GROUPS, TERMS)
    assert groups["c"].evidence == "insufficient"
    assert groups["c"].metrics["mae"].value is None
    assert "c" in gap_figures(NUMBERS, ("x", "y", "z"), GROUPS, TERMS)["worst_group_mae"].insufficient


@pytest.mark.parametrize("metric", names_for("regression"))
def test_a_better_model_of_numbers_differs_by_what_both_figures_say(metric):
    better = Numbers.of(ACTUAL, ACTUAL + 0.3 * (PREDICTED - ACTUAL), BINS, 3)
    counted = Counted.of(NUMBERS, GROUPS, TERMS)
    grouping = GROUPS if metric in by_group_for("regression") else None
    what = Comparison(metric, 15, grouping, counted.masks, counted.enough)
    value, found = paired_difference(what, better, NUMBERS, 100, 0.95, np.random.default_rng(1))
    assert found.low <= value <= found.high
    same, exact = paired_difference(what, NUMBERS, NUMBERS, 100, 0.95, np.random.default_rng(1))
    assert (same, exact.low, exact.high) == (0, 0, 0)


@pytest.mark.parametrize("metric", names_for("multilabel"))
def test_a_better_model_of_labels_differs_by_what_both_figures_say(metric):
    chances = np.clip(CHANCES + 0.2 * (2 * CARRIED - 1), 0.01, 0.99)
    better = Labels.of(CARRIED, (chances > 0.5).astype(int), chances)
    grouping = Grouping("g", ("a", "b"), np.arange(400) % 2)
    counted = Counted.of(LABELS, grouping, TERMS)
    given = grouping if metric in by_group_for("multilabel") else None
    what = Comparison(metric, 15, given, counted.masks, counted.enough)
    value, found = paired_difference(what, better, LABELS, 60, 0.95, np.random.default_rng(1))
    assert found.low <= value <= found.high


def test_arrays_that_do_not_fit_are_refused():
    with pytest.raises(InputError, match="row 1 is not finite"):
        Numbers.of([1.0, 2.0], [1.0, np.inf], [0, 0], 1)
    with pytest.raises(InputError, match="label 2 of row 0 is neither 0 nor 1"):
        Labels.of([[2, 0]], [[0, 0]], [[0.1, 0.2]])
