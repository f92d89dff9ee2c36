"""How well a model does on rows without labels, judged by its own calibrated probabilities.

Confidence-based performance estimation: a row that is given probability p of a class is counted as p of a row of it, so
that the expected confusion matrix needs no labels (J. Bialek, W. Kuberski, N. Perrakis, A. Bifet, Estimating Model
Performance Under Covariate Shift Without Labels, arXiv:2401.08348). It holds while the probabilities are calibrated on
the new rows: it follows a change of the applicants, and is blind to a change of what makes a label.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from models.metrics.classification import from_confusion
from models.metrics.scored import Floats, Ints
from models.metrics.terms import BETA

DRAWS = 500


@dataclass(frozen=True)
class Estimate:
    """A metric's estimate and the range in which the value on rows drawn so would fall; None where undefined."""

    value: float | None
    low: float | None
    high: float | None


def expected_confusion(decisions: Ints, probabilities: Floats) -> Floats:
    """Decisions [n] and probabilities [n, C] -> the expected counts [C, C] by label and decision."""
    classes = probabilities.shape[1]
    chosen = np.eye(classes)[decisions]
    return probabilities.T @ chosen


def estimates(
    decisions: Ints,
    probabilities: Floats,
    confidence: float,
    rng: np.random.Generator,
    draws: int = DRAWS,
    beta: float = BETA,
) -> dict[str, Estimate]:
    """Every metric of the confusion matrix. The ranges come from labels that are drawn with the given probabilities."""
    formulas = from_confusion(beta)
    if not len(decisions):
        return {name: Estimate(None, None, None) for name in formulas}
    expected = expected_confusion(decisions, probabilities)
    drawn = _drawn_confusions(decisions, probabilities, rng, draws)
    tail = (1 - confidence) / 2
    found = {}
    for name, formula in formulas.items():
        value, values = float(formula(expected)), formula(drawn)
        values = values[np.isfinite(values)]
        if not np.isfinite(value) or len(values) < draws / 2:
            found[name] = Estimate(None, None, None)
            continue
        low, high = np.quantile(values, [tail, 1 - tail])
        found[name] = Estimate(value, float(min(low, value)), float(max(high, value)))
    return found


def _drawn_confusions(decisions: Ints, probabilities: Floats, rng: np.random.Generator, draws: int) -> Floats:
    """Confusion matrices [draws, C, C] of rows that are drawn anew, with labels drawn by their probabilities."""
    rows, classes = probabilities.shape
    upper = probabilities.cumsum(1)[:, :-1]
    found = np.zeros((draws, classes, classes))
    for i in range(draws):
        taken = rng.integers(0, rows, rows)
        labels = (rng.random((rows, 1)) > upper[taken]).sum(1)
        found[i] = np.bincount(labels * classes + decisions[taken], minlength=classes**2).reshape(classes, classes)
    return found
