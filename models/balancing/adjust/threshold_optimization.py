"""Threshold optimization: the threshold at which a metric of the confusion matrix is largest on calibration rows."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Adjuster, Claim, Decision, Scores, Source, State, Task, hyper
from models.data import Statistics

Metric = Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]
"""Weighted counts TP, FN, FP, TN, each [K] -> values [K]."""

SOURCE = Source(
    "Consistent Binary Classification with Generalized Performance Metrics",
    "O. Koyejo, N. Natarajan, P. Ravikumar, I. S. Dhillon",
    2014,
    "NeurIPS 2014",
)


def share(part: Tensor, whole: Tensor) -> Tensor:
    """part / whole, 0 where the whole is 0."""
    return torch.where(whole > 0, part / whole.clamp(min=1e-300), 0.0)


def balanced_accuracy(tp: Tensor, fn: Tensor, fp: Tensor, tn: Tensor) -> Tensor:
    """(TPR + TNR) / 2."""
    return (share(tp, tp + fn) + share(tn, tn + fp)) / 2


def f1(tp: Tensor, fn: Tensor, fp: Tensor, tn: Tensor) -> Tensor:
    """2 TP / (2 TP + FN + FP)."""
    return share(2 * tp, 2 * tp + fn + fp)


def f_beta(tp: Tensor, fn: Tensor, fp: Tensor, tn: Tensor, beta: float | Tensor) -> Tensor:
    """(1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP)."""
    square = beta**2
    return share((1 + square) * tp, (1 + square) * tp + square * fn + fp)


def saved(tp: Tensor, fn: Tensor, fp: Tensor, tn: Tensor, price: float | Tensor) -> Tensor:
    """-(price FN + FP): what is saved where a missed positive costs `price` times a false alarm."""
    return -(price * fn + fp)


def g_mean(tp: Tensor, fn: Tensor, fp: Tensor, tn: Tensor) -> Tensor:
    """sqrt(TPR TNR)."""
    return (share(tp, tp + fn) * share(tn, tn + fp)).sqrt()


def matthews(tp: Tensor, fn: Tensor, fp: Tensor, tn: Tensor) -> Tensor:
    """Matthews correlation; 0 where a margin is empty."""
    below = ((tp + fp) * (tp + fn) * (tn + fp) * (tn + fn)).sqrt()
    return share(tp * tn - fp * fn, below)


def best_threshold(margins: Tensor, positive: Tensor, weights: Tensor, metric: Metric) -> Tensor:
    """The threshold [] on the margin [n] that is best for deciding 'positive' above it; every distinct cut is tried.

    The threshold lies halfway between two neighbouring margins; of equally good ones it is the one nearest to 0, which
    is the decision as it was.
    """
    order = torch.argsort(margins, descending=True)
    sorted_margins, hit = margins[order], (positive * weights)[order]
    miss = ((1 - positive) * weights)[order]
    zero = torch.zeros(1, dtype=margins.dtype, device=margins.device)
    tp, fp = (torch.cat([zero, part.cumsum(0)]) for part in (hit, miss))
    values = metric(tp, tp[-1] - tp, fp, fp[-1] - fp)
    above = torch.cat([sorted_margins[:1] + 1, sorted_margins])
    below = torch.cat([sorted_margins, sorted_margins[-1:] - 1])
    cuts = (above + below) / 2
    distinct = above > below
    values = torch.where(distinct, values, -torch.inf)
    tied = torch.where(values >= values.max() - 1e-12, cuts.abs(), torch.inf)
    return cuts[tied.argmin()]


@dataclass(frozen=True)
class ThresholdOptimization(Adjuster):
    """One threshold on the margin between both classes; the forms differ in the metric. Probabilities stay."""

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    decides: ClassVar[Decision] = "shifted"
    source: ClassVar[Source] = SOURCE
    metric: ClassVar[Metric]

    def measure(self) -> Metric:
        """The metric, with the method's hyperparameters."""
        return type(self).metric

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """The threshold [1]."""
        margins = scores.decision[:, 1] - scores.decision[:, 0]
        found = best_threshold(margins, (labels == 1).double(), weights.double(), self.measure())
        return {"threshold": found.reshape(1)}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the positive class's decision lowered by the threshold."""
        shift = torch.cat([torch.zeros_like(state["threshold"]), -state["threshold"]])
        return scores._replace(decision=scores.decision + shift)


