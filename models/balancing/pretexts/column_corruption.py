"""Column corruption: a row and what is left of it when columns are drawn from other rows must look alike."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Source, State, Task, hyper
from models.balancing.pretext import Pretext, Rows, linear, linear_parameters
from models.data import Statistics

SCARF = Source(
    "SCARF: Self-Supervised Contrastive Learning using Random Feature Corruption",
    "D. Bahri, H. Jiang, Y. Tay, D. Metzler",
    2021,
    "arXiv:2106.15147",
)


def corrupted(columns: Tensor, masked: Tensor, donors: Tensor) -> Tensor:
    """Columns [B, F] whose masked cells [B, F] hold the value that a donor row [B, F] of the batch has there."""
    return torch.where(masked, columns.gather(0, donors), columns)


def contrast(anchors: Tensor, views: Tensor, temperature: float | Tensor) -> Tensor:
    """The mean of -log of exp(s_ii / t) over the mean of exp(s_ij / t), s_ij the cosine of anchor i and view j [B, Z]."""
    unit = [v / (v.square().sum(-1, keepdim=True) + 1e-12).sqrt() for v in (anchors, views)]
    similar = unit[0] @ unit[1].T / temperature
    own = similar.diagonal()
    return (torch.logsumexp(similar, -1) - own).mean() - math.log(similar.shape[0])


@dataclass(frozen=True)
class ColumnCorruption(Pretext):
    """SCARF: a row and its corruption, in which a share of the columns is drawn from other rows, must look alike.

    Each cell is corrupted for itself, where the paper corrupts as many columns of every row. It is drawn from the batch's
    rows, which stand for the column's distribution over all rows.
    """

    rate: float = hyper(0.6, minimum=0.0, maximum=1.0)
    temperature: float = hyper(1.0, minimum=1e-2, maximum=1e2)

    name: ClassVar[str] = "column_corruption"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = SCARF

    def parameters(self, statistics: Statistics, features: int, generator: torch.Generator) -> State:
        """A projection of two layers, which is thrown away afterwards."""
        first = linear_parameters(generator, "first", features, features)
        return {**first, **linear_parameters(generator, "second", features, features)}

    def draw_views(
        self, generator: torch.Generator, steps: int, batch: int, inputs: tuple[int, ...], categories: int
    ) -> dict[str, Tensor]:
        """Which cells are corrupted, and from which row of the batch each is drawn."""
        shape = (steps, batch, inputs[0] + categories)
        return {
            "masked": torch.rand(shape, generator=generator) < self.rate,
            "donors": torch.randint(batch, shape, generator=generator),
        }

    def views(self, rows: Rows, draws: Mapping[str, Tensor]) -> tuple[Rows, ...]:
        """The rows as they are, and corrupted."""
        inputs, categories = rows
        width = inputs.shape[-1]
        masked, donors = draws["masked"], draws["donors"]
        return (
            rows,
            (
                corrupted(inputs, masked[:, :width], donors[:, :width]),
                corrupted(categories, masked[:, width:], donors[:, width:]),
            ),
        )

    def loss(self, state: State, features: tuple[Tensor, ...], draws: Mapping[str, Tensor]) -> Tensor:
        """The contrast of the projected views."""
        projected = [linear(state, "second", linear(state, "first", f).relu()) for f in features]
        return contrast(projected[0], projected[1], self.temperature)
