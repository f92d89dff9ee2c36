"""Dynamic loss-based weights: each row's loss, placed between the batch's smallest and largest, says what it weighs."""

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Source, State, Task, Weigher, hyper
from models.balancing.weigh.kl_dro import tilted
from models.data import Batch

SOURCE = Source(
    "Dynamic Loss-Based Sample Reweighting for Improved Large Language Model Pretraining",
    "D. Sow, H. Woisetschläger, S. Bulusu, S. Wang, H.-A. Jacobsen, Y. Liang",
    2025,
    "arXiv:2502.06733",
)


def placed(losses: Tensor) -> Tensor:
    """Losses [B] -> [-1, 1]: -1 the smallest of the batch, 1 the largest; all 0 where they are equal."""
    low, high = losses.min(), losses.max()
    return torch.where(high > low, (2 * losses - high - low) / (high - low).clamp(min=1e-12), 0.0)


@dataclass(frozen=True)
class LossBased(Weigher):
    """Weights B softmax(f(h) / temperature) from `burn_in` on, 1 before; the forms differ in f."""

    temperature: float | Tensor = hyper(1.0, 0.2, 5.0, log=True, minimum=1e-3, maximum=1e6)
    burn_in: float | Tensor = hyper(0.05, minimum=0.0, maximum=1.0)

    source: ClassVar[Source] = SOURCE
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK

    @abstractmethod
    def form(self, place: Tensor) -> Tensor:
        """The place of each row's loss in [-1, 1] -> how much it counts, before the softmax."""

    def weigh(self, state: State, losses: Tensor, batch: Batch, progress: Tensor) -> tuple[Tensor, State]:
        """Losses [B] -> weights [B] of mean 1."""
        weights = tilted(self.form(placed(losses)) / self.temperature, batch.weights)
        return torch.where(progress >= self.burn_in, weights, torch.ones_like(weights)), state


@dataclass(frozen=True)
class LinUpper(LossBased):
    """Rows of low loss count less, those above the middle alike: the form that the paper finds best."""

    name: ClassVar[str] = "loss_linupper"
    formula: ClassVar[str] = "w = B softmax(f(h) / r), f(h) = min(h + 1, 1), h = loss placed in [-1, 1]"
    claim: ClassVar[Claim] = Claim(
        "serves rows of large loss, as rows of small loss count less", "subclasses", "worst_group_accuracy"
    )

    def form(self, place: Tensor) -> Tensor:
        """min(h + 1, 1)."""
        return (place + 1).clamp(max=1)


@dataclass(frozen=True)
class Quadratic(LossBased):
    """Rows of middling loss count most."""

    name: ClassVar[str] = "loss_quadratic"
    formula: ClassVar[str] = "w = B softmax(f(h) / r), f(h) = 1 - h^2, h = loss placed in [-1, 1]"
    claim: ClassVar[Claim] = Claim(
        "is robust to wrong labels, as rows of large loss count less", "noisy_labels", "accuracy"
    )

    def form(self, place: Tensor) -> Tensor:
        """1 - h^2."""
        return 1 - place.square()


@dataclass(frozen=True)
class Extremes(LossBased):
    """Rows of the lowest and the highest loss count most.

    Easy rows count as much as the hardest and are many, so only a small temperature lifts the hardest above the rest.
    """

    name: ClassVar[str] = "loss_extremes"
    formula: ClassVar[str] = "w = B softmax(f(h) / r), f(h) = |h|, h = loss placed in [-1, 1]"
    claim: ClassVar[Claim] = Claim(
        "serves rows of large loss, whoever they are", "subclasses", "worst_group_accuracy", {"temperature": 0.2}
    )

    def form(self, place: Tensor) -> Tensor:
        """|h|."""
        return place.abs()
