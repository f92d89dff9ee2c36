"""The contract of tasks that need no labels: what a net can learn a representation from before it learns to decide."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.base import Slot, State
from models.balancing.component import Learning

Rows = tuple[Tensor, Tensor]
"""Inputs [B, …] and category ids [B, K] of a batch, as they are in the table."""


@dataclass(frozen=True)
class Pretext(Learning):
    """Makes views of a batch's rows, and scores what the net makes of them; a schedule brings it."""

    slot: ClassVar[Slot] = "schedule"

    @abstractmethod
    def draw_views(
        self, generator: torch.Generator, steps: int, batch: int, inputs: tuple[int, ...], categories: int
    ) -> dict[str, Tensor]:
        """The random numbers of `steps` batches [steps, …], for rows with inputs of this shape and so many categories."""

    @abstractmethod
    def views(self, rows: Rows, draws: Mapping[str, Tensor]) -> tuple[Rows, ...]:
        """The rows of a batch -> what the net is shown of them, view by view."""

    @abstractmethod
    def loss(self, state: State, features: tuple[Tensor, ...], draws: Mapping[str, Tensor]) -> Tensor:
        """The features [B, H] of each view -> one number []; `state` holds its own parameters."""


def linear_parameters(generator: torch.Generator, name: str, outputs: int, inputs: int) -> State:
    """Weight [outputs, inputs] and bias [outputs] of a linear layer, drawn as torch draws them."""
    bound = 1 / math.sqrt(inputs)
    shapes = {f"{name}_weight": (outputs, inputs), f"{name}_bias": (outputs,)}
    return {k: (2 * torch.rand(s, generator=generator) - 1) * bound for k, s in shapes.items()}


def linear(state: State, name: str, inputs: Tensor) -> Tensor:
    """The linear layer of that name on [B, inputs]."""
    return inputs @ state[f"{name}_weight"].T + state[f"{name}_bias"]
