"""Distillation from the champion: the new model is held near what the champion says of the same rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Need, Regularizer, Source, State, hyper
from models.data import Batch

if TYPE_CHECKING:
    from models.recipe import Recipe


def distillation(logits: Tensor, champion: Tensor, temperature: float | Tensor) -> Tensor:
    """T^2 KL(softmax(s / T) || softmax(z / T)) per row [B], for the champion's log-probabilities s and logits z [B, C].

    T^2 keeps the gradient's size as the temperature T grows (section 2 of the paper).
    """
    taught = torch.log_softmax(champion / temperature, -1)
    said = torch.log_softmax(logits / temperature, -1)
    return temperature**2 * (taught.exp() * (taught - said)).sum(-1)


@dataclass(frozen=True)
class Distillation(Regularizer):
    """The champion may be any model that knows the same classes, trees and other nets among them, and need not start it.

    Its probabilities are those before its adjustments. Rows of which it says nothing add nothing.
    """

    strength: float | Tensor = hyper(1.0, 0.1, 10.0, log=True, minimum=0.0, maximum=1000.0)
    temperature: float | Tensor = hyper(2.0, minimum=0.1, maximum=100.0)

    name: ClassVar[str] = "distillation"
    formula: ClassVar[str] = "L + strength mean_i T^2 KL(softmax(log p_i / T) || softmax(z_i / T)), p the champion's"
    needs: ClassVar[frozenset[Need]] = frozenset({"net", "champion"})
    source: ClassVar[Source] = Source(
        "Distilling the Knowledge in a Neural Network", "G. Hinton, O. Vinyals, J. Dean", 2015, "arXiv:1503.02531"
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source("Learning without Forgetting", "Z. Li, D. Hoiem", 2016, "arXiv:1606.09282"),
    )

    claim: ClassVar[Claim] = Claim(
        "hands on what the champion has learned from many rows where new ones are few", "more_rows", "accuracy"
    )

    def objection(self, recipe: Recipe) -> str | None:
        """What the champion says is about rows as they are."""
        mixing = recipe.mixing
        return f"the champion has judged rows as they are, and '{mixing.name}' mixes them" if mixing else None

    def penalty(
        self, state: State, features: Tensor, logits: Tensor, batch: Batch, progress: Tensor
    ) -> tuple[Tensor, State]:
        """The weighted mean over the batch."""
        if batch.champion is None or batch.champion.shape[-1] == 0:
            return logits.sum() * 0, state
        rows = distillation(logits, batch.champion, self.temperature)
        return self.strength * (batch.weights * rows).sum() / batch.weights.sum().clamp(min=1e-12), state
