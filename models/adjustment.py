"""From trained models to adjusted scores: average the members, fit the adjusters in order, apply them."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from models.balancing.component import Adjuster, Scores, State
from models.data import Split, Statistics
from models.learners.learner import Model
from models.schema import Task


def average(models: Sequence[Model], split: Split) -> Scores:
    """The logarithm of the members' mean probabilities [n, C] (float64), as probabilities and as decision scores.

    Of labels, the decision scores are the log-odds [n, L]; of a number, both are the members' mean [n, 1], standardized.
    """
    return together([model.logits(split) for model in models], split.task)


def together(outputs: Sequence[Tensor], task: Task = "multiclass") -> Scores:
    """The same from the members' logits, each [n, O]."""
    logits = torch.stack([one.double() for one in outputs])
    if task == "regression":
        return Scores(logits.mean(0), logits.mean(0), logits)
    share = math.log(len(logits))
    if task == "multilabel":
        carried, absent = (torch.logsumexp(logsigmoid(sign * logits), 0) - share for sign in (1, -1))
        return Scores(carried, carried - absent, logsigmoid(logits))
    members = torch.log_softmax(logits, -1)
    mean = torch.logsumexp(members, 0) - share
    return Scores(mean, mean, members)


def fit_adjusters(
    adjusters: Sequence[Adjuster], scores: Scores, calib: Split, statistics: Statistics
) -> tuple[list[State], Scores]:
    """Fit each adjuster on the calibration rows as the ones before it leave them; their states and the final scores.

    `statistics` are the counts of the table that the models were trained on.
    """
    states = []
    for adjuster in adjusters:
        state = adjuster.fit(scores, calib.truth, calib.groups, calib.weights, statistics)
        scores = adjuster.adjust(state, scores, calib.groups)
        states.append(state)
    return states, scores


def apply_adjusters(adjusters: Sequence[Adjuster], states: Sequence[State], scores: Scores, groups: Tensor) -> Scores:
    """Apply fitted adjusters in order."""
    for adjuster, state in zip(adjusters, states, strict=True):
        scores = adjuster.adjust(state, scores, groups)
    return scores
