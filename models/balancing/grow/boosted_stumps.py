"""AdaBoost's trees as votes: what the under-sampling boosters share."""

from typing import Any

import numpy as np

from models.balancing.growing import Votes


def boosted_votes(boosted: Any, classes: int) -> Votes:
    """A fitted AdaBoost (SAMME) of decision trees as a sum whose softmax are its probabilities.

    Of C classes, a tree with weight a adds a / (sum of all weights) / (C - 1) for the class that it decides for, and for the
    others -1 / (C - 1) times that.
    """
    share = np.asarray(boosted.estimator_weights_)[: len(boosted.estimators_)]
    share = share / share.sum()
    values = []
    for tree, weight in zip(boosted.estimators_, share, strict=True):
        decided = np.eye(classes)[tree.classes_[tree.tree_.value[:, 0, :].argmax(1)]]
        values.append(weight / (classes - 1) * np.where(decided > 0, 1.0, -1.0 / (classes - 1)))
    return Votes(tuple(boosted.estimators_), tuple(values), "softmax")
