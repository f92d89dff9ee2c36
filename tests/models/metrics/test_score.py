"""Values worked out by hand, and what is undefined stays undefined."""

import math

import numpy as np
import pytest

from models.errors import InputError
from models.metrics.calibration import bin_sums, ece, ece_by_chance
from models.metrics.fairness import Evidence
from models.metrics.names import BY_GROUP, METRICS_DOWN, METRICS_UP, OVERALL
from models.metrics.score import score_all
from models.metrics.scored import Scored


def two(positive):
    """Two columns of probabilities from those of the positive class."""
    p = np.asarray(positive, dtype=float)
    return np.column_stack([1 - p, p])


# Labels 1 1 1 0 0 0 0 0, decided 1 1 0 1 0 0 0 0: TP 2, FN 1, FP 1, TN 4.
LABELS, DECISIONS = [1, 1, 1, 0, 0, 0, 0, 0], [1, 1, 0, 1, 0, 0, 0, 0]
PROBABILITIES = two([0.9, 0.8, 0.3, 0.6, 0.4, 0.2, 0.1, 0.1])
GROUPS = {"sex": [0, 0, 1, 1, 0, 1, 1, 1]}


def test_by_hand():
    found = score_all(LABELS, DECISIONS, PROBABILITIES, GROUPS, bins=5)
    expected = {
        "accuracy": 6 / 8,
        "balanced_accuracy": (2 / 3 + 4 / 5) / 2,
        "g_mean": math.sqrt(2 / 3 * 4 / 5),
        "macro_f1": (4 / 6 + 8 / 10) / 2,
        "f_beta": 5 * 2 / (5 * 2 + 4 * 1 + 1),
        "mcc": (2 * 4 - 1 * 1) / math.sqrt(3 * 3 * 5 * 5),
        "worst_class_recall": 2 / 3,
        "roc_auc": (5 + 5 + 3) / 15,  # negatives below each positive: .9 and .8 have all five, .3 has .2, .1 and .1
        "average_precision": (1 + 1 + 3 / 5) / 3,  # found at ranks 1, 2 and 5
        "log_loss": -sum(math.log(p) for p in (0.9, 0.8, 0.3, 0.4, 0.6, 0.8, 0.9, 0.9)) / 8,
        "brier": (0.01 + 0.04 + 0.49 + 0.36 + 0.16 + 0.04 + 0.01 + 0.01) / 8,
        # bins of width 0.2, closed on the right: {.2 .1 .1}, {.3 .4}, {.6}, {.8}, {.9}
        "ece": (abs(0.4 - 0) + abs(0.7 - 1) + abs(0.6 - 0) + abs(0.8 - 1) + abs(0.9 - 1)) / 8,
        # sex 0: labels 1 1 0, decided 1 1 0; sex 1: labels 1 0 0 0 0, decided 0 1 0 0 0
        "demographic_parity_difference": 2 / 3 - 1 / 5,
        "demographic_parity_ratio": (1 / 5) / (2 / 3),
        "equal_opportunity_difference": 1.0,
        "equalized_odds_difference": 1.0,
        "equalized_odds_ratio": 0.0,
        "worst_group_accuracy": 3 / 5,
        "ece_worst_group": (abs(0.4 - 0) + abs(0.3 - 1) + abs(0.6 - 0)) / 5,
    }
    assert found == pytest.approx(expected, abs=1e-12)


def test_the_calibration_error_of_several_classes_looks_at_the_likeliest():
    probabilities = [[0.7, 0.2, 0.1], [0.1, 0.65, 0.25], [0.3, 0.3, 0.4]]
    found = score_all([0, 2, 2], [2, 2, 2], probabilities, {}, bins=2)
    # Likeliest 0, 1, 2 with .7, .65, .4: right, wrong, right. What was decided does not matter.
    assert found["ece"] == pytest.approx((abs(1.35 - 1) + abs(0.4 - 1)) / 3)


def test_a_constant_decision_is_not_rewarded():
    found = score_all(LABELS, [0] * 8, PROBABILITIES, GROUPS)
    assert found["balanced_accuracy"] == 0.5
    assert (found["g_mean"], found["mcc"], found["worst_class_recall"]) == (0, 0, 0)
    assert found["demographic_parity_difference"] == 0
    assert found["demographic_parity_ratio"] is None, "0 / 0 is neither 0 nor 1"
    assert found["equalized_odds_ratio"] is None


def test_a_constant_probability_ranks_like_a_coin():
    found = score_all(LABELS, DECISIONS, two([0.4] * 8), {})
    assert found["roc_auc"] == 0.5
    assert found["average_precision"] == pytest.approx(3 / 8)


