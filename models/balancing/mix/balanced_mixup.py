"""Balanced-MixUp: every row as it is drawn, with a little of a row drawn from classes alike."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Mixer, Sampler, Source, State, Task, hyper
from models.balancing.sample.class_balanced_sampling import ClassBalancedSampling
from models.data import Batch


def blend(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """(1 - share) first + share second."""
    return first + share * (second - first)


@dataclass(frozen=True)
class BalancedMixup(Mixer):
    """Instance-based and class-based sampling in one batch; a small alpha keeps the mixture near the rows as drawn."""

    alpha: float | Tensor = hyper(0.1, 0.05, 0.5, log=True, minimum=0.001, maximum=10.0)

    name: ClassVar[str] = "balanced_mixup"
    formula: ClassVar[str] = "x = (1-s) x_i + s x_b, t alike, x_b drawn class-balanced, s ~ Beta(alpha, 1)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = Source(
        "Balanced-MixUp for Highly Imbalanced Medical Image Classification",
        "A. Galdran, G. Carneiro, M. A. González Ballester",
        2021,
        "arXiv:2109.09850",
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by mixing balanced batches in",
        "long_tail",
        "balanced_accuracy",
        values={"alpha": 0.3},  # the largest of the paper: of the default's 9% of balanced rows few steps show little
    )

    def partners(self) -> Sampler:
        """The second batch is drawn from classes alike."""
        return ClassBalancedSampling()

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """A uniform number per batch [steps]; to the power 1 / alpha it follows Beta(alpha, 1)."""
        return {"uniform": torch.rand(steps, generator=generator)}

    def mix(
        self, state: State, batch: Batch, partner: Batch | None, draws: Mapping[str, Tensor], progress: Tensor
    ) -> Batch:
        """The batch and the balanced one -> their mixture, targets [B, C] alike."""
        assert partner is not None
        share = torch.exp(draws["uniform"].clamp(min=1e-30).log() / self.alpha)
        return batch._replace(
            inputs=blend(batch.inputs, partner.inputs, share), targets=blend(batch.targets, partner.targets, share)
        )
