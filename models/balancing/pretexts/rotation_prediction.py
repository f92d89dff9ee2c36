"""Rotation prediction: say by how many quarters an image has been turned."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Source, State, Task
from models.balancing.pretext import Pretext, Rows, linear, linear_parameters
from models.data import Statistics, one_hot
from models.errors import InputError

ROTNET = Source(
    "Unsupervised Representation Learning by Predicting Image Rotations",
    "S. Gidaris, P. Singh, N. Komodakis",
    2018,
    "arXiv:1803.07728",
)
QUARTERS = 4


def turned(images: Tensor, quarters: Tensor) -> Tensor:
    """Images [B, channels, S, S], each turned by its own number of quarters [B]."""
    every = torch.stack([torch.rot90(images, k, (-2, -1)) for k in range(QUARTERS)])
    chosen = (quarters == torch.arange(QUARTERS, device=quarters.device)[:, None])[:, :, None, None, None]
    return (every * chosen).sum(0).to(images.dtype)


@dataclass(frozen=True)
class RotationPrediction(Pretext):
    """Every image is turned by none, one, two or three quarters; a linear layer on its features must say by how many."""

    name: ClassVar[str] = "rotation_prediction"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = ROTNET

    def parameters(self, statistics: Statistics, features: int, generator: torch.Generator) -> State:
        """The linear layer, which is thrown away afterwards."""
        return linear_parameters(generator, "quarters", QUARTERS, features)

    def draw_views(
        self, generator: torch.Generator, steps: int, batch: int, inputs: tuple[int, ...], categories: int
    ) -> dict[str, Tensor]:
        """The quarters of each image; only square images can be turned."""
        if inputs[-1] != inputs[-2]:
            raise InputError(
                f"'{self.name}' turns images by quarters, and these are {inputs[-2]} x {inputs[-1]}. Make them square, or "
                "leave the method out."
            )
        return {"quarters": torch.randint(QUARTERS, (steps, batch), generator=generator)}

    def views(self, rows: Rows, draws: Mapping[str, Tensor]) -> tuple[Rows, ...]:
        """The turned images."""
        return ((turned(rows[0], draws["quarters"]), rows[1]),)

    def loss(self, state: State, features: tuple[Tensor, ...], draws: Mapping[str, Tensor]) -> Tensor:
        """Cross-entropy of the quarters."""
        scored = torch.log_softmax(linear(state, "quarters", features[0]), -1)
        return -(one_hot(draws["quarters"], QUARTERS) * scored).sum(-1).mean()
