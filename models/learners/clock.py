"""What changes from step to step by the time alone, as tensors: so that a step that was recorded once goes with the time."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from models.learners.weights import AdamW, learning_rate_factor

if TYPE_CHECKING:
    from models.learners.population import Population


class Clock(NamedTuple):
    """The numbers of one step, each []: the share of training that lies behind it, the factor on the learning rates, how far
    the mean of the gradients and the root of that of their squares fall short of true means, and the step of the epoch."""

    progress: Tensor
    factor: Tensor
    first: Tensor
    second: Tensor
    batch: Tensor


def clocks(population: Population, done: list[float]) -> Tensor:
    """The numbers of the next steps [steps, 5], by the share of training that lies behind each."""
    p, rows = population, []
    span = p.falls - p.rises
    for batch, share in enumerate(done):
        count = p.optimizer.steps + batch + 1
        factor = learning_rate_factor((share * p.plan.budget - p.rises) / span)
        first, second = 1 - AdamW.BETA1**count, (1 - AdamW.BETA2**count) ** 0.5
        rows.append((share, factor, first, second, float(batch)))
    return torch.tensor(rows).to(p.device)
