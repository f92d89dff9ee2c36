"""MaxNorm: towards the end of training, class weights of the classifier that are longer than a bound are cut down to it after every step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from models.balancing.component import (
    Claim,
    GradientTransform,
    Need,
    Source,
    State,
    Update,
    hyper,
    needs_linear_classifier,
)

if TYPE_CHECKING:
    from models.recipe import Recipe

NAME = "classifier.weight"


def bound(weight: Tensor, share: float | Tensor) -> Tensor:
    """The bound []: from the shortest class weight of [C, H] a `share` of the way to the longest."""
    norms = weight.norm(dim=-1)
    return norms.min() + share * (norms.max() - norms.min())


def projected(weight: Tensor, limit: Tensor) -> Tensor:
    """w_c min(1, limit / |w_c|), the nearest weights [C, H] within the ball."""
    return weight * (limit / weight.norm(dim=-1, keepdim=True).clamp(min=1e-12)).clamp(max=1)


@dataclass(frozen=True)
class MaxNorm(GradientTransform):
    """Projected gradient descent in the ball of norms; the bound follows from the classifier as it is at `start`.

    The norms of a classifier that has learned say which classes are to be held back; those of a fresh one say nothing,
    and bounding it by them would only keep all logits small. `weight_balancing` begins it with its second stage.
    """

    share: float = hyper(0.1, minimum=0.0, maximum=1.0)
    start: float = hyper(0.9, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "max_norm"
    formula: ClassVar[str] = (
        "from start on w_c <- w_c min(1, d / |w_c|), d = min_c |w_c| + share (max_c |w_c| - min_c |w_c|) at start"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    constrains: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "Long-Tailed Recognition via Weight Balancing",
        "S. Alshammari, Y.-X. Wang, D. Ramanan, S. Kong",
        2022,
        "arXiv:2203.14197",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Exploring Weight Balancing on Long-Tailed Recognition Problem",
            "N. Hasegawa, I. Sato",
            2023,
            "arXiv:2305.16573",
        ),
    )

    claim: ClassVar[Claim] = Claim(
        "makes weights of the loss serve rare classes more, once the features are learned",
        "separable_tail",
        "balanced_accuracy",
        values={"start": 0.6},
        beside={"schedule": {"drw": {"start": 0.6}}},
    )

    def objection(self, recipe: Recipe) -> str | None:
        """It needs class weights."""
        return needs_linear_classifier(recipe)

    def init(self, parameters: State) -> State:
        """The bound []; below 0 until it is known."""
        return {"bound": torch.full_like(parameters[NAME].reshape(-1)[0], -1.0)}

    def transform(self, state: State, gradients: State, parameters: State, progress: Tensor) -> Update:
        """The gradients as they are; at the first step from `start` on the bound, which stays."""
        found = bound(parameters[NAME].reshape(-1, parameters[NAME].shape[-1]), self.share)
        begins = (progress >= self.start) & (state["bound"] < 0)
        return Update(gradients, {}, {"bound": torch.where(begins, found, state["bound"])})

    def constrain(self, state: State, parameters: State) -> State:
        """The classifier's weights within their bound."""
        weight, limit = parameters[NAME], state["bound"]
        return {NAME: torch.where(limit < 0, weight, projected(weight, limit))}
