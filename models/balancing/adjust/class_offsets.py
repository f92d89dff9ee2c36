"""An offset per class with which a metric of the confusion matrix is largest on calibration rows, for any number of classes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Adjuster, Claim, Decision, Scores, Source, State, hyper
from models.data import Statistics, one_hot

Metric = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Weights of the rows that are right [..., C], decided so [..., C] and truly so [C], by class -> values [...]."""

ROUNDS, CANDIDATES = 10, 2048
"""Passes over the classes, and offsets tried for one class; with fewer rows every one that makes a difference."""


def recalls(right: Tensor, actual: Tensor) -> Tensor:
    """Recall by class [..., C]; 1 for a class without rows, which then never counts."""
    return torch.where(actual > 0, right / actual.clamp(min=1e-300), 1.0)


def balanced_accuracy(right: Tensor, decided: Tensor, actual: Tensor) -> Tensor:
    """The mean recall of the classes with rows."""
    present = (actual > 0).double()
    return (recalls(right, actual) * present).sum(-1) / present.sum()


def macro_f1(right: Tensor, decided: Tensor, actual: Tensor) -> Tensor:
    """The mean F1 of the classes with rows."""
    present = (actual > 0).double()
    return (2 * right / (decided + actual).clamp(min=1e-300) * present).sum(-1) / present.sum()


def g_mean(right: Tensor, decided: Tensor, actual: Tensor) -> Tensor:
    """The geometric mean of the recalls."""
    present = (actual > 0).double()
    return (recalls(right, actual).clamp(min=1e-12).log() * present).sum(-1).div(present.sum()).exp()


def worst_class_recall(right: Tensor, decided: Tensor, actual: Tensor) -> Tensor:
    """The smallest recall; of equal ones, the larger mean wins."""
    return recalls(right, actual).amin(-1) + 1e-3 * balanced_accuracy(right, decided, actual)


METRICS: Mapping[str, Metric] = {
    "balanced_accuracy": balanced_accuracy, "macro_f1": macro_f1, "g_mean": g_mean, "worst_class_recall": worst_class_recall,
}  # fmt: skip


def value_of(scores: Tensor, labels: Tensor, weights: Tensor, metric: Metric) -> Tensor:
    """The metric [] of deciding for the largest score [n, C]."""
    decided = one_hot(scores.argmax(-1), scores.shape[1]).double() * weights[:, None]
    actual = one_hot(labels, scores.shape[1]).double() * weights[:, None]
    right = decided * one_hot(labels, scores.shape[1])
    return metric(right.sum(0), decided.sum(0), actual.sum(0))


def best_offset(scores: Tensor, labels: Tensor, weights: Tensor, label: int, metric: Metric) -> tuple[Tensor, Tensor]:
    """What to add to the scores of class `label` for the largest metric, and that metric; of equally good ones the smallest.

    Row i is decided for the class from the offset s_i = max_(j != label) z_j - z_label on, so that sorting the rows by s_i
    gives the confusion of every offset by cumulative sums.
    """
    classes = scores.shape[1]
    others = scores.clone()
    others[:, label] = -torch.inf
    top, rival = others.max(-1)
    switch, order = (top - scores[:, label]).sort(stable=True)
    kind, rival, weight = labels[order], rival[order], weights[order]
    actual = (one_hot(labels, classes).double() * weights[:, None]).sum(0)
    gone = one_hot(rival, classes).double() * weight[:, None]
    gone_right = gone * one_hot(kind, classes)
    gained = one_hot(torch.full_like(kind, label), classes).double() * weight[:, None]
    gained_right = gained * one_hot(kind, classes)
    zero = torch.zeros(1, classes, dtype=torch.float64, device=scores.device)
    decided, right = (
        before.sum(0) + torch.cat([zero, (after - before).cumsum(0)])
        for before, after in ((gone, gained), (gone_right, gained_right))
    )
    below = torch.cat([switch[:1] - 2, switch])
    above = torch.cat([switch, switch[-1:] + 2])
    places = torch.nonzero(above > below).squeeze(1)
    places = places[torch.linspace(0, len(places) - 1, min(CANDIDATES, len(places)), device=scores.device).long()]
    offsets = (below[places] + above[places]) / 2
    # An offset between the neighbours of 0 changes nothing, and 0 stands for it.
    offsets = torch.where((below[places] < 0) & (above[places] > 0), 0.0, offsets)
    values = metric(right[places], decided[places], actual)
    best = torch.where(values >= values.max() - 1e-12, offsets.abs(), torch.inf).argmin()
    return offsets[best], values[best]


def class_offsets(scores: Tensor, labels: Tensor, weights: Tensor, starts: Tensor, metric: Metric) -> Tensor:
    """Offsets [C] for scores [n, C] by coordinate ascent from each of `starts` [S, C]; the best end."""
    found, reached = starts[0], torch.tensor(-torch.inf, dtype=torch.float64, device=scores.device)
    for start in starts:
        offsets, value = start.clone(), value_of(scores + start, labels, weights, metric)
        for _ in range(ROUNDS):
            before = value
            for label in range(scores.shape[1]):
                step, tried = best_offset(scores + offsets, labels, weights, label, metric)
                if bool(tried > value + 1e-12):
                    offsets[label] += step
                    value = tried
            if bool(value <= before + 1e-9):
                break
        if bool(value > reached):
            found, reached = offsets, value
    return found - found.mean()


@dataclass(frozen=True)
class ClassOffsets(Adjuster):
    """Offsets on the classes' decision scores: for metrics of the recalls and the like, the best rule has this form.

    How they are searched is not the paper's: class by class, from the decision as it is and from the threshold at the prior.
    Probabilities stay.
    """

    metric: str = hyper("balanced_accuracy", choices=tuple(METRICS))

    name: ClassVar[str] = "class_offsets"
    formula: ClassVar[str] = "decide argmax_c z_c + b_c, b maximizing the metric on calibration rows"
    decides: ClassVar[Decision] = "shifted"
    source: ClassVar[Source] = Source(
        "Consistent Multiclass Algorithms for Complex Performance Measures",
        "H. Narasimhan, H. G. Ramaswamy, A. Saha, S. Agarwal",
        2015,
        "arXiv:1501.00287",
    )
    claim: ClassVar[Claim] = Claim(
        "makes a metric of the confusion matrix large, whatever the model was trained for",
        "long_tail",
        "balanced_accuracy",
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """The offsets [C]."""
        z = scores.decision.double()
        starts = torch.stack([torch.zeros_like(z[0]), -statistics.prior.to(z).log()])
        return {"offsets": class_offsets(z, labels, weights.double(), starts, METRICS[self.metric])}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision shifted."""
        return scores._replace(decision=scores.decision + state["offsets"])
