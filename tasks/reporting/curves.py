"""The points of the curves that the report draws, from the scored test rows."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from models.metrics.calibration import bin_sums
from models.metrics.intervals import of_share
from models.metrics.ranking import Ranking, average_precision, curve_points, roc_auc
from models.metrics.scored import Scored

Point = tuple[float, float]
SETTLED = 10
"""A bin with fewer rows than this is drawn hollow, and its observed share does not stretch the axes."""


@dataclass(frozen=True)
class Bin:
    """Rows whose predicted probability lies in (start, end]: their mean prediction and their observed frequency."""

    start: float
    end: float
    rows: int
    predicted: float
    observed: float
    low: float
    high: float


@dataclass(frozen=True)
class Curve:
    """A curve with its area; `chance` is the height of a model that knows nothing."""

    name: str
    points: tuple[Point, ...]
    area: float
    chance: float


def reliability_bins(scored: Scored, bins: int, confidence: float) -> list[Bin]:
    """The bins of the calibration error that hold rows; the observed frequency has Wilson's interval."""
    found = []
    for i, (rows, hits, summed) in enumerate(bin_sums(scored, bins)[:, 0].T.tolist()):
        if rows > 0:
            low, high = of_share(hits, rows, confidence)
            found.append(Bin(i / bins, (i + 1) / bins, int(rows), summed / rows, hits / rows, low, high))
    return found


def rank_curves(scored: Scored, classes: Sequence[str]) -> tuple[list[Curve], list[Curve]]:
    """ROC and precision-recall curves: of the positive class for two classes, else of every class against the rest.

    A class without rows, or without others, has no curve.
    """
    rocs, recalls = [], []
    for c in (1,) if len(classes) == 2 else range(len(classes)):
        ranking = Ranking.of(scored.probabilities[:, c], scored.labels == c)
        positive, negative = ranking.sums()
        roc, recall = curve_points(ranking)
        if not roc or not recall:
            continue
        share = float(positive.sum() / (positive.sum() + negative.sum()))
        steps = tuple((p["false_positive_rate"], p["true_positive_rate"]) for p in roc)
        falling = ((0.0, recall[0]["precision"]), *((p["recall"], p["precision"]) for p in recall))
        rocs.append(Curve(classes[c], steps, float(roc_auc(positive, negative)), 0.5))
        recalls.append(Curve(classes[c], falling, float(average_precision(positive, negative)), share))
    return rocs, recalls


def highest(panels: Sequence[Sequence[Bin]]) -> float:
    """The end of the axes that several reliability panels share: the largest value shown, rounded up to a tenth."""
    shown = [b for bins in panels for b in bins]
    values = [b.predicted for b in shown] + [b.observed for b in shown if b.rows >= SETTLED]
    return min(1.0, max(0.1, math.ceil(10 * max(values, default=1.0) - 1e-9) / 10))


def rows_of(scored: Scored, groups: np.ndarray, name: str) -> Scored:
    """The rows of one group."""
    return scored.take(np.asarray(groups == name, dtype=bool))
