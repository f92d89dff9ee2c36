"""Scaled linear classifier: a linear layer whose logits are multiplied by one number per class."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.balancing.component import Claim, Head, Source


class ScaledLinear(nn.Linear):
    """[B, H] -> scale * (W f + b) [B, C]; the scales are 1 until a phase trains them by name."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__(features, classes)
        self.scale = nn.Parameter(torch.ones(classes), requires_grad=False)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, H] -> logits [B, C]."""
        return self.scale * super().forward(features)


@dataclass(frozen=True)
class Scaled(Head):
    """The classifier of learnable weight scaling; its scales rest until the schedule `lws` trains them."""

    name: ClassVar[str] = "scaled"
    formula: ClassVar[str] = "z_c = s_c (<w_c, f> + b_c)"
    source: ClassVar[Source] = Source(
        "Decoupling Representation and Classifier for Long-Tailed Recognition",
        "B. Kang, S. Xie, M. Rohrbach, Z. Yan, A. Gordo, J. Feng, Y. Kalantidis",
        2019,
        "arXiv:1910.09217",
    )
    claim: ClassVar[Claim] = Claim(
        "is the classifier that schedule lws trains; its scales rest until then",
        "long_tail",
        "balanced_accuracy",
        changes_nothing=True,
    )

    def classifier(self, features: int, classes: int) -> nn.Module:
        """A linear layer with a scale per class."""
        return ScaledLinear(features, classes)
