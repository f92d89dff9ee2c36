"""Influence-balanced loss: rows that pull hardest at the decision boundary are held back in the second half of training."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Correction, Loss, Source, State, hyper
from models.balancing.loss.none import cross_entropy
from models.data import Batch, Statistics, occurring

EPSILON = 1e-3


def influence(logits: Tensor, targets: Tensor, features: Tensor) -> Tensor:
    """|p - t|_1 |h|_1 per row [B]: the size of the loss's gradient by the last layer's weights."""
    return (torch.softmax(logits, -1) - targets).abs().sum(-1) * features.abs().sum(-1)


def class_factor(class_counts: Tensor) -> Tensor:
    """C n_c^-1 / sum_k n_k^-1 over the classes that occur [C]."""
    present = (class_counts > 0).to(class_counts.dtype)
    raw = present / occurring(class_counts)
    return raw * present.sum() / raw.sum()


@dataclass(frozen=True)
class InfluenceBalanced(Loss):
    """Cross-entropy until `start`, then each row divided by its influence, with inverse class frequency on top."""

    alpha: float | Tensor = hyper(1000.0, minimum=1e-3, maximum=1e6)
    start: float | Tensor = hyper(0.5, 0.2, 0.8, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "influence_balanced"
    formula: ClassVar[str] = "L = a l_y CE / (|p - t|_1 |h|_1 + 0.001) from start on, l_c = C n_c^-1 / sum_k n_k^-1"
    corrects_prior: ClassVar[Correction] = "partly"
    source: ClassVar[Source] = Source(
        "Influence-Balanced Loss for Imbalanced Visual Classification",
        "S. Park, J. Lim, Y. Jeon, J. Y. Choi",
        2021,
        "arXiv:2110.02444",
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by holding back rows of large influence", "long_tail", "balanced_accuracy"
    )

    def init(self, statistics: Statistics) -> State:
        """The class counts [C]."""
        return {"class_counts": statistics.class_counts}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] and the features [B, H] in the batch -> loss per row [B]."""
        assert batch.features is not None
        plain = cross_entropy(logits, batch.targets)
        weighted = cross_entropy(logits, batch.targets * class_factor(state["class_counts"]))
        balanced = self.alpha * weighted / (influence(logits, batch.targets, batch.features) + EPSILON)
        return torch.where(progress >= self.start, balanced, plain)
