"""Balanced MSE: the squared error of a model that is to hold where all values are equally frequent."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Loss, Source, State, Task
from models.data import Batch, Statistics


def balanced_squared_error(numbers: Tensor, targets: Tensor, rows: Tensor, sigma: Tensor) -> Tensor:
    """-2 s^2 log (e^(-(z_i - t_i)^2 / 2 s^2) / sum_j r_j e^(-(z_i - t_j)^2 / 2 s^2)) per row [B], for z and t [B, 1].

    The sum stands for the density of the values in training, so each of them counts as its row does: r are `rows` [B] over
    their mean. The factor 2 s^2 is a constant, so that the noise s learns from the logarithm alone.
    """
    variance = sigma.square()
    scores = -(numbers - targets.mT).square() / (2 * variance)
    own = scores.diagonal(dim1=-2, dim2=-1)
    counted = rows / rows.mean().clamp(min=1e-12)
    whole = torch.logsumexp(scores + counted.clamp(min=1e-12).log(), -1)
    return (2 * variance).detach() * (whole - own)


@dataclass(frozen=True)
class BalancedMSE(Loss):
    """The batch-based Monte-Carlo form (BMC), whose other values are those of the batch; the noise is learned."""

    name: ClassVar[str] = "balanced_mse"
    formula: ClassVar[str] = "L = -2 s^2 log (N(t_i; z_i, s^2) / sum_j N(t_j; z_i, s^2)), s learned"
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    source: ClassVar[Source] = Source(
        "Balanced MSE for Imbalanced Visual Regression",
        "J. Ren, M. Zhang, C. Yu, Z. Liu",
        2022,
        "arXiv:2203.16427",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Transferable Parasitic Estimation via Graph Contrastive Learning and Label Rebalancing in AMS Circuits"
        ),
    )

    def parameters(self, statistics: Statistics, features: int, generator: torch.Generator) -> State:
        """The logarithm of the noise's deviation, which begins at that of the standardized target."""
        return {"log_sigma": torch.zeros(1)}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Numbers [B, 1] -> loss per row [B]."""
        return balanced_squared_error(logits, batch.targets, batch.weights, state["log_sigma"].exp())
