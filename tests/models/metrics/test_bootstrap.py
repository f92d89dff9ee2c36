"""The bootstrap: its spread, its seeds, and what it says where no resample moves a figure."""

import numpy as np
import pytest

from models.metrics.bootstrap import cell_weights, generator, of_metrics, percentile, row_weights, with_unseen_errors
from models.metrics.classification import confusion_matrix
from models.metrics.scored import Scored

NAMES = ("macro_f1", "mcc", "roc_auc", "average_precision", "log_loss", "brier")


def scored(seed=0, rows=300, classes=2):
    rng = np.random.default_rng(seed)
    labels = np.r_[np.arange(classes), rng.integers(0, classes, rows - classes)]
    p = rng.dirichlet(np.ones(classes), rows)
    p[np.arange(rows), labels] += 0.3
    p /= p.sum(1, keepdims=True)
    return Scored.of(labels, p.argmax(1), p)


def test_the_spread_is_that_of_drawing_rows_with_replacement():
    found = scored(rows=400)
    rng = np.random.default_rng(1)
    again = [(lambda s: s.decisions == s.labels)(found.take(rng.integers(0, 400, 400))).mean() for _ in range(4000)]
    weights = np.concatenate(list(row_weights(400, 4000, np.random.default_rng(2))))
    weighted = (weights * (found.decisions == found.labels)).sum(1) / weights.sum(1)
    assert weighted.std() == pytest.approx(np.std(again), rel=0.06)
    cells = cell_weights(confusion_matrix(found.labels, found.decisions, 2), 4000, np.random.default_rng(3))
    by_cells = (cells[:, 0, 0] + cells[:, 1, 1]) / cells.sum((1, 2))
    assert by_cells.std() == pytest.approx(weighted.std(), rel=0.06)


@pytest.mark.parametrize("classes", [2, 4])
def test_same_seed_same_interval_whatever_else_is_asked_for(classes):
    found = scored(classes=classes)
    together = of_metrics(NAMES, found, 100, 0.95, seed=5, about="here")
    for name in NAMES:
        assert of_metrics([name], found, 100, 0.95, seed=5, about="here")[name] == together[name]
    other = of_metrics(NAMES, found, 100, 0.95, seed=6, about="here")
    elsewhere = of_metrics(NAMES, found, 100, 0.95, seed=5, about="there")
    assert all(together[name] != other[name] and together[name] != elsewhere[name] for name in NAMES)


def test_chunks_do_not_show():
    few = np.concatenate(list(row_weights(300_000, 3, generator(0, "x"))))
    assert few.shape == (3, 300_000)
    assert len({tuple(row[:5]) for row in few}) == 3


def test_a_perfect_model_on_few_positives_is_not_certain():
    labels = np.r_[np.ones(12, dtype=int), np.zeros(500, dtype=int)]
    p = np.where(labels == 1, 0.9, 0.1) + np.linspace(-0.05, 0.05, 512)
    found = of_metrics(NAMES, Scored.of(labels, labels, np.column_stack([1 - p, p])), 500, 0.95, seed=0)
    for name in ("macro_f1", "mcc", "roc_auc", "average_precision"):
        assert found[name].high == 1, name
        assert found[name].low < 0.95, name
    assert found["roc_auc"].low == pytest.approx(0.7575, abs=1e-3)


def test_unseen_errors_are_added_only_where_a_class_is_decided_all_alike():
    confusion = np.array([[490.0, 10.0, 0.0], [0.0, 12.0, 0.0], [0.0, 0.0, 0.0]])
    added = with_unseen_errors(confusion) - confusion
    np.testing.assert_allclose(added, [[0, 0, 0], [1 / 6, 0, 1 / 6], [0, 0, 0]])


def test_equal_losses_of_all_rows_have_no_interval():
    found = of_metrics(["brier"], Scored.of([1, 1], [1, 1], [[0.3, 0.7], [0.3, 0.7]]), 100, 0.95, seed=0)["brier"]
    assert np.isnan(found).all()


def test_a_figure_that_is_undefined_in_a_draw_has_no_interval():
    assert np.isnan(percentile(np.array([0.1, np.nan, 0.2]), 0.1, 0.95, 10)).all()


def test_percentiles_follow_the_bias_that_resamples_show():
    rng = np.random.default_rng(0)
    straight = percentile(rng.normal(0, 1, 20_000), 0.0, 0.95, 10_000)
    assert straight == pytest.approx((-1.96, 1.96), abs=0.06)
    lifted = percentile(rng.normal(0.3, 1, 20_000), 0.0, 0.95, 10_000)
    assert lifted == pytest.approx((-2.26, 1.66), abs=0.08), "resamples that lie too high move the interval down"
    assert percentile(rng.normal(0, 1, 20_000), 0.0, 0.95, 10).high > 2.2, "few rows, wider"
