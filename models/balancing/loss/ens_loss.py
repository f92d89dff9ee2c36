"""EnsLoss: every step takes the gradient of another convex, calibrated loss of the margin, drawn at random."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Loss, Source, State, Task
from models.data import Batch

if TYPE_CHECKING:
    from models.recipe import Recipe

SMALLEST = 1e-6


def inverse_box_cox(values: Tensor, power: Tensor) -> Tensor:
    """max(1 + power v, 0)^(1 / power), e^v for power 0; at most 1, elementwise."""
    straight = power.abs() < 1e-4
    bounded = torch.where(straight, 1.0, power)
    log_curve = torch.log((1 + bounded * values).clamp(min=1e-12)) / bounded
    return torch.where(straight, values, log_curve).clamp(max=0).exp()


def drawn_slopes(margins: Tensor, normals: Tensor, power: Tensor) -> Tensor:
    """The derivative at each row's margin [B] of a loss drawn from standard normals [B] and a power [] in [-1, 1].

    Sizes come from the inverse Box-Cox transform of the normals, the largest at the smallest margin, so that the loss
    is convex; all slopes are negative, so that it is calibrated; beyond margin 1 they fall as 1 / margin, so that it is
    bounded below by a line that rises slower than any.
    """
    sizes = inverse_box_cox(normals, power).sort(descending=True).values
    ranks = margins.argsort().argsort()
    tail = torch.where(margins > 1, 1 / margins.clamp(min=1), 1.0)
    return -sizes[ranks] * tail - SMALLEST


@dataclass(frozen=True)
class EnsLoss(Loss):
    """An ensemble over losses, as dropout is one over nets, for two classes; it keeps a net from overfitting to one loss.

    The gradient is that of the drawn loss. The value, which has none of its own, is that of the logistic loss: a member
    of the ensemble that epochs are compared by.
    """

    name: ClassVar[str] = "ens_loss"
    formula: ClassVar[str] = (
        "dL/dm_i = -s_(rank of m_i), s sorted draws of min(BC^-1(N(0,1); l), 1), l ~ U(-1, 1), / m_i beyond 1; m = +-(z_1 - z_0)"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    source: ClassVar[Source] = Source(
        "EnsLoss: Stochastic Calibrated Loss Ensembles for Preventing Overfitting in Classification",
        "B. Dai",
        2024,
        "arXiv:2409.00908",
    )
    claim: ClassVar[Claim] = Claim("keeps a net from overfitting", "overfitted", "accuracy")

    def objection(self, recipe: Recipe) -> str | None:
        """A margin belongs to one class."""
        mixing = recipe.mixing
        return f"a row's margin is that of one class, and '{mixing.name}' mixes classes" if mixing else None

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """A normal number per row [steps, batch] and a power per batch [steps]."""
        return {
            "normals": torch.randn(steps, batch, generator=generator),
            "power": 2 * torch.rand(steps, generator=generator) - 1,
        }

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, 2] -> loss per row [B]."""
        margins = (2 * batch.targets[..., 1] - 1) * (logits[..., 1] - logits[..., 0])
        fixed = margins.detach()
        slopes = drawn_slopes(fixed, state["normals"], state["power"])
        return torch.nn.functional.softplus(-fixed) + slopes * (margins - fixed)
