"""Focal loss: rows that are already well classified count less."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, hyper
from models.data import Batch


def focal(logits: Tensor, targets: Tensor, gamma: float | Tensor) -> Tensor:
    """-sum_c t_c (1 - p_c)^gamma log p_c per row [B]; gamma 0 is cross-entropy.

    The power is taken through log(1 - p_c), bounded from below, so that its gradient is finite where p_c reaches 1.
    """
    log_p = torch.log_softmax(logits, -1)
    log_rest = torch.log((-torch.expm1(log_p)).clamp(min=1e-12))
    return -(targets * torch.exp(gamma * log_rest) * log_p).sum(-1)


@dataclass(frozen=True)
class Focal(Loss):
    """The focal loss over softmax probabilities."""

    gamma: float | Tensor = hyper(2.0, 0.25, 5.0, minimum=0.0, maximum=20.0)

    name: ClassVar[str] = "focal"
    formula: ClassVar[str] = "L = -(1 - p_y)^gamma log p_y"
    source: ClassVar[Source] = Source(
        "Focal Loss for Dense Object Detection",
        "T.-Y. Lin, P. Goyal, R. Girshick, K. He, P. Dollár",
        2017,
        "arXiv:1708.02002",
    )
    claim: ClassVar[Claim] = Claim("keeps the many easy rows from dominating", "long_tail", "balanced_accuracy")

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return focal(logits, batch.targets, self.gamma)
