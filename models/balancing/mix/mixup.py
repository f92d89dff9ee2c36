"""Mixup: train on convex combinations of pairs of rows and of their targets."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Mixer, Source, State, Task, hyper
from models.data import Batch


def beta_from_uniforms(uniforms: Tensor, alpha: float | Tensor) -> Tensor:
    """A draw from Beta(alpha, alpha), alpha <= 1, by Jöhnk's method from pairs of uniforms [K, 2].

    The first pair with u^(1/alpha) + v^(1/alpha) <= 1 is accepted; the ratio is taken through logarithms so that small
    alpha does not underflow. alpha is a tensor or a number; the draws do not depend on it, so configurations that
    differ in alpha share them. Source: M. D. Jöhnk, Metrika 8 (1964).
    """
    log_x, log_y = (uniforms.clamp(min=1e-30).log() / alpha).unbind(-1)
    accepted = torch.logaddexp(log_x, log_y) <= 0
    ratio = torch.sigmoid(log_x - log_y)
    order = torch.arange(ratio.shape[-1], device=ratio.device)
    first = torch.where(accepted, order, ratio.shape[-1]).min(-1, keepdim=True).values
    chosen = (order == torch.clamp(first, max=ratio.shape[-1] - 1)).to(ratio.dtype)
    return (ratio * chosen).sum(-1)


def mixup(values: Tensor, partners: Tensor, share: Tensor) -> Tensor:
    """share * values + (1 - share) * values[partners], along the first dimension."""
    return share * values + (1 - share) * values[partners]


@dataclass(frozen=True)
class Mixup(Mixer):
    """One share per batch, drawn from Beta(alpha, alpha); categories are mixed where the net embeds them."""

    alpha: float | Tensor = hyper(0.2, 0.05, 1.0, log=True, minimum=0.001, maximum=1.0)

    name: ClassVar[str] = "mixup"
    formula: ClassVar[str] = "x = s x_i + (1-s) x_j, t = s t_i + (1-s) t_j, s ~ Beta(alpha, alpha)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = Source(
        "mixup: Beyond Empirical Risk Minimization",
        "H. Zhang, M. Cisse, Y. N. Dauphin, D. Lopez-Paz",
        2017,
        "arXiv:1710.09412",
    )
    claim: ClassVar[Claim] = Claim("keeps a net from learning wrong labels by heart", "noisy_labels", "accuracy")

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """Uniform pairs [steps, 24, 2] (at alpha <= 1 the chance that all are refused is below 2^-24), partners [steps, batch]."""
        return {
            "uniforms": torch.rand(steps, 24, 2, generator=generator),
            "partners": torch.rand(steps, batch, generator=generator).argsort(-1),
        }

    def mix(
        self, state: State, batch: Batch, partner: Batch | None, draws: Mapping[str, Tensor], progress: Tensor
    ) -> Batch:
        """One batch -> its rows mixed with their partners, targets [B, C] alike."""
        share = beta_from_uniforms(draws["uniforms"], self.alpha)
        partners = draws["partners"]
        return batch._replace(
            inputs=mixup(batch.inputs, partners, share),
            targets=mixup(batch.targets, partners, share),
        )
