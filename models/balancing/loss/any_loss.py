"""AnyLoss: metrics of the confusion matrix as losses, through a steep sigmoid that approximates the hard decision."""

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from models.balancing.component import Claim, Correction, Loss, Source, State, Task, hyper
from models.data import Batch

SOURCE = Source(
    "AnyLoss: Transforming Classification Metrics into Loss Functions",
    "D. Han, N. Moniz, N. V. Chawla",
    2024,
    "arXiv:2405.14745",
)

STEEPNESS = 73.0
"""The published steepness of the approximation."""

SMALLEST = 1e-6


class Confusion(NamedTuple):
    """Soft counts of a set of rows, each a scalar."""

    true_positive: Tensor
    false_negative: Tensor
    false_positive: Tensor
    true_negative: Tensor

    @property
    def recall(self) -> Tensor:
        """True positive rate; 0 without positives."""
        return self.true_positive / (self.true_positive + self.false_negative).clamp(min=SMALLEST)

    @property
    def specificity(self) -> Tensor:
        """True negative rate; 0 without negatives."""
        return self.true_negative / (self.true_negative + self.false_positive).clamp(min=SMALLEST)


def soft_confusion(logits: Tensor, targets: Tensor, weights: Tensor) -> Confusion:
    """Logits [B, 2], targets [B, 2] and weights [B] -> soft counts, with 1 / (1 + exp(-73 (p - 1/2))) as the decision."""
    decided = torch.sigmoid(STEEPNESS * (torch.softmax(logits, -1)[..., 1] - 0.5))
    positive, negative = weights * targets[..., 1], weights * targets[..., 0]
    return Confusion(
        (positive * decided).sum(), (positive * (1 - decided)).sum(),
        (negative * decided).sum(), (negative * (1 - decided)).sum(),
    )  # fmt: skip


def f_beta(counts: Confusion, beta: float | Tensor) -> Tensor:
    """(1 + b^2) TP / ((1 + b^2) TP + b^2 FN + FP)."""
    square = torch.as_tensor(beta) ** 2
    hit = (1 + square) * counts.true_positive
    return hit / (hit + square * counts.false_negative + counts.false_positive).clamp(min=SMALLEST)


@dataclass(frozen=True)
class FBetaLoss(Loss):
    """1 minus the soft F-beta of the positive class; beta above 1 asks for recall."""

    beta: float | Tensor = hyper(1.0, 0.5, 2.0, log=True, minimum=0.01, maximum=100.0)

    name: ClassVar[str] = "f_beta_loss"
    formula: ClassVar[str] = "L = 1 - F_beta of soft counts, decision 1 / (1 + e^(-73 (p - 1/2)))"
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    set_level: ClassVar[bool] = True
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim("raises the metric that it approximates, F1", "rare_positive", "f1")

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, 2] -> the loss of the batch []."""
        return 1 - f_beta(soft_confusion(logits, batch.targets, batch.weights), self.beta)


@dataclass(frozen=True)
class BalancedAccuracyLoss(Loss):
    """1 minus the soft balanced accuracy.

    Each rate is a mean over one class: what is least calls a row positive where its inputs are likelier among positives than
    among negatives, however many there are of either.
    """

    name: ClassVar[str] = "balanced_accuracy_loss"
    formula: ClassVar[str] = "L = 1 - (TPR + TNR) / 2 of soft counts, decision 1 / (1 + e^(-73 (p - 1/2)))"
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    corrects_prior: ClassVar[Correction] = "wholly"
    set_level: ClassVar[bool] = True
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises the metric that it approximates, balanced accuracy", "rare_positive", "balanced_accuracy"
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, 2] -> the loss of the batch []."""
        counts = soft_confusion(logits, batch.targets, batch.weights)
        return 1 - (counts.recall + counts.specificity) / 2


@dataclass(frozen=True)
class GMeanLoss(Loss):
    """1 minus the soft geometric mean of the two recalls.

    Each recall is a mean over one class: what is least calls a row positive where its inputs are likelier among positives, by
    the ratio of the two recalls, however many there are of either.
    """

    name: ClassVar[str] = "g_mean_loss"
    formula: ClassVar[str] = "L = 1 - sqrt(TPR TNR) of soft counts, decision 1 / (1 + e^(-73 (p - 1/2)))"
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    corrects_prior: ClassVar[Correction] = "wholly"
    set_level: ClassVar[bool] = True
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim("raises the metric that it approximates, the G-mean", "rare_positive", "g_mean")

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, 2] -> the loss of the batch []."""
        counts = soft_confusion(logits, batch.targets, batch.weights)
        return 1 - (counts.recall * counts.specificity).clamp(min=SMALLEST**2).sqrt()
