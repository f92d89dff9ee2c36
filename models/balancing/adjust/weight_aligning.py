"""Weight aligning: give the classifier's weights of rare classes the mean norm of those of frequent ones."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from models.balancing.component import Source, State, TrainedNet, WeightAdjuster, needs_linear_classifier
from models.data import Split, Statistics

if TYPE_CHECKING:
    from models.recipe import Recipe


def aligned(weight: Tensor, tail: Tensor) -> Tensor:
    """Class weights [C, H], those where `tail` [C] times mean |w_head| / mean |w_tail|; unchanged where one side is empty."""
    norm = weight.norm(dim=-1)
    rare, frequent = tail.to(norm.dtype), (~tail).to(norm.dtype)
    ratio = (norm @ frequent / frequent.sum().clamp(min=1)) / (norm @ rare / rare.sum().clamp(min=1)).clamp(min=1e-12)
    both = tail.any() & (~tail).any()
    return weight * torch.where(tail & both, ratio, 1.0)[:, None]


@dataclass(frozen=True)
class WeightAligning(WeightAdjuster):
    """The paper aligns new classes with old ones; here classes below the mean number of rows with those above it."""

    name: ClassVar[str] = "weight_aligning"
    formula: ClassVar[str] = "w_c <- w_c mean_head |w| / mean_tail |w| for classes c with n_c < n / C"
    source: ClassVar[Source] = Source(
        "Maintaining Discrimination and Fairness in Class Incremental Learning",
        "B. Zhao, X. Xiao, G. Gan, B. Zhang, S.-T. Xia",
        2019,
        "arXiv:1911.07053",
    )

    def objection(self, recipe: Recipe) -> str | None:
        """It needs class weights."""
        return needs_linear_classifier(recipe)

    def reweigh(
        self, net: TrainedNet, train: Split, statistics: Statistics, generator: torch.Generator
    ) -> tuple[str | None, State]:
        """The aligned weights; biases stay."""
        tail = statistics.class_counts < statistics.class_counts.mean()
        return net.head, {**net.classifier, "weight": aligned(net.classifier["weight"], tail)}
