"""UniMix: mix rows with rare partners, at shares that give both classes of a pair the same say on average."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Mixer, Source, State, hyper
from models.balancing.mix.mixup import beta_from_uniforms
from models.data import Batch, Statistics

PAIRS = 16
"""Pairs of uniforms per row, of which Jöhnk's method accepts the first that fits; at alpha <= 1 all fail once in 65,000."""


def unimix_share(drawn: Tensor, rows: Tensor, partners: Tensor) -> Tensor:
    """The share of the first row [B]: a draw from Beta(a, a) moved by n_j / (n_i + n_j), and what exceeds 1 wrapped to 0.

    `rows` and `partners` are the sizes of the classes of both rows, n_i and n_j.
    """
    moved = drawn + partners / (rows + partners)
    return torch.where(moved > 1, moved - 1, moved)


def drawn_partners(uniforms: Tensor, sizes: Tensor, power: float | Tensor) -> Tensor:
    """A partner for each row [B], drawn from the batch in proportion to its class size n^power."""
    edges = (sizes**power).cumsum(-1)
    return torch.searchsorted(edges, uniforms * edges[-1]).clamp(max=sizes.shape[-1] - 1)


@dataclass(frozen=True)
class UniMix(Mixer):
    """Both parts of the method: the inverse sampler of partners, and the share that depends on the two class sizes.

    The power is that of a row's chance among those of the batch, as in the authors' code, so that at -1 all classes of a batch
    partner alike; in the paper's text it is that of a class's chance.
    """

    alpha: float | Tensor = hyper(0.5, 0.1, 1.0, log=True, minimum=0.001, maximum=1.0)
    power: float | Tensor = hyper(-1.0, -1.5, -0.25, minimum=-4.0, maximum=0.0)

    name: ClassVar[str] = "unimix"
    formula: ClassVar[str] = (
        "x = s x_i + (1-s) x_j, t alike, p(j) ~ n_j^power, s = Beta(a, a) + n_j / (n_i + n_j), less 1 where above 1"
    )
    source: ClassVar[Source] = Source(
        "Towards Calibrated Model for Long-Tailed Visual Recognition from Prior Perspective",
        "Z. Xu, Z. Chai, C. Yuan",
        2021,
        "arXiv:2111.03874",
    )
    claim: ClassVar[Claim] = Claim("makes mixed rows of all classes equally frequent", "long_tail", "balanced_accuracy")

    def init(self, statistics: Statistics) -> State:
        """The class counts [C]."""
        return {"class_counts": statistics.class_counts}

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """Uniform pairs [steps, batch, 16, 2] for the shares, uniforms [steps, batch] for the partners."""
        return {
            "uniforms": torch.rand(steps, batch, PAIRS, 2, generator=generator),
            "partners": torch.rand(steps, batch, generator=generator),
        }

    def mix(
        self, state: State, batch: Batch, partner: Batch | None, draws: Mapping[str, Tensor], progress: Tensor
    ) -> Batch:
        """One batch -> its rows mixed with rare partners, targets [B, C] alike."""
        sizes = state["class_counts"].clamp(min=1)[batch.labels]
        partners = drawn_partners(draws["partners"], sizes, self.power)
        share = unimix_share(beta_from_uniforms(draws["uniforms"], self.alpha), sizes, sizes[partners])
        wide, narrow = share.reshape(-1, *[1] * (batch.inputs.dim() - 1)), share[:, None]
        return batch._replace(
            inputs=wide * batch.inputs + (1 - wide) * batch.inputs[partners],
            targets=narrow * batch.targets + (1 - narrow) * batch.targets[partners],
        )
