"""Integrated-risk loss: the log-likelihood of every decision counts by its utility, as if all classes were equally frequent."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Correction, Loss, Source, State, hyper
from models.balancing.loss.none import cross_entropy
from models.balancing.loss.weighted_ce import inverse_frequency
from models.data import Batch, Statistics

SOURCE = Source(
    "Long-tailed Classification from a Bayesian-decision-theory Perspective",
    "B. Li, R. Zhang",
    2023,
    "arXiv:2303.06075",
)


def tail_sensitive_utility(class_counts: Tensor, tolerance: float | Tensor) -> Tensor:
    """u(y, d) [C, C] of deciding d where y is right: 1 for y, `tolerance` for a rarer class, 0 for a more frequent one."""
    rarer = (class_counts[None, :] < class_counts[:, None]).to(class_counts.dtype)
    return torch.eye(class_counts.shape[-1], device=class_counts.device) + tolerance * rarer


def integrated_risk(logits: Tensor, targets: Tensor, weights: Tensor, utility: Tensor) -> Tensor:
    """-w_y sum_d u(y, d) log p_d per row [B], for class weights [C] and utilities [C, C]."""
    return cross_entropy(logits, targets @ (weights[:, None] * utility))


@dataclass(frozen=True)
class IntegratedRisk(Loss):
    """The Bayesian decision view of long tails: weights 1 / n_y move the risk to balanced classes, utilities price errors.

    The utilities are tail-sensitive: a tail row taken for a head class is the worst error, a head row taken for a rarer
    class is tolerated in part. (Released code gives more frequent classes a utility below 0 instead, under which the loss has
    no lower bound.) The paper's posterior is an ensemble of nets, which here the learner makes: with `tabm`
    every member learns by itself and their probabilities are averaged (the paper's repulsion between members is left
    out). The decision of greatest expected utility is the adjuster `expected_utility`.
    """

    tolerance: float | Tensor = hyper(0.1, 0.0, 0.3, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "integrated_risk"
    formula: ClassVar[str] = "L = -w_y sum_d u(y, d) log p_d, w_c ~ 1/n_c, u(y, y) = 1, u(y, d) = tolerance [n_d < n_y]"
    corrects_prior: ClassVar[Correction] = "partly"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim("serves the tail, where errors cost most", "long_tail", "tail_recall")

    def init(self, statistics: Statistics) -> State:
        """The class counts [C]."""
        return {"class_counts": statistics.class_counts}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        counts = state["class_counts"]
        utility = tail_sensitive_utility(counts, self.tolerance)
        return integrated_risk(logits, batch.targets, inverse_frequency(counts, 1.0), utility)
