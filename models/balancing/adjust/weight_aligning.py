"""Weight aligning: give the classifier's weights of rare classes the mean norm of those of frequent ones."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Correction, Source, State, TrainedNet, WeightAdjuster
from models.data import Split, Statistics


def aligned(weight: Tensor, tail: Tensor) -> Tensor:
    """Class weights [C, H], those where `tail` [C] times mean |w_head| / mean |w_tail|; unchanged where one side is empty."""
    norm = weight.norm(dim=-1)
    rare, frequent = tail.to(norm.dtype), (~tail).to(norm.dtype)
    ratio = (norm @ frequent / frequent.sum().clamp(min=1)) / (norm @ rare / rare.sum().clamp(min=1)).clamp(min=1e-12)
    both = tail.any() & (~tail).any()
    return weight * torch.where(tail & both, ratio, 1.0)[:, None]


@dataclass(frozen=True)
class WeightAligning(WeightAdjuster):
    """The paper aligns new classes with old ones; here classes below the mean number of rows with those above it.

    It also keeps the class weights at 0 or above while it trains, which is left out.
    """

    name: ClassVar[str] = "weight_aligning"
    formula: ClassVar[str] = "w_c <- w_c mean_head |w| / mean_tail |w| for classes c with n_c < n / C"
    corrects_prior: ClassVar[Correction] = "partly"
    linear_only: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "Maintaining Discrimination and Fairness in Class Incremental Learning",
        "B. Zhao, X. Xiao, G. Gan, B. Zhang, S.-T. Xia",
        2019,
        "arXiv:1911.07053",
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by evening out the norms of the class weights",
        "separable_tail",
        "balanced_accuracy",
    )

    def reweigh(
        self, net: TrainedNet, train: Split, statistics: Statistics, generator: torch.Generator
    ) -> tuple[str | None, State]:
        """The aligned weights; biases stay."""
        tail = statistics.class_counts < statistics.class_counts.mean()
        return net.head, {**net.classifier, "weight": aligned(net.classifier["weight"], tail)}
