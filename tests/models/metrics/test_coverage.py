"""That 95% intervals hold the truth in about 95% of simulated test sets, also where bootstraps are known to fail."""

import numpy as np
import pytest

from models.metrics.fairness import Evidence
from models.metrics.figures import Terms, overall_figures
from models.metrics.gaps import Counted, gap_figures
from models.metrics.names import BY_GROUP, OVERALL
from models.metrics.paired import Comparison, paired_difference
from models.metrics.score import compare_groups, overall
from models.metrics.scored import Grouping, Scored

TERMS = Terms(draws=200, evidence=Evidence(1, 1))
CLASSES = ("good", "bad")
SETS = 120
TOO_FEW = 103
"""With 95% coverage fewer than 103 of 120 sets are covered once in 10,000 times, and the least of 18 figures once in 500."""


def logistic(x):
    return 1 / (1 + np.exp(-x))


def simulate(rng, rows, shift=(0, 0, 0), slope=1.0, noise=0.0, share=0.3):
    """Labels from a logistic model; probabilities stretched by `slope`, blurred by `noise`, moved by group."""
    groups = rng.integers(0, 3, rows)
    odds = np.log(share / (1 - share)) + rng.normal(size=rows)
    labels = (rng.random(rows) < logistic(odds)).astype(int)
    p = logistic(slope * (odds + noise * rng.normal(size=rows)) + np.array(shift)[groups])
    return labels, groups, p


def scored(labels, p):
    return Scored.of(labels, (p > 0.35).astype(int), np.column_stack([1 - p, p]))


def by_group(groups):
    return Grouping("group", ("a", "b", "c"), groups)


POPULATIONS = {
    "equal groups, calibrated": {},
    "unequal groups": {"shift": (0, 0.6, 1.2)},
    "rare class, overconfident": {"share": 0.08, "slope": 1.7},
}


@pytest.mark.parametrize("name", POPULATIONS)
def test_intervals_hold_the_truth(name):
    settings = POPULATIONS[name]
    labels, groups, p = simulate(np.random.default_rng(1), 600_000, **settings)
    truth = overall(scored(labels, p)) | compare_groups(scored(labels, p), by_group(groups), Evidence())
    covered = dict.fromkeys((*OVERALL, *BY_GROUP), 0)
    for seed in range(SETS):
        labels, groups, p = simulate(np.random.default_rng(100 + seed), 500, **settings)
        found = scored(labels, p)
        figures = overall_figures(found, CLASSES, TERMS) | gap_figures(found, CLASSES, by_group(groups), TERMS)
        for metric, figure in figures.items():
            covered[metric] += figure.low <= truth[metric] <= figure.high
    assert {metric: n for metric, n in covered.items() if n < TOO_FEW} == {}
    # Intervals that always hold everything would be of no use: the smooth figures must miss now and then.
    assert sum(covered[metric] for metric in ("accuracy", "roc_auc", "log_loss", "brier", "mcc")) < 5 * SETS


COMPARED = {
    "alike": ({"noise": 0.3}, {"noise": 0.3}),
    "one is fair, the other is not": ({}, {"shift": (0, 0, 1.0)}),
    "one is calibrated, the other is not": ({}, {"slope": 2.0}),
}


@pytest.mark.parametrize("name", COMPARED)
def test_paired_intervals_hold_the_true_difference(name):
    metrics = ("accuracy", "roc_auc", "ece", "equalized_odds_difference", "worst_group_accuracy", "ece_worst_group")

    def both(seed, rows):
        pair = [simulate(np.random.default_rng(seed), rows, **settings) for settings in COMPARED[name]]
        if name == "alike":  # the same rows, blurred independently
            blurred = logistic(
                np.log(pair[0][2] / (1 - pair[0][2])) + 0.3 * np.random.default_rng([seed, 1]).normal(size=rows)
            )
            pair[1] = (*pair[0][:2], blurred)
        return by_group(pair[0][1]), *(scored(labels, p) for labels, _, p in pair)

    grouping, first, second = both(1, 600_000)
    truth = [overall(one) | compare_groups(one, grouping, Evidence()) for one in (first, second)]
    covered = dict.fromkeys(metrics, 0)
    for seed in range(SETS):
        grouping, first, second = both(1000 + seed, 500)
        counted = Counted.of(first, grouping, TERMS)
        for metric in metrics:
            what = Comparison(metric, TERMS.bins, grouping, counted.masks, counted.enough)
            _, (low, high) = paired_difference(what, first, second, 120, 0.95, np.random.default_rng([seed, 9]))
            covered[metric] += low <= truth[0][metric] - truth[1][metric] <= high
    assert {metric: n for metric, n in covered.items() if n < TOO_FEW} == {}
