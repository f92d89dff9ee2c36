"""AUC margin loss: maximize the area under the ROC curve through a min-max problem that splits over rows."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Correction, Loss, Source, State, Task, hyper
from models.data import Batch, Statistics


def auc_margin(
    scores: Tensor, positive: Tensor, prior: Tensor, a: Tensor, b: Tensor, dual: Tensor, margin: float | Tensor
) -> Tensor:
    """The min-max objective of each row [B], for scores in [0, 1] and `positive` the target of class 1.

    (1-p) (h-a)^2 [+] + p (h-b)^2 [-] + 2 dual (p (1-p) m + p h [-] - (1-p) h [+]) - p (1-p) dual^2
    """
    negative, p = 1 - positive, prior
    spread = (1 - p) * (scores - a) ** 2 * positive + p * (scores - b) ** 2 * negative
    return spread + dual * 2 * violation(scores, positive, p, margin) - p * (1 - p) * dual**2


def violation(scores: Tensor, positive: Tensor, prior: Tensor, margin: float | Tensor) -> Tensor:
    """p (1-p) m + p h [-] - (1-p) h [+] of each row [B]; its mean is p (1-p) (m + mean of negatives - mean of positives)."""
    return prior * (1 - prior) * margin + prior * scores * (1 - positive) - (1 - prior) * scores * positive


@dataclass(frozen=True)
class AUCMargin(Loss):
    """AUCM: a and b, the centres of both classes' scores, descend with the net; the dual ascends and stays >= 0.

    The score is the probability of class 1. The loss ranks and does not calibrate: put a calibrating adjuster beside it.
    Its means are of one class each, and with q the probability of class 1 if both classes were equally frequent the best
    score is h = b - d + q (a - b + 2 d): it rises with q, whatever the class frequencies are, and adding a number to h, a and
    b changes nothing, so that half of it is no threshold.
    """

    margin: float | Tensor = hyper(1.0, 0.3, 1.0, minimum=0.0, maximum=2.0)
    dual_step: float | Tensor = hyper(0.1, 0.01, 1.0, log=True, minimum=0.0, maximum=100.0)

    name: ClassVar[str] = "auc_margin"
    formula: ClassVar[str] = (
        "min_(w,a,b) max_(d>=0) E[(h-a)^2|+] + E[(h-b)^2|-] + 2 d (m + E[h|-] - E[h|+]) - d^2, times p (1-p)"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    corrects_prior: ClassVar[Correction] = "wholly"
    ranks: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "Large-scale Robust Deep AUC Maximization: A New Surrogate Loss and Empirical Studies on Medical Image Classification",
        "Z. Yuan, Y. Yan, M. Sonka, T. Yang",
        2020,
        "arXiv:2012.03173",
    )
    claim: ClassVar[Claim] = Claim("raises the area under the ROC curve", "rare_positive", "roc_auc")

    def parameters(self, statistics: Statistics, features: int, generator: torch.Generator) -> State:
        """The centres of the positives' and of the negatives' scores."""
        return {"a": torch.zeros(1), "b": torch.zeros(1)}

    def init(self, statistics: Statistics) -> State:
        """The share of positives, and the dual."""
        return {"prior": statistics.prior[1:2], "dual": torch.zeros(1)}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, 2] -> loss per row [B]."""
        scores = torch.softmax(logits, -1)[..., 1]
        return auc_margin(
            scores, batch.targets[..., 1], state["prior"], state["a"], state["b"], state["dual"], self.margin
        )

    def advance(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> State:
        """The dual, a projected step up the objective's mean over the batch, its rows counted by their weights."""
        p, scores = state["prior"], torch.softmax(logits, -1)[..., 1]
        each = violation(scores, batch.targets[..., 1], p, self.margin)
        mean = (batch.weights * each).sum() / batch.weights.sum().clamp(min=1e-12)
        slope = 2 * mean - 2 * p * (1 - p) * state["dual"]
        return {**state, "dual": (state["dual"] + self.dual_step * slope).clamp(min=0)}
