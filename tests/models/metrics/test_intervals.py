"""Closed-form intervals: published examples, and no certainty from few rows."""

import numpy as np
import pytest
import scipy.stats
from sklearn.utils import check_random_state

from models.metrics import intervals
from models.metrics.fairness import Rates


def family(successes, trials, mask=None):
    """One kind of rate for groups of these counts."""
    k, n = np.array([successes], dtype=float), np.array([trials], dtype=float)
    return Rates(k, n), np.array([[True] * len(successes) if mask is None else mask])


@pytest.mark.parametrize(("k", "n"), [(0, 1), (0, 12), (12, 12), (1, 30), (81, 263), (15, 148), (5000, 10000)])
@pytest.mark.parametrize("confidence", [0.8, 0.95, 0.99])
def test_a_share_has_wilsons_interval(k, n, confidence):
    expected = scipy.stats.binomtest(k, n).proportion_ci(confidence, method="wilson")
    assert intervals.of_share(k, n, confidence) == pytest.approx(tuple(expected), abs=1e-12)


def test_no_success_is_not_certainty():
    assert intervals.of_share(0, 12, 0.95) == pytest.approx((0, 0.2425), abs=1e-4)
    assert intervals.of_share(12, 12, 0.95) == pytest.approx((0.7575, 1), abs=1e-4)
    assert np.isnan(intervals.of_share(0, 0, 0.95)).all()


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    # Newcombe (1998), table II, method 10.
    [
        ((56, 70), (48, 80), (0.0524, 0.3339)),
        ((9, 10), (3, 10), (0.1705, 0.8090)),
        ((10, 10), (0, 20), (0.6791, 1.0000)),
        ((10, 10), (0, 10), (0.6075, 1.0000)),
    ],
)
def test_the_difference_of_two_shares_has_newcombes_limits(first, second, expected):
    k, n = np.array([[first[0], second[0]], [first[1], second[1]]], dtype=float)
    below, above = intervals._difference_limits(k, n, intervals.normal(0.025))
    assert (below[0], above[0]) == pytest.approx(expected, abs=5e-5)


@pytest.mark.parametrize("groups", [2, 3, 5, 12])
@pytest.mark.parametrize("confidence", [0.9, 0.95, 0.99])
def test_the_critical_value_for_all_pairs_is_tukeys(groups, confidence):
    expected = scipy.stats.studentized_range.ppf(confidence, groups, 1e6) / np.sqrt(2)
    assert intervals.range_critical(groups, confidence) == pytest.approx(expected, abs=2e-3)


def test_equal_rates_of_small_groups_do_not_prove_a_gap_of_zero():
    low, high = intervals.of_difference_gap([family([0, 0], [12, 30])], 0.95)
    assert low == 0
    assert high > 0.2
    low, high = intervals.of_difference_gap([family([3, 3], [3, 3])], 0.95)
    assert (low, high) == pytest.approx((0, 0.56), abs=0.01)


def test_a_group_that_takes_no_part_does_not_move_the_interval():
    with_it = intervals.of_difference_gap([family([40, 30, 0], [100, 100, 1], [True, True, False])], 0.95)
    assert with_it == intervals.of_difference_gap([family([40, 30], [100, 100])], 0.95)
    nobody = family([40, 0], [100, 1], [True, False])
    assert np.isnan(intervals.of_difference_gap([nobody], 0.95)).all()
    assert np.isnan(intervals.of_ratio_gap([nobody], 0.95)).all()


def test_a_ratio_of_rates():
    low, high = intervals.of_ratio_gap([family([80, 40], [200, 200])], 0.95)
    assert low < 0.5 < high < 1
    assert low == pytest.approx(0.361, abs=0.01), "about the usual limits on the log scale"
    assert intervals.of_ratio_gap([family([0, 20], [50, 50])], 0.95).low == 0
    assert 0 < intervals.of_ratio_gap([family([0, 20], [50, 50])], 0.95).high < 0.4
    assert np.isnan(intervals.of_ratio_gap([family([0, 0], [50, 50])], 0.95)).all(), "0 / 0"


def test_means_of_shares_at_the_edge():
    perfect = intervals.of_mean(np.array([12.0, 500.0]), np.array([12.0, 500.0]), 0.95)
    assert perfect.high == 1
    assert perfect.low == pytest.approx(1 - 0.2425 / 2, abs=1e-3), "the small class decides"
    assert intervals.of_geometric_mean(np.array([0.0, 90.0]), np.array([12.0, 100.0]), 0.95).low == 0
    assert 0.3 < intervals.of_geometric_mean(np.array([0.0, 90.0]), np.array([12.0, 100.0]), 0.95).high < 0.6
    smallest = intervals.of_smallest(np.array([12.0, 450.0]), np.array([12.0, 500.0]), 0.95)
    assert smallest.low == pytest.approx(0.7575, abs=1e-3), "a class that is perfect on 12 rows may still be the worst"


def test_calibration_error_of_a_calibrated_model_may_be_zero():
    rng = np.random.default_rng(0)
    p = rng.beta(1, 4, 5000)
    hit = rng.random(5000) < p
    places = np.minimum((p * 15).astype(int), 14)
    sums = np.stack([np.bincount(places, w, minlength=15) for w in (np.ones(5000), hit, p)])
    value = np.abs(sums[2] - sums[1]).sum() / 5000
    low, high = intervals.of_ece(sums, 0.95)
    assert value > 0
    assert low == 0
    assert value < high < value + 0.03
    assert np.isnan(intervals.of_ece(np.zeros((3, 15)), 0.95)).all()


@pytest.mark.parametrize("seed", range(40))
def test_every_interval_contains_its_estimate_and_stays_in_range(seed):
    rng = check_random_state(seed)
    n = rng.randint(1, 40, 4).astype(float)
    k = np.floor(n * rng.choice([0, 0.1, 0.5, 1.0], 4))
    share = k / n
    confidence = float(rng.choice([0.8, 0.95, 0.999]))
    gap, ratio = family(k, n), share.min() / share.max() if share.max() else None
    checked = [
        (share.mean(), intervals.of_mean(k, n, confidence)),
        (share.prod() ** 0.25, intervals.of_geometric_mean(k, n, confidence)),
        (share.min(), intervals.of_smallest(k, n, confidence)),
        (share.max() - share.min(), intervals.of_difference_gap([gap], confidence)),
        (2 * k[0] / (n[0] + k[0]), intervals.of_f1(k[0], n[0] - k[0], confidence)),
    ]
    if ratio is not None:
        checked.append((ratio, intervals.of_ratio_gap([gap], confidence)))
    for value, (low, high) in checked:
        assert 0 <= low <= value + 1e-12
        assert value - 1e-12 <= high <= 1
        assert low < high