def test_an_absent_class_leaves_undefined_what_needs_it():
    found = score_all([0, 0, 0], [0, 1, 0], two([0.1, 0.6, 0.2]), {"sex": [0, 1, 1]})
    undefined = {name for name, value in found.items() if value is None}
    assert undefined == {
        "balanced_accuracy", "macro_f1", "f_beta", "g_mean", "mcc", "roc_auc", "average_precision", "worst_class_recall",
        "equal_opportunity_difference", "equalized_odds_difference", "equalized_odds_ratio",
    }  # fmt: skip
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_a_group_without_positives_is_not_perfectly_fair():
    # Where one group has no positive, true positive rates cannot be compared; false positive rates alone are not the odds.
    found = score_all([1, 0, 0, 0], [1, 0, 0, 0], two([0.9, 0.1, 0.1, 0.1]), {"sex": [0, 0, 1, 1]})
    assert found["equalized_odds_difference"] is None
    assert found["equal_opportunity_difference"] is None
    assert found["demographic_parity_difference"] == 0.5


def test_a_single_row():
    found = score_all([1], [1], two([0.8]), {"sex": [0]})
    assert found["accuracy"] == 1
    assert found["worst_group_accuracy"] == 1
    assert found["balanced_accuracy"] is None
    assert found["demographic_parity_difference"] is None, "one group cannot be compared"


def test_no_attribute_leaves_comparisons_of_groups_undefined():
    found = score_all(LABELS, DECISIONS, PROBABILITIES, {})
    assert {name for name, value in found.items() if value is None} == set(BY_GROUP)


def test_group_ids_keep_their_place():
    # Ids 0 and 2 with nothing in between: an absent id neither moves its neighbours nor becomes a group of rate 0.
    ids = [0, 0, 2, 2, 0, 2, 2, 2]
    assert score_all(LABELS, DECISIONS, PROBABILITIES, {"sex": ids}) == score_all(
        LABELS, DECISIONS, PROBABILITIES, GROUPS
    )


def test_groups_below_the_evidence_are_left_out_of_comparisons():
    ids = [0, 0, 1, 1, 0, 1, 1, 2]
    loose = score_all(LABELS, DECISIONS, PROBABILITIES, {"sex": ids})
    strict = score_all(LABELS, DECISIONS, PROBABILITIES, {"sex": ids}, evidence=Evidence(rows=3, per_class=1))
    assert loose["demographic_parity_difference"] == pytest.approx(2 / 3)
    assert strict["demographic_parity_difference"] == pytest.approx(2 / 3 - 1 / 4)
    nothing = score_all(LABELS, DECISIONS, PROBABILITIES, {"sex": ids}, evidence=Evidence(rows=100, per_class=1))
    assert all(nothing[name] is None for name in BY_GROUP)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"labels": [1, 2]}, "label 2 of row 1"),
        ({"decisions": [-1, 0]}, "decision -1 of row 0"),
        ({"probabilities": [[0.5, 0.6], [0.5, 0.5]]}, "row 0 are not fractions"),
        ({"probabilities": [[0.5, 0.5], [np.nan, 0.5]]}, "row 1 are not fractions"),
        ({"probabilities": [[1.0], [1.0]]}, "two classes or more"),
        ({"labels": [1, 0, 1]}, "same rows"),
        ({"groups_by_attribute": {"sex": [0]}}, "'sex'"),
        ({"groups_by_attribute": {"sex": [0, -1]}}, "'sex'"),
        ({"weights": [1.0, -1.0]}, "weights"),
    ],
)
def test_wrong_input_is_named(change, message):
    good = {
        "labels": [0, 1],
        "decisions": [0, 1],
        "probabilities": [[0.9, 0.1], [0.2, 0.8]],
        "groups_by_attribute": {"sex": [0, 1]},
    }
    score_all(**good)
    with pytest.raises(InputError, match=message):
        score_all(**good | change)


def test_names_have_one_direction_each():
    assert not set(METRICS_UP) & set(METRICS_DOWN)
    assert set(METRICS_UP + METRICS_DOWN) == set(OVERALL + BY_GROUP)


def test_the_calibration_error_by_chance_is_that_of_rows_that_are_calibrated():
    random = np.random.default_rng(0)
    confidence = random.uniform(0.05, 0.95, 600)
    probabilities = np.stack([1 - confidence, confidence], 1)
    found = []
    for _ in range(400):
        labels = (random.uniform(size=600) < confidence).astype(np.int64)
        found.append(ece(bin_sums(Scored.of(labels, labels, probabilities), 15))[0])
    expected = ece_by_chance(Scored.of(labels, labels, probabilities), 15)
    assert np.mean(found) == pytest.approx(expected, rel=0.03)
