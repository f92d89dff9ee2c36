"""The estimator that fairlearn's reductions fit again and again; apart from them, as it takes scikit-learn to define it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin, clone

from models.balancing.growing import Floats, Ints


class Weighted(ClassifierMixin, BaseEstimator):
    """A boosted ensemble whose rows have weights of their own, besides those that a reduction gives them."""

    def __init__(self, boosting: Any, own: Floats) -> None:
        self.boosting, self.own = boosting, own

    def fit(self, rows: Floats, labels: Ints, sample_weight: Floats) -> Weighted:
        """Fit a copy of the ensemble."""
        self.boosting_ = clone(self.boosting).fit(rows, labels, sample_weight=np.asarray(sample_weight) * self.own)
        return self

    def predict(self, rows: Floats) -> Ints:
        """The more probable class."""
        found: Ints = self.boosting_.predict(rows)
        return found
