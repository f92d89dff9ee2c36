"""Remix: mixup whose target goes to the minority class when the pair is unbalanced enough."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Mixer, Source, State, hyper
from models.balancing.mix.mixup import beta_from_uniforms, mixup
from models.data import Batch, Statistics


def target_share(share: Tensor, rows: Tensor, partners: Tensor, ratio: float | Tensor, cut: float | Tensor) -> Tensor:
    """The share of the first row's target [B], for class sizes `rows` and `partners` [B].

    0 where the first class is at least `ratio` times as large and share < cut; 1 where it is at most 1 / ratio as
    large and 1 - share < cut; else the share itself.
    """
    relation = rows / partners
    to_partner = (relation >= ratio) & (share < cut)
    to_first = (relation <= 1 / ratio) & (1 - share < cut)
    return torch.where(to_partner, 0.0, torch.where(to_first, 1.0, share))


@dataclass(frozen=True)
class Remix(Mixer):
    """Inputs are mixed as in mixup, targets in favour of the rarer class."""

    alpha: float | Tensor = hyper(1.0, 0.1, 1.0, log=True, minimum=0.001, maximum=1.0)
    ratio: float | Tensor = hyper(3.0, 1.5, 10.0, log=True, minimum=1.0, maximum=1e6)
    cut: float | Tensor = hyper(0.5, 0.1, 0.9, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "remix"
    formula: ClassVar[str] = (
        "x = s x_i + (1-s) x_j; t with s_t = 0 if n_i/n_j >= k and s < c, 1 if n_i/n_j <= 1/k and 1-s < c, else s"
    )
    source: ClassVar[Source] = Source(
        "Remix: Rebalanced Mixup", "H.-P. Chou, S.-C. Chang, J.-Y. Pan, W. Wei, D.-C. Juan", 2020, "arXiv:2007.03943"
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by mixing targets in their favour", "separable_tail", "balanced_accuracy"
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
        """One batch -> its rows mixed with their partners, targets [B, C] by their class sizes."""
        share = beta_from_uniforms(draws["uniforms"], self.alpha)
        partners, sizes = draws["partners"], state["class_counts"].clamp(min=1)[batch.labels]
        of_target = target_share(share, sizes, sizes[partners], self.ratio, self.cut)[:, None]
        return batch._replace(
            inputs=mixup(batch.inputs, partners, share), targets=mixup(batch.targets, partners, of_target)
        )
