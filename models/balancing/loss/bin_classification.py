"""Regression helped by classification: the squared error, and the cross-entropy of the bin that the number lies in."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Loss, Source, State, Task, hyper
from models.balancing.loss.none import cross_entropy, squared_error
from models.data import Batch, Statistics, one_hot


@dataclass(frozen=True)
class BinClassification(Loss):
    """A second, linear classifier guesses the bin from the same features; it is left out of the trained model."""

    strength: float | Tensor = hyper(1.0, 0.05, 5.0, log=True, minimum=0.0, maximum=1000.0)

    name: ClassVar[str] = "bin_classification"
    formula: ClassVar[str] = "L = (z - t)^2 + strength CE(bin of t, V f + c)"
    tasks: ClassVar[frozenset[Task]] = frozenset({"regression"})
    source: ClassVar[Source] = Source(
        "A step towards understanding why classification helps regression",
        "S. L. Pintea, Y. Lin, J. Dijkstra, J. C. van Gemert",
        2023,
        "ICCV 2023",
    )

    def parameters(self, statistics: Statistics, features: int, generator: torch.Generator) -> State:
        """The second classifier, drawn as torch draws a linear layer."""
        drawn = torch.rand(statistics.classes, features, generator=generator)
        return {"weight": (2 * drawn - 1) / features**0.5, "bias": torch.zeros(statistics.classes)}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Numbers [B, 1] and the features [B, H] in the batch -> loss per row [B]."""
        assert batch.features is not None
        guess = batch.features @ state["weight"].mT + state["bias"]
        classified = cross_entropy(guess, one_hot(batch.labels, guess.shape[-1]))
        return squared_error(logits, batch.targets) + self.strength * classified
