"""LDR-KL: the worst distribution of labels near the uniform one; between the mean margin and the largest."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Loss, Source, State, hyper
from models.data import Batch


def robust_margin(logits: Tensor, targets: Tensor, temperature: float | Tensor, margin: float | Tensor) -> Tensor:
    """l log((1/C) sum_k exp((z_k - z_y + m [k != y]) / l)) per row [B].

    l -> infinity is the mean of z_k - z_y + m [k != y], l -> 0 the largest (the multi-class hinge), l 1 and m 0
    cross-entropy less log C.
    """
    shifted = (logits + margin * (1 - targets)) / temperature
    spread = torch.logsumexp(shifted, -1) - math.log(logits.shape[-1])
    return temperature * spread - (targets * logits).sum(-1)


@dataclass(frozen=True)
class LabelDistributionallyRobust(Loss):
    """The KL member of the family; its temperature trades consistency against robustness to wrong labels."""

    temperature: float | Tensor = hyper(1.0, 0.1, 10.0, log=True, minimum=1e-4, maximum=1e4)
    margin: float | Tensor = hyper(0.1, 0.0, 1.0, minimum=0.0, maximum=100.0)

    name: ClassVar[str] = "ldr_kl"
    formula: ClassVar[str] = "L = l log((1/C) sum_k exp((z_k - z_y + m [k != y]) / l))"
    source: ClassVar[Source] = Source(
        "Label Distributionally Robust Losses for Multi-class Classification: Consistency, Robustness and Adaptivity",
        "D. Zhu, Y. Ying, T. Yang",
        2021,
        "arXiv:2112.14869",
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return robust_margin(logits, batch.targets, self.temperature, self.margin)
