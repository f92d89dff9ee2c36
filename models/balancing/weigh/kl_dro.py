"""KL-regularized DRO: each row weighs the exponential of its loss."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Source, State, Task, Weigher, hyper
from models.data import Batch


def tilted(scores: Tensor, rows: Tensor) -> Tensor:
    """Weights [B] in proportion to e^score, whose mean over rows that count by `rows` [B] is 1."""
    counted = rows.clamp(min=1e-12)
    return counted.sum() * torch.softmax(scores + counted.log(), -1) / counted


def exponential_weights(losses: Tensor, rows: Tensor, temperature: float | Tensor) -> Tensor:
    """e^(loss / temperature) over its mean [B]: uniform as the temperature grows, the worst row alone as it falls."""
    return tilted(losses / temperature, rows)


@dataclass(frozen=True)
class KLDRO(Weigher):
    """The worst distribution over the batch's rows, at a price for its divergence from the uniform one.

    The first paper weighs losses under attack so; here they are those of the rows as they are.
    """

    temperature: float | Tensor = hyper(1.0, 0.3, 10.0, log=True, minimum=1e-3, maximum=1e6)

    name: ClassVar[str] = "kl_dro"
    formula: ClassVar[str] = "max_q sum_i q_i loss_i - T KL(q || 1/B): w_i = B e^(loss_i / T) / sum_j e^(loss_j / T)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = Source(
        "Doubly Robust Instance-Reweighted Adversarial Training",
        "D. Sow, S. Lin, Z. Wang, Y. Liang",
        2023,
        "arXiv:2308.00311",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Tilted Empirical Risk Minimization", "T. Li, A. Beirami, M. Sanjabi, V. Smith", 2020, "arXiv:2007.01162"
        ),
    )
    claim: ClassVar[Claim] = Claim("serves rows of large loss, whoever they are", "subclasses", "worst_group_accuracy")

    def weigh(self, state: State, losses: Tensor, batch: Batch, progress: Tensor) -> tuple[Tensor, State]:
        """Losses [B] -> weights [B] of mean 1."""
        return exponential_weights(losses, batch.weights, self.temperature), state
