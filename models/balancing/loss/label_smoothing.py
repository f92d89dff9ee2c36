"""Label smoothing, and label-aware smoothing, which smooths frequent classes more."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, hyper
from models.balancing.loss.none import cross_entropy
from models.data import Batch, Statistics


def smoothed(targets: Tensor, smoothing: float | Tensor) -> Tensor:
    """(1 - smoothing) t + smoothing / C."""
    return targets * (1 - smoothing) + smoothing / targets.shape[-1]


def class_smoothing(class_counts: Tensor, head: float | Tensor, tail: float | Tensor) -> Tensor:
    """tail + (head - tail) sin(pi (n_c - n_min) / (2 (n_max - n_min))) per class [C], over the classes that occur."""
    largest = class_counts.max()
    smallest = torch.where(class_counts > 0, class_counts, largest).min()
    place = ((class_counts - smallest) / (largest - smallest).clamp(min=1)).clamp(min=0)
    return tail + (head - tail) * torch.sin(0.5 * math.pi * place)


def smoothed_by_class(targets: Tensor, smoothing: Tensor) -> Tensor:
    """Of class c, 1 - e_c stays and e_c is shared by the other classes; targets [B, C], smoothing [C]."""
    given = targets * smoothing
    return targets - given + (given.sum(-1, keepdim=True) - given) / (targets.shape[-1] - 1)


@dataclass(frozen=True)
class LabelSmoothing(Loss):
    """Cross-entropy with a share of every target spread evenly over the classes."""

    smoothing: float | Tensor = hyper(0.1, 0.01, 0.3, log=True, minimum=0.0, maximum=0.99)

    name: ClassVar[str] = "label_smoothing"
    formula: ClassVar[str] = "L = -sum_c ((1-e) t_c + e / C) log p_c"
    source: ClassVar[Source] = Source(
        "Rethinking the Inception Architecture for Computer Vision",
        "C. Szegedy, V. Vanhoucke, S. Ioffe, J. Shlens, Z. Wojna",
        2015,
        "arXiv:1512.00567",
    )
    claim: ClassVar[Claim] = Claim("keeps a net from being surer than it may be", "overconfident", "ece")

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return cross_entropy(logits, smoothed(batch.targets, self.smoothing))


@dataclass(frozen=True)
class LabelAwareSmoothing(Loss):
    """Smoothing that rises from `tail` for the rarest class to `head` for the most frequent (the concave form)."""

    head: float | Tensor = hyper(0.3, 0.1, 0.5, minimum=0.0, maximum=0.99)
    tail: float | Tensor = hyper(0.0, 0.0, 0.1, minimum=0.0, maximum=0.99)

    name: ClassVar[str] = "label_aware_smoothing"
    formula: ClassVar[str] = (
        "q_y = 1 - e_y, q_c = e_y / (C-1), e_y = tail + (head-tail) sin(pi (n_y-n_min) / (2 (n_max-n_min)))"
    )
    source: ClassVar[Source] = Source(
        "Improving Calibration for Long-Tailed Recognition",
        "Z. Zhong, J. Cui, S. Liu, J. Jia",
        2021,
        "arXiv:2104.00466",
    )
    claim: ClassVar[Claim] = Claim(
        "keeps a net that learned from long-tailed classes from being surer than it may be", "overconfident_tail", "ece"
    )

    def init(self, statistics: Statistics) -> State:
        """The class counts [C]."""
        return {"class_counts": statistics.class_counts}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        smoothing = class_smoothing(state["class_counts"], self.head, self.tail)
        return cross_entropy(logits, smoothed_by_class(batch.targets, smoothing))
