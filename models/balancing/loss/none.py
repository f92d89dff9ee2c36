"""Plain cross-entropy: the loss of a recipe that balances nothing."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Loss, Source, State
from models.data import Batch, Statistics


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-sum_c t_c log p_c per row [B], for logits [B, C] and soft or hard targets [B, C]."""
    return -(targets * torch.log_softmax(logits, -1)).sum(-1)


@dataclass(frozen=True)
class CrossEntropy(Loss):
    """Doing nothing: it competes in every search."""

    name: ClassVar[str] = "none"
    formula: ClassVar[str] = "L = -log p_y"
    source: ClassVar[Source] = Source(
        "Rational decisions", "I. J. Good", 1952, "doi:10.1111/j.2517-6161.1952.tb00104.x"
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return cross_entropy(logits, batch.targets)

    def row_weights(self, statistics: Statistics, labels: Tensor, groups: Tensor) -> Tensor:
        """All rows count alike [n]."""
        return torch.ones_like(labels, dtype=torch.float32)
