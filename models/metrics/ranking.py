"""How well scores rank positives above negatives: ROC AUC, average precision and their curves.

Everything is computed from a `Ranking`, the order of one score column with its ties; the weights of the rows may be a
stack of bootstrap draws.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from models.metrics.classification import divide
from models.metrics.scored import Bools, Floats, Ints, Scored


@dataclass(frozen=True)
class Ranking:
    """Rows sorted by falling score: `order` [n], `positive` [n] in that order, `starts` [U] of the runs of equal scores."""

    order: Ints
    positive: Bools
    starts: Ints
    thresholds: Floats

    @staticmethod
    def of(scores: Floats, positive: Bools) -> Ranking:
        """Sort once; draws of weights reuse the order."""
        order = np.argsort(-scores, kind="stable")
        ranked = scores[order]
        starts = np.flatnonzero(np.r_[True, ranked[1:] != ranked[:-1]]) if len(ranked) else np.zeros(0, dtype=np.int64)
        return Ranking(order, positive[order], starts, ranked[starts])

    def sums(self, weights: Floats | None = None) -> tuple[Floats, Floats]:
        """Weight of positives and of negatives at each distinct score [..., U]; weights [..., n] are in row order."""
        ranked = np.ones(len(self.order)) if weights is None else np.take(weights, self.order, axis=-1)
        return self.sums_ranked(ranked)

    def sums_ranked(self, ranked: Floats) -> tuple[Floats, Floats]:
        """The same from weights [..., n] that are already in the order of the ranking."""
        positive = ranked * self.positive
        negative = ranked - positive
        if len(self.starts) == len(self.order):
            return positive, negative
        return np.add.reduceat(positive, self.starts, axis=-1), np.add.reduceat(negative, self.starts, axis=-1)


def roc_auc(positive: Floats, negative: Floats) -> Floats:
    """Chance that a positive scores above a negative, ties counting half (Hanley and McNeil 1982); NaN without both.

    positive, negative: weights at each distinct score, from the highest score down [..., U].
    """
    above = np.cumsum(positive, axis=-1)
    found = above[..., -1] if positive.shape[-1] else np.zeros(positive.shape[:-1])
    below = np.einsum("...u,...u->...", negative, above - positive / 2)
    return divide(np.asarray(below), np.asarray(found * negative.sum(-1)))


def average_precision(positive: Floats, negative: Floats) -> Floats:
    """Precision at each distinct score, weighted by the recall gained there; NaN without both classes.

    positive, negative: weights at each distinct score, from the highest score down [..., U].
    """
    found = np.cumsum(positive, axis=-1)
    chosen = np.cumsum(positive + negative, axis=-1)
    # Rows of weight 0 ahead of all others choose nothing: 0 / 0 there adds nothing.
    precision = found / np.maximum(chosen, np.finfo(np.float64).tiny)
    area = divide(np.asarray(np.einsum("...u,...u->...", positive, precision)), np.asarray(positive.sum(-1)))
    return np.where(negative.sum(-1) > 0, area, np.nan)


FROM_RANKING: dict[str, Callable[[Floats, Floats], Floats]] = {
    "roc_auc": roc_auc,
    "average_precision": average_precision,
}


def rankings(scored: Scored) -> list[Ranking]:
    """One ranking for a binary target (the positive class), one per class against the rest otherwise."""
    classes = (1,) if scored.classes == 2 else range(scored.classes)
    return [Ranking.of(scored.probabilities[:, c], scored.labels == c) for c in classes]


def curve_points(ranking: Ranking, limit: int = 200) -> tuple[list[dict[str, float]], list[dict[str, float]]]:
    """Points of the ROC curve and of the precision-recall curve, at most about `limit` each; empty without both classes."""
    positive, negative = ranking.sums()
    true, false = np.cumsum(positive), np.cumsum(negative)
    if not len(true) or true[-1] == 0 or false[-1] == 0:
        return [], []
    keep = np.unique(np.r_[_spread(true, limit // 2), _spread(false, limit // 2)])
    roc = [{"false_positive_rate": 0.0, "true_positive_rate": 0.0}]
    roc += [
        {"false_positive_rate": float(false[i] / false[-1]), "true_positive_rate": float(true[i] / true[-1])}
        for i in keep
    ]
    recall = [
        {
            "recall": float(true[i] / true[-1]),
            "precision": float(true[i] / (true[i] + false[i])),
            "threshold": float(ranking.thresholds[i]),
        }
        for i in keep
    ]
    return roc, recall


def _spread(rising: Floats, limit: int) -> Ints:
    """Positions of a rising array at about `limit` even steps of its value, the last among them."""
    steps = np.linspace(0, rising[-1], limit)
    return np.minimum(np.searchsorted(rising, steps), len(rising) - 1)
