"""Warm start: training goes on from the champion's weights as they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch

from models.balancing.component import Claim, Source, State
from models.balancing.starting import Start


@dataclass(frozen=True)
class WarmStart(Start):
    """It keeps most of what the champion knows; the paper finds that a net so begun may generalize worse than a fresh one.

    That is why it competes with training from scratch, and is judged with it.
    """

    name: ClassVar[str] = "warm_start"
    formula: ClassVar[str] = "theta_0 = theta_champion"
    source: ClassVar[Source] = Source(
        "On Warm-Starting Neural Network Training", "J. T. Ash, R. P. Adams", 2020, "arXiv:1910.08475"
    )

    claim: ClassVar[Claim] = Claim("keeps what the champion knows where new rows are few", "more_rows", "accuracy")

    def begin(self, champion: State, generator: torch.Generator) -> State:
        """The same weights."""
        return {name: value.clone() for name, value in champion.items()}
