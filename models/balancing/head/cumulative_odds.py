"""Cumulative odds of ordered classes, with weights of their own for each transition."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor, nn

from models.balancing.component import Claim, Head, Source, Task

FLOOR = 1e-5
"""Below this probability the logarithm goes on as a straight line, so that weights under which two transitions cross are left again."""

SOURCE = Source(
    "Predicting Rare Events by Shrinking Towards Proportional Odds", "G. Faletto, J. Bien", 2023, "arXiv:2305.18700"
)


def floored_log(probability: Tensor) -> Tensor:
    """log p; of a p below FLOOR, also of one below 0, log FLOOR + p / FLOOR - 1, which goes on from there with the same slope."""
    below = math.log(FLOOR) + probability / FLOOR - 1
    return torch.where(probability > FLOOR, probability.clamp(min=FLOOR).log(), below)


class CumulativeOdds(nn.Module):
    """[B, H] -> log p(y = c) [B, C], p(y <= c) = s(a_c - <b_c, f>); the thresholds a rise, b_c = b_1 + the steps until c.

    The steps begin at 0, which is the model of proportional odds.
    """

    def __init__(self, features: int, classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(1, features))
        nn.init.kaiming_uniform_(self.weight, a=5**0.5)
        self.steps = nn.Parameter(torch.zeros(max(classes - 2, 0), features))
        shares = torch.arange(1, classes) / classes
        self.first = nn.Parameter(torch.logit(shares[:1]))
        self.rises = nn.Parameter(torch.logit(shares).diff().expm1().log())  # softplus's inverse

    def forward(self, features: Tensor) -> Tensor:
        """Features [B, H] -> logits [B, C], whose softmax are the classes' probabilities."""
        weights = self.weight + nn.functional.pad(self.steps.cumsum(0), (0, 0, 1, 0))
        cuts = torch.cat([self.first, self.first + nn.functional.softplus(self.rises).cumsum(0)])
        until = torch.sigmoid((cuts - nn.functional.linear(features, weights)).float())
        each = nn.functional.pad(until, (0, 1), value=1.0) - nn.functional.pad(until, (1, 0))
        return floored_log(each).to(features.dtype)


@dataclass(frozen=True)
class CumulativeOddsHead(Head):
    """Learns the order of the classes: each transition, also that to a rare class, has weights that start from a common vector.

    By itself it leaves the transitions free; `presto` draws them together.
    """

    name: ClassVar[str] = "cumulative_odds"
    formula: ClassVar[str] = "P(y <= c) = s(a_c - <b_c, f>), a_1 < a_2 < ...; z_c = log(P(y <= c) - P(y <= c - 1))"
    tasks: ClassVar[frozenset[Task]] = frozenset({"ordinal"})
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim("uses the order of the classes", "ordered_tail", "log_loss")

    def classifier(self, features: int, classes: int) -> nn.Module:
        """One vector of weights, a step per further transition, and rising thresholds."""
        return CumulativeOdds(features, classes)
