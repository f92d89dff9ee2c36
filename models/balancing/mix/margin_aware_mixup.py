"""Margin-aware mixup: the target of a mixture turns where the margins of its two classes meet."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Mixer, Source, State, hyper
from models.balancing.mix.mixup import beta_from_uniforms, mixup
from models.data import Batch, Statistics


def margin_share(distance: Tensor, rows: Tensor, partners: Tensor, power: float | Tensor) -> Tensor:
    """The share of the first row's target [B], when the mixture is `distance` of the way to the second.

    1 at distance 0, 1/2 where distance = n_i^power / (n_i^power + n_j^power), 0 at distance 1, linear between.
    """
    own, other = rows**power, partners**power
    middle = own / (own + other)
    near = 1 - 0.5 * distance / middle
    far = 0.5 * (1 - distance) / (1 - middle)
    return torch.where(distance < middle, near, far)


@dataclass(frozen=True)
class MarginAwareMixup(Mixer):
    """Mixup for unbalanced classes; power -1/4 makes the turning point follow the margins of LDAM."""

    alpha: float | Tensor = hyper(1.0, 0.1, 1.0, log=True, minimum=0.001, maximum=1.0)
    power: float | Tensor = hyper(-0.25, -1.0, -0.05, minimum=-4.0, maximum=0.0)

    name: ClassVar[str] = "margin_aware_mixup"
    formula: ClassVar[str] = (
        "x = (1-s) x_i + s x_j; share of t_i: 1 at s = 0, 1/2 at s = n_i^w / (n_i^w + n_j^w), 0 at s = 1"
    )
    source: ClassVar[Source] = Source(
        "From SMOTE to Mixup for Deep Imbalanced Classification",
        "W.-C. Cheng, T.-H. Mai, H.-T. Lin",
        2023,
        "arXiv:2308.15457",
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by mixing with a margin in their favour",
        "separable_tail",
        "balanced_accuracy",
    )

    def init(self, statistics: Statistics) -> State:
        """The class counts [C]."""
        return {"class_counts": statistics.class_counts}

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """Uniform pairs [steps, 24, 2], partners [steps, batch]."""
        return {
            "uniforms": torch.rand(steps, 24, 2, generator=generator),
            "partners": torch.rand(steps, batch, generator=generator).argsort(-1),
        }

    def mix(
        self, state: State, batch: Batch, partner: Batch | None, draws: Mapping[str, Tensor], progress: Tensor
    ) -> Batch:
        """One batch -> its rows mixed with their partners, targets [B, C] by their classes' margins."""
        distance = beta_from_uniforms(draws["uniforms"], self.alpha)
        partners, sizes = draws["partners"], state["class_counts"].clamp(min=1)[batch.labels]
        of_target = margin_share(distance, sizes, sizes[partners], self.power)[:, None]
        return batch._replace(
            inputs=mixup(batch.inputs, partners, 1 - distance), targets=mixup(batch.targets, partners, of_target)
        )
