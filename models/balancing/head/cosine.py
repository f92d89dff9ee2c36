"""Cosine classifier: the logit is the scaled cosine between the feature and the class weight."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.balancing.component import Claim, Head, Source

SCALE = 30.0
"""The scale of the cosines that LDAM is published with. The cosine classifier's own paper learns it, from 10 on."""


class NormalizedLinear(nn.Module):
    """[B, H] -> SCALE * cosine to each class weight [B, C]."""

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(classes, features))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, H] -> logits [B, C]; a zero feature has cosine 0 to every class."""
        unit = nn.functional.normalize(features, dim=-1)
        return SCALE * nn.functional.linear(unit, nn.functional.normalize(self.weight, dim=-1))


@dataclass(frozen=True)
class Cosine(Head):
    """Normalized features and weights, so that no class wins by the norm of its weight."""

    name: ClassVar[str] = "cosine"
    formula: ClassVar[str] = "z_c = s <w_c, f> / (|w_c| |f|), s = 30"
    source: ClassVar[Source] = Source(
        "Dynamic Few-Shot Visual Learning without Forgetting", "S. Gidaris, N. Komodakis", 2018, "arXiv:1804.09458"
    )
    claim: ClassVar[Claim] = Claim(
        "keeps frequent classes from winning by the norm of their weights", "long_tail", "balanced_accuracy"
    )

    def classifier(self, features: int, classes: int) -> nn.Module:
        """A normalized linear layer."""
        return NormalizedLinear(features, classes)
