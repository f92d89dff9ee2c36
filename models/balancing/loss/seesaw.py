"""Seesaw loss: frequent classes push rare ones down less, unless the net mistakes one for the other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, hyper
from models.balancing.loss.none import cross_entropy
from models.data import Batch, Statistics, one_hot

if TYPE_CHECKING:
    from models.recipe import Recipe


def seesaw(
    logits: Tensor,
    labels: Tensor,
    targets: Tensor,
    seen: Tensor,
    mitigation: float | Tensor,
    compensation: float | Tensor,
) -> Tensor:
    """Cross-entropy with z_j + log M_yj + log C_yj for j != y, per row [B].

    M_yj = min(1, N_j / N_y)^mitigation over the rows `seen` of each class [C]; C_yj = max(1, p_j / p_y)^compensation,
    through which no gradient flows.
    """
    counts = seen.clamp(min=1).log()
    mitigated = mitigation * (counts[None, :] - counts[labels][:, None]).clamp(max=0)
    scores = torch.log_softmax(logits.detach(), -1)
    own = (scores * one_hot(labels, logits.shape[-1])).sum(-1, keepdim=True)
    compensated = compensation * (scores - own).clamp(min=0, max=50)
    shift = (mitigated + compensated) * (1 - one_hot(labels, logits.shape[-1]))
    return cross_entropy(logits + shift, targets)


SPARED = Claim(
    "raises the recall of rare classes by sparing them the frequent ones' gradients", "long_tail", "balanced_accuracy"
)


@dataclass(frozen=True)
class OneClassARow(Loss):
    """Base of the losses that ask which class pushes which: mixed classes have no answer."""

    def objection(self, recipe: Recipe) -> str | None:
        """Each row must have one class."""
        mixing = recipe.mixing
        return f"it asks which class a row has, and '{mixing.name}' mixes classes" if mixing else None


@dataclass(frozen=True)
class Seesaw(OneClassARow):
    """The rows of each class are counted as training sees them, so the method needs no counts beforehand."""

    mitigation: float | Tensor = hyper(0.8, 0.2, 1.5, minimum=0.0, maximum=10.0)
    compensation: float | Tensor = hyper(2.0, 0.0, 3.0, minimum=0.0, maximum=10.0)

    name: ClassVar[str] = "seesaw"
    formula: ClassVar[str] = (
        "L = -log e^z_y / (e^z_y + sum_(j != y) S_yj e^z_j), S = min(1, N_j/N_y)^p max(1, p_j/p_y)^q"
    )
    source: ClassVar[Source] = Source(
        "Seesaw Loss for Long-Tailed Instance Segmentation",
        "J. Wang, W. Zhang, Y. Zang, Y. Cao, J. Pang, T. Gong, K. Chen, Z. Liu, C. C. Loy, D. Lin",
        2020,
        "arXiv:2008.10032",
    )
    claim: ClassVar[Claim] = SPARED

    def init(self, statistics: Statistics) -> State:
        """The weights of the rows of each class seen so far [C], and how many rows these are []."""
        return {"seen": torch.zeros_like(statistics.class_counts), "rows": statistics.class_counts.new_zeros(())}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        # A row of the mean weight is one row, whatever the weights add up to.
        seen = state["seen"] * (state["rows"] / state["seen"].sum().clamp(min=1e-30))
        return seesaw(logits, batch.labels, batch.targets, seen, self.mitigation, self.compensation)

    def advance(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> State:
        """Count the batch's rows, each by its weight."""
        seen = state["seen"] + (batch.targets * batch.weights[:, None]).sum(0)
        return {**state, "seen": seen, "rows": state["rows"] + len(batch.labels)}
