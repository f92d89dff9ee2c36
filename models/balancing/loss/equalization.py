"""Equalization loss: rows of other classes do not push a rare class down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Source, State, hyper
from models.balancing.loss.none import cross_entropy
from models.balancing.loss.seesaw import SPARED, OneClassARow
from models.data import Batch, Statistics


def equalized(logits: Tensor, targets: Tensor, ignored: Tensor) -> Tensor:
    """-log (e^z_y / sum_k w_k e^z_k) per row [B], w_k = 1 - ignored_k (1 - t_k); ignored [B, C] in {0, 1}."""
    left_out = ignored * (1 - targets)
    return cross_entropy(torch.where(left_out > 0.5, -1e9, logits), targets)


@dataclass(frozen=True)
class Equalization(OneClassARow):
    """The softmax form: a rare class is left out of the denominator of most rows of other classes.

    Rare is a class with less than `threshold` times the rows that it would have if all had equally many.
    """

    probability: float | Tensor = hyper(0.9, 0.5, 0.99, minimum=0.0, maximum=1.0)
    threshold: float | Tensor = hyper(0.7, 0.2, 1.0, minimum=0.0, maximum=1000.0)

    name: ClassVar[str] = "equalization"
    formula: ClassVar[str] = (
        "L = -log (e^z_y / sum_k w_k e^z_k), w_k = 1 - b T(n_k) (1 - t_k), b ~ Bernoulli(probability)"
    )
    source: ClassVar[Source] = Source(
        "Equalization Loss for Long-Tailed Object Recognition",
        "J. Tan, C. Wang, B. Li, Q. Li, W. Ouyang, C. Yin, J. Yan",
        2020,
        "arXiv:2003.05176",
    )
    claim: ClassVar[Claim] = SPARED

    def init(self, statistics: Statistics) -> State:
        """The class prior [C]."""
        return {"prior": statistics.prior}

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """A uniform number per row [steps, batch]."""
        return {"uniforms": torch.rand(steps, batch, generator=generator)}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        rare = state["prior"] * logits.shape[-1] < self.threshold
        ignored = (rare & (state["uniforms"] < self.probability)[:, None]).to(logits.dtype)
        return equalized(logits, batch.targets, ignored)
