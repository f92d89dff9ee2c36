"""AGLU: the net's activations become z times a learnable sigmoid between the logistic and the Gumbel one."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.balancing.component import EVERY_TASK, Claim, Head, Source, Task

SMALLEST = 1e-4


def adaptive_parametric_activation(values: Tensor, shape: Tensor, slope: Tensor) -> Tensor:
    """(shape exp(-slope z) + 1)^(-1 / shape): the logistic sigmoid for shape 1, the Gumbel distribution as shape -> 0."""
    bounded = shape.clamp(min=SMALLEST)
    return torch.exp(nn.functional.softplus(bounded.log() - slope * values) * (-1 / bounded))


class AGLU(nn.Module):
    """z -> z * APA(z), with its own shape and slope, drawn from [0, 1) as released with the paper."""

    def __init__(self) -> None:
        super().__init__()
        self.shape = nn.Parameter(torch.rand(1))
        self.slope = nn.Parameter(torch.rand(1))

    def forward(self, values: Tensor) -> Tensor:
        """Values of any shape -> gated values."""
        return values * adaptive_parametric_activation(values, self.shape, self.slope)


@dataclass(frozen=True)
class AdaptiveParametricActivation(Head):
    """Adaptive generalized linear units in every layer, under a linear classifier.

    The paper also gives a classifier that judges each class by itself a sigmoid that adapts; here the classifier is left as it
    is.
    """

    name: ClassVar[str] = "aglu"
    formula: ClassVar[str] = "a(z) = z (l e^(-k z) + 1)^(-1/l), l and k learned per layer"
    cost: ClassVar[str] = (
        "Every value of a layer takes two exponentials and a logarithm, where ReLU takes a comparison."
    )
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    linear: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "Adaptive Parametric Activation", "K. P. Alexandridis, J. Deng, A. Nguyen, S. Luo", 2024, "arXiv:2407.08567"
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes with an activation that adapts", "long_tail", "balanced_accuracy"
    )

    def activation(self) -> nn.Module:
        """A new unit with its own parameters."""
        return AGLU()
