"""What the charts rest on: bins that agree with the calibration error, areas that agree with the metrics, the frontier."""

from __future__ import annotations

import numpy as np
import pytest

from models.metrics.score import score_all
from models.metrics.scored import Scored
from tasks.reporting.curves import rank_curves, reliability_bins
from tasks.reporting.groups import tone
from tasks.reporting.tradeoff_chart import Mark, frontier, tradeoff


@pytest.fixture
def scored() -> Scored:
    """Scores of two classes that know something."""
    rng = np.random.default_rng(0)
    labels = (rng.random(500) < 0.3).astype(int)
    positive = np.clip(0.3 + 0.3 * (labels - 0.3) + rng.normal(0, 0.15, 500), 0, 1)
    return Scored.of(labels, (positive > 0.5).astype(int), np.stack([1 - positive, positive], 1))


def test_bins_hold_every_row_and_give_the_calibration_error(scored: Scored) -> None:
    bins = reliability_bins(scored, 15, 0.95)
    assert sum(b.rows for b in bins) == len(scored)
    ece = sum(b.rows * abs(b.predicted - b.observed) for b in bins) / len(scored)
    metrics = score_all(scored.labels, scored.decisions, scored.probabilities, {}, bins=15)
    assert ece == pytest.approx(metrics["ece"])
    for b in bins:
        assert b.low <= b.observed <= b.high
        assert b.start <= b.predicted <= b.end


def test_no_rows_no_bins(scored: Scored) -> None:
    assert reliability_bins(scored.take(np.zeros(0, dtype=np.int64)), 15, 0.95) == []


def test_areas_are_those_of_the_metrics(scored: Scored) -> None:
    metrics = score_all(scored.labels, scored.decisions, scored.probabilities, {})
    (roc,), (recall,) = rank_curves(scored, ("no", "yes"))
    assert roc.area == pytest.approx(metrics["roc_auc"])
    assert recall.area == pytest.approx(metrics["average_precision"])
    assert roc.points[0] == (0, 0)
    assert roc.points[-1] == (1, 1)
    assert recall.chance == pytest.approx(scored.labels.mean())


def test_a_class_without_rows_has_no_curve(scored: Scored) -> None:
    assert rank_curves(scored.take(scored.labels == 0), ("no", "yes")) == ([], [])


def test_frontier_joins_the_trials_that_no_other_beats() -> None:
    marks = [Mark("a", "a", 0.1, 0.6, "feasible"), Mark("b", "b", 0.2, 0.7, "infeasible"), Mark("c", "c", 0.3, 0.65, "feasible"), Mark("d", "d", 0.05, 0.9, "early")]  # fmt: skip
    assert frontier(marks) == [(0.1, 0.6), (0.2, 0.6), (0.2, 0.7)]


@pytest.mark.parametrize(
    ("metric", "difference", "expected"),
    [
        ("accuracy", -0.2, "worse-4"),
        ("accuracy", 0.2, "better-4"),
        ("false_positive_rate", 0.2, "worse-4"),
        ("ece", 0.05, "worse-4"),
        ("ece", -0.02, "better-2"),
        ("selection_rate", -0.2, "less-4"),
        ("selection_rate", 0.2, "more-4"),
        ("accuracy", 0.001, ""),
    ],
)
def test_colour_says_which_side_and_how_far(metric: str, difference: float, expected: str) -> None:
    assert tone(metric, difference) == expected


@pytest.mark.parametrize(("name", "shown"), [("ldam_drw", "chosen: ldam_drw"), ("a_long_recipe_" * 6, "chosen")])
def test_a_label_that_has_no_room_is_cut_and_never_leaves_the_drawing(name, shown):
    marks = [Mark(name, name, 0.02, 0.8, "feasible", chosen=True), Mark("none", "none", 0.1, 0.6, "feasible")]
    drawn = str(tradeoff(marks, 0.05, "ECE", "Balanced accuracy"))
    assert f">{shown}<" in drawn
