"""Multiplicative logit adjustment: after training, scale each class's logit by a power of its rarity."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from models.balancing.component import (
    Correction,
    Source,
    State,
    TrainedNet,
    WeightAdjuster,
    hyper,
    needs_linear_classifier,
)
from models.data import Split, Statistics

if TYPE_CHECKING:
    from models.recipe import Recipe


def rarity_scale(class_counts: Tensor, power: float | Tensor) -> Tensor:
    """(n_max / n_c)^power [C]; a class without rows counts as half a row."""
    counts = class_counts.clamp(min=0.5)
    return (counts.max() / counts) ** power


@dataclass(frozen=True)
class MultiplicativeAdjustment(WeightAdjuster):
    """The weights of rare classes are drawn out, which moves the decision boundaries towards frequent ones.

    The paper makes all class weights equally long while it trains; head `fixed_simplex` does. It ends one-stage weight
    balancing. It changes probabilities as well: a calibration after it takes that back.
    """

    power: float | Tensor = hyper(0.3, 0.05, 1.0, log=True, minimum=0.0, maximum=5.0)

    name: ClassVar[str] = "multiplicative_adjustment"
    formula: ClassVar[str] = "z_c = (n_max / n_c)^power (<w_c, f> + b_c)"
    corrects_prior: ClassVar[Correction] = "partly"
    source: ClassVar[Source] = Source(
        "Adjusting Decision Boundary for Class Imbalanced Learning", "B. Kim, J. Kim", 2019, "arXiv:1912.01857"
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Exploring Weight Balancing on Long-Tailed Recognition Problem",
            "N. Hasegawa, I. Sato",
            2023,
            "arXiv:2305.16573",
        ),
    )

    def objection(self, recipe: Recipe) -> str | None:
        """It needs class weights."""
        return needs_linear_classifier(recipe)

    def reweigh(
        self, net: TrainedNet, train: Split, statistics: Statistics, generator: torch.Generator
    ) -> tuple[str | None, State]:
        """The scaled weights and biases."""
        scale = rarity_scale(statistics.class_counts, self.power).to(net.classifier["weight"].device)
        return net.head, {
            **net.classifier,
            "weight": net.classifier["weight"] * scale[:, None],
            "bias": net.classifier["bias"] * scale,
        }
