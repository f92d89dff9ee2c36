"""Penalties on the gaps in false positive and false negative rate between groups."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Need, Regularizer, Source, State, Task, hyper
from models.data import Batch, Statistics, one_hot

SOURCE = Source("Penalizing Unfairness in Binary Classification", "Y. Bechavod, K. Ligett", 2017, "arXiv:1707.00044")


def gap(scores: Tensor, groups: Tensor, weights: Tensor, group_count: int) -> Tensor:
    """Largest minus smallest mean score over the groups that have rows of weight in the batch; of two groups, their difference.

    scores, groups, weights [B] -> a scalar; 0 where fewer than two groups have rows.
    """
    member = one_hot(groups, group_count) * weights[:, None]
    rows = member.sum(0)
    present = rows > 0
    mean = (member * scores[:, None]).sum(0) / rows.clamp(min=1e-12)
    largest = torch.where(present, mean, -torch.inf).max()
    smallest = torch.where(present, mean, torch.inf).min()
    enough = present.sum() > 1
    # Where a group alone is present both are its mean; where none is, the infinities must not reach the gradient.
    return torch.where(enough, torch.where(enough, largest, 0.0) - torch.where(enough, smallest, 0.0), 0.0)


@dataclass(frozen=True)
class ErrorRateGap(Regularizer):
    """The absolute difference of the groups' mean scores among negatives, and the same among positives.

    The score is the margin z_1 - z_0: its mean stands in for the rate, which has no gradient. With more than two groups
    the gap is the largest between any two. The paper's penalty is that of all training rows; the gap of a batch differs from
    0 by chance as well, in proportion to the spread of the scores, so that a strong penalty ends in one class for all rows.
    """

    false_positive: float | Tensor = hyper(0.2, 0.01, 1.0, log=True, minimum=0.0, maximum=1000.0)
    false_negative: float | Tensor = hyper(0.2, 0.01, 1.0, log=True, minimum=0.0, maximum=1000.0)

    name: ClassVar[str] = "error_rate_gap"
    formula: ClassVar[str] = "L + a |E[s|y=0,g] - E[s|y=0,h]| + b |E[s|y=1,g] - E[s|y=1,h]|, s = z_1 - z_0"
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    source: ClassVar[Source] = SOURCE
    power: ClassVar[int] = 1
    claim: ClassVar[Claim] = Claim(
        "lowers the gap in error rates between groups", "group_gap_large_batches", "equalized_odds_difference",
        {"false_positive": 0.2, "false_negative": 0.2},
    )  # fmt: skip

    def init(self, statistics: Statistics, features: int) -> State:
        """The rows of each group [G], which say how many groups there are."""
        return {"group_counts": statistics.group_counts}

    def penalty(
        self, state: State, features: Tensor, logits: Tensor, batch: Batch, progress: Tensor
    ) -> tuple[Tensor, State]:
        """The two gaps in the batch, weighted."""
        scores, count = logits[..., 1] - logits[..., 0], state["group_counts"].shape[-1]
        negatives, positives = (gap(scores, batch.groups, batch.weights * batch.targets[..., c], count) for c in (0, 1))
        return self.false_positive * negatives**self.power + self.false_negative * positives**self.power, state


@dataclass(frozen=True)
class SquaredErrorRateGap(ErrorRateGap):
    """The same with squared differences."""

    name: ClassVar[str] = "squared_error_rate_gap"
    formula: ClassVar[str] = "L + a (E[s|y=0,g] - E[s|y=0,h])^2 + b (E[s|y=1,g] - E[s|y=1,h])^2, s = z_1 - z_0"
    power: ClassVar[int] = 2
    claim: ClassVar[Claim] = Claim(
        "lowers the gap in error rates between groups", "group_gap", "equalized_odds_difference",
        {"false_positive": 0.2, "false_negative": 0.2},
    )  # fmt: skip