@dataclass(frozen=True)
class ThresholdBalancedAccuracy(ThresholdOptimization):
    """The threshold of best balanced accuracy."""

    name: ClassVar[str] = "threshold_balanced_accuracy"
    formula: ClassVar[str] = "decide z_1 - z_0 > h, h maximizing (TPR + TNR) / 2 on calibration rows"
    metric: ClassVar[Metric] = staticmethod(balanced_accuracy)
    claim: ClassVar[Claim] = Claim("raises balanced accuracy", "rare_positive", "balanced_accuracy")


@dataclass(frozen=True)
class ThresholdF1(ThresholdOptimization):
    """The threshold of best F1 of the positive class."""

    name: ClassVar[str] = "threshold_f1"
    formula: ClassVar[str] = "decide z_1 - z_0 > h, h maximizing 2 TP / (2 TP + FN + FP) on calibration rows"
    metric: ClassVar[Metric] = staticmethod(f1)
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Thresholding Classifiers to Maximize F1 Score",
            "Z. C. Lipton, C. Elkan, B. Naryanaswamy",
            2014,
            "arXiv:1402.1892",
        ),
    )
    claim: ClassVar[Claim] = Claim("raises F1", "rare_positive", "f1")


@dataclass(frozen=True)
class ThresholdFBeta(ThresholdOptimization):
    """The threshold of best F-beta of the positive class: recall counts beta times as much as precision."""

    beta: float | Tensor = hyper(2.0, 0.5, 4.0, log=True, minimum=1e-3, maximum=1e3)

    name: ClassVar[str] = "threshold_f_beta"
    formula: ClassVar[str] = (
        "decide z_1 - z_0 > h, h maximizing (1 + beta^2) TP / ((1 + beta^2) TP + beta^2 FN + FP) on calibration rows"
    )
    claim: ClassVar[Claim] = Claim("raises F-beta", "rare_positive", "f2", values={"beta": 2.0})

    def measure(self) -> Metric:
        """F-beta."""
        return partial(f_beta, beta=self.beta)


@dataclass(frozen=True)
class ThresholdCost(ThresholdOptimization):
    """The threshold of least cost, where a missed positive costs `price` times a false alarm."""

    price: float | Tensor = hyper(10.0, 2.0, 100.0, log=True, minimum=1e-6, maximum=1e6)

    name: ClassVar[str] = "threshold_cost"
    formula: ClassVar[str] = "decide z_1 - z_0 > h, h minimizing price FN + FP on calibration rows"
    source: ClassVar[Source] = Source("The Foundations of Cost-Sensitive Learning", "C. Elkan", 2001)
    claim: ClassVar[Claim] = Claim("lowers the cost of wrong decisions", "rare_positive", "cost")

    def measure(self) -> Metric:
        """What is saved."""
        return partial(saved, price=self.price)


@dataclass(frozen=True)
class ThresholdGMean(ThresholdOptimization):
    """The threshold of the best geometric mean of both recalls."""

    name: ClassVar[str] = "threshold_g_mean"
    formula: ClassVar[str] = "decide z_1 - z_0 > h, h maximizing sqrt(TPR TNR) on calibration rows"
    metric: ClassVar[Metric] = staticmethod(g_mean)
    claim: ClassVar[Claim] = Claim("raises the G-mean", "rare_positive", "g_mean")


@dataclass(frozen=True)
class ThresholdMatthews(ThresholdOptimization):
    """The threshold of the best Matthews correlation."""

    name: ClassVar[str] = "threshold_matthews"
    formula: ClassVar[str] = "decide z_1 - z_0 > h, h maximizing the Matthews correlation on calibration rows"
    metric: ClassVar[Metric] = staticmethod(matthews)
    claim: ClassVar[Claim] = Claim("raises the Matthews correlation", "rare_positive", "mcc")
