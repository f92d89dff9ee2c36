"""Encouraging loss: a bonus for well-classified rows, so that they go on teaching."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, hyper
from models.data import Batch


def bonus(log_p: Tensor, end: float | Tensor) -> Tensor:
    """log(1 - p) up to p = end, and its tangent from there on, so that it stays finite; elementwise."""
    end = torch.as_tensor(end, dtype=log_p.dtype, device=log_p.device).clamp(max=1 - 1e-5)
    p = log_p.exp()
    curve = torch.log1p(-torch.minimum(p, end))
    return torch.where(p > end, (p - end) / (end - 1) + torch.log1p(-end), curve)


def encouraging(logits: Tensor, targets: Tensor, end: float | Tensor) -> Tensor:
    """-sum_c t_c (log p_c - bonus(p_c)) per row [B]."""
    log_p = torch.log_softmax(logits, -1)
    return -(targets * (log_p - bonus(log_p, end))).sum(-1)


@dataclass(frozen=True)
class Encouraging(Loss):
    """Cross-entropy plus log(1 - p), conservative from p = `end` on; 1 is the full bonus."""

    end: float | Tensor = hyper(0.75, 0.25, 0.95, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "encouraging"
    formula: ClassVar[str] = "L = -log p_y + log(1 - p_y), from p_y = end on the tangent of log(1 - p)"
    source: ClassVar[Source] = Source(
        "Well-classified Examples are Underestimated in Classification with Deep Neural Networks",
        "G. Zhao, W. Yang, X. Ren, L. Li, Y. Wu, X. Sun",
        2021,
        "arXiv:2110.06537",
    )
    claim: ClassVar[Claim] = Claim(
        "serves rare classes by rewarding well-classified rows as well", "separable_tail", "balanced_accuracy"
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return encouraging(logits, batch.targets, self.end)
