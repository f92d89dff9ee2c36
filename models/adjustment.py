"""From trained models to adjusted scores: average the members, fit the adjusters in order, apply them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from models.balancing.component import Adjuster, Scores, State
from models.data import Split, Statistics
from models.learners.learner import Model


def average(models: Sequence[Model], split: Split) -> Scores:
    """The logarithm of the members' mean probabilities [n, C] (float64), as probabilities and as decision scores."""
    return together([model.logits(split) for model in models])


def together(logits: Sequence[Tensor]) -> Scores:
    """The same from the members' logits, each [n, C]."""
    members = torch.stack([torch.log_softmax(one.double(), -1) for one in logits])
    mean = torch.logsumexp(members, 0) - math.log(len(members))
    return Scores(mean, mean, members)


def fit_adjusters(
    adjusters: Sequence[Adjuster], scores: Scores, calib: Split, statistics: Statistics
) -> tuple[list[State], Scores]:
    """Fit each adjuster on the calibration rows as the ones before it leave them; their states and the final scores.

    `statistics` are the counts of the table that the models were trained on.
    """
    states = []
    for adjuster in adjusters:
        state = adjuster.fit(scores, calib.labels, calib.groups, calib.weights, statistics)
        scores = adjuster.adjust(state, scores, calib.groups)
        states.append(state)
    return states, scores


def apply_adjusters(adjusters: Sequence[Adjuster], states: Sequence[State], scores: Scores, groups: Tensor) -> Scores:
    """Apply fitted adjusters in order."""
    for adjuster, state in zip(adjusters, states, strict=True):
        scores = adjuster.adjust(state, scores, groups)
    return scores
