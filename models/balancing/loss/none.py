"""The plain loss: cross-entropy, of several labels their sum, of a number the squared error; it balances nothing."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from models.balancing.component import EVERY_TASK, Claim, Loss, Source, State, Task
from models.data import Batch, Statistics


def cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-sum_c t_c log p_c per row [B], for logits [B, C] and soft or hard targets [B, C]."""
    return -(targets * torch.log_softmax(logits, -1)).sum(-1)


def binary_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """sum_l -t_l log p_l - (1 - t_l) log(1 - p_l) per row [B], for a logit and an indicator per label [B, L]."""
    return -(targets * logsigmoid(logits) + (1 - targets) * logsigmoid(-logits)).sum(-1)


def squared_error(numbers: Tensor, targets: Tensor) -> Tensor:
    """(z - t)^2 per row [B], for standardized numbers [B, 1]."""
    return (numbers - targets).square().sum(-1)


PLAIN: Mapping[Task, Callable[[Tensor, Tensor], Tensor]] = {
    "binary": cross_entropy,
    "multiclass": cross_entropy,
    "ordinal": cross_entropy,
    "multilabel": binary_cross_entropy,
    "regression": squared_error,
}
"""The plain loss per row [B] of logits [B, O] and targets [B, O], by the kind of target."""


@dataclass(frozen=True)
class Plain(Loss):
    """Doing nothing: it competes in every search."""

    name: ClassVar[str] = "none"
    formula: ClassVar[str] = "L = -log p_y; of labels sum_l -log p(t_l); of a number (z - t)^2"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = Source(
        "Rational decisions", "I. J. Good", 1952, "doi:10.1111/j.2517-6161.1952.tb00104.x"
    )
    claim: ClassVar[Claim] = Claim(
        "is what all are held against", "long_tail", "balanced_accuracy", changes_nothing=True
    )

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, O] -> loss per row [B]."""
        return PLAIN[batch.task](logits, batch.targets)

    def row_weights(self, statistics: Statistics, labels: Tensor, groups: Tensor) -> Tensor:
        """All rows count alike [n]."""
        return torch.ones_like(labels, dtype=torch.float32)
