"""Dice and Tversky losses: overlap of prediction and target instead of likelihood, so that easy negatives weigh little."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, hyper
from models.data import Batch

SOURCE = Source(
    "Dice Loss for Data-imbalanced NLP Tasks",
    "X. Li, X. Sun, Y. Meng, J. Liang, F. Wu, J. Li",
    2019,
    "arXiv:1911.02855",
)


def dice(p: Tensor, targets: Tensor, smooth: float | Tensor) -> Tensor:
    """sum_c 1 - (2 p_c t_c + smooth) / (p_c^2 + t_c^2 + smooth) per row [B]."""
    return (1 - (2 * p * targets + smooth) / (p.square() + targets.square() + smooth)).sum(-1)


def tversky(p: Tensor, targets: Tensor, alpha: float | Tensor, beta: float | Tensor, smooth: float | Tensor) -> Tensor:
    """sum_c 1 - (p t + smooth) / (p t + alpha p (1-t) + beta (1-p) t + smooth) per row [B]."""
    hit = p * targets
    below = hit + alpha * p * (1 - targets) + beta * (1 - p) * targets
    return (1 - (hit + smooth) / (below + smooth)).sum(-1)


def self_adjusting_dice(p: Tensor, targets: Tensor, alpha: float | Tensor, smooth: float | Tensor) -> Tensor:
    """sum_c 1 - (2 (1-p_c)^alpha p_c t_c + smooth) / ((1-p_c)^alpha p_c + t_c + smooth) per row [B]."""
    adjusted = torch.exp(alpha * (1 - p).clamp(min=1e-12).log()) * p
    return (1 - (2 * adjusted * targets + smooth) / (adjusted + targets + smooth)).sum(-1)


@dataclass(frozen=True)
class Dice(Loss):
    """The dice loss of each row, one class against the rest, summed over the classes."""

    smooth: float | Tensor = hyper(1.0, 0.1, 2.0, log=True, minimum=1e-6, maximum=100.0)

    name: ClassVar[str] = "dice"
    formula: ClassVar[str] = "L = sum_c 1 - (2 p_c t_c + s) / (p_c^2 + t_c^2 + s)"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim("raises F1 where positives are rare", "rare_positive", "f1")

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return dice(torch.softmax(logits, -1), batch.targets, self.smooth)


@dataclass(frozen=True)
class Tversky(Loss):
    """The Tversky loss of each row; alpha prices false positives, beta false negatives."""

    alpha: float | Tensor = hyper(0.3, 0.1, 0.9, minimum=0.0, maximum=10.0)
    beta: float | Tensor = hyper(0.7, 0.1, 0.9, minimum=0.0, maximum=10.0)
    smooth: float | Tensor = hyper(1.0, 0.1, 2.0, log=True, minimum=1e-6, maximum=100.0)

    name: ClassVar[str] = "tversky"
    formula: ClassVar[str] = "L = sum_c 1 - (p_c t_c + s) / (p_c t_c + alpha p_c (1-t_c) + beta (1-p_c) t_c + s)"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises F1 where positives are rare by weighing misses more than alarms", "rare_positive", "f1"
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return tversky(torch.softmax(logits, -1), batch.targets, self.alpha, self.beta, self.smooth)


@dataclass(frozen=True)
class SelfAdjustingDice(Loss):
    """DSC: the dice loss with (1-p)^alpha before p, which takes the pull from rows that are already decided."""

    alpha: float | Tensor = hyper(1.0, 0.1, 2.0, minimum=0.0, maximum=10.0)
    smooth: float | Tensor = hyper(1.0, 0.1, 2.0, log=True, minimum=1e-6, maximum=100.0)

    name: ClassVar[str] = "self_adjusting_dice"
    formula: ClassVar[str] = "L = sum_c 1 - (2 (1-p_c)^a p_c t_c + s) / ((1-p_c)^a p_c + t_c + s)"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim("raises F1 where positives are rare", "rare_positive", "f1")

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return self_adjusting_dice(torch.softmax(logits, -1), batch.targets, self.alpha, self.smooth)
