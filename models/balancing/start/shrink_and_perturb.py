"""Shrink and perturb: training goes on from the champion's weights, drawn towards zero and disturbed a little."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Source, State, hyper
from models.balancing.starting import Start


def shrunk_and_perturbed(weights: Tensor, noise: Tensor, keep: float, deviation: float) -> Tensor:
    """keep * weights + deviation * noise, for standard normal noise of the weights' shape."""
    return keep * weights + deviation * noise


@dataclass(frozen=True)
class ShrinkAndPerturb(Start):
    """Between a warm start (keep 1, deviation 0) and a fresh one: it keeps the order of the champion's decisions and gets
    back gradients that new rows can move, which a net that fits the old rows has lost."""

    keep: float = hyper(0.5, 0.1, 0.9, minimum=0.0, maximum=1.0)
    deviation: float = hyper(0.01, 0.001, 0.1, log=True, minimum=0.0, maximum=10.0)

    name: ClassVar[str] = "shrink_and_perturb"
    formula: ClassVar[str] = "theta_0 = keep theta_champion + p, p ~ N(0, deviation^2)"
    source: ClassVar[Source] = Source(
        "On Warm-Starting Neural Network Training", "J. T. Ash, R. P. Adams", 2020, "arXiv:1910.08475"
    )

    claim: ClassVar[Claim] = Claim(
        "generalizes better than a warm start from a net that fits the old rows",
        "learned_by_heart",
        "accuracy",
        beside={"start": "warm_start"},
    )

    def begin(self, champion: State, generator: torch.Generator) -> State:
        """Every weight, in the order of the names' declaration."""
        return {
            name: shrunk_and_perturbed(
                value, torch.randn(value.shape, generator=generator, dtype=value.dtype), self.keep, self.deviation
            )
            for name, value in champion.items()
        }
