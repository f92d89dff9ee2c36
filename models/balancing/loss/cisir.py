"""CISIR: squared errors that count by a decreasing involution of their value's density, and the correlation of the batch."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, Task, hyper
from models.data import Batch, Statistics

SOURCE = Source(
    "Highly Imbalanced Regression with Tabular Data in SEP and Other Applications",
    "J. K. Moukpe, P. K. Chan, M. Zhang",
    2025,
    "arXiv:2509.16339",
)

MARGIN = 1e-3
"""What the density of the densest bin stays below 1 by, so that its rows count a little."""


def involution(density: Tensor, shape: float | Tensor) -> Tensor:
    """(1 - d^k)^(1/k) for d in [0, 1): decreasing and its own inverse; convex for k < 1, 1 - d for k = 1, concave above."""
    return (1 - density.clamp(min=1e-12) ** shape) ** (1 / torch.as_tensor(shape))


def importance(bin_counts: Tensor, shape: float | Tensor) -> Tensor:
    """The weight of the rows of each bin [C], by the bin's rows over those of the fullest; their mean over the rows is 1."""
    raw = involution(bin_counts / (bin_counts.max() * (1 + MARGIN)), shape)
    return raw * bin_counts.sum() / (raw * bin_counts).sum()


def correlation(first: Tensor, second: Tensor, weights: Tensor) -> Tensor:
    """Pearson's correlation of [B] and [B] under weights [B]; 0 where one of them does not vary."""
    shares = weights / weights.sum().clamp(min=1e-12)
    a, b = (x - (shares * x).sum() for x in (first, second))
    spread = (shares * a.square()).sum() * (shares * b.square()).sum()
    return (shares * a * b).sum() / (spread + 1e-8).sqrt()


@dataclass(frozen=True)
class CISIR(Loss):
    """Correlation, involution and stratified batches; the last come from the sampler that it brings.

    The density is that of the bins that rows are balanced by, in the place of a kernel estimate: with bins of equally
    many rows all rows count alike. The correlation counts rows alike.
    """

    shape: float | Tensor = hyper(1.0, 0.2, 3.0, log=True, minimum=0.2, maximum=20.0)
    strength: float | Tensor = hyper(0.5, 0.05, 2.0, log=True, minimum=0.0, maximum=1000.0)

    name: ClassVar[str] = "cisir"
    formula: ClassVar[str] = "L = mean w (z - t)^2 + strength (1 - corr(z, t)), w ~ (1 - d^k)^(1/k), d the density of t"
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    set_level: ClassVar[bool] = True
    implies: ClassVar[Mapping[str, str]] = {"sample": "stratified_batches"}
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim("lowers the error of rare values", "rare_values", "rare_mae")

    def init(self, statistics: Statistics) -> State:
        """The rows of each bin [C]."""
        return {"bin_counts": statistics.class_counts}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Numbers [B, 1] -> the loss of the batch []."""
        numbers, targets, rows = logits[..., 0], batch.targets[..., 0], batch.weights
        counted = rows * importance(state["bin_counts"], self.shape)[batch.labels]
        error = (counted * (numbers - targets).square()).sum() / rows.sum().clamp(min=1e-12)
        return error + self.strength * (1 - correlation(numbers, targets, rows))
