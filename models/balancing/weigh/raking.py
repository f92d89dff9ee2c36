"""Raking: weights under which both the classes and the groups have the shares that are asked for."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Correction, Need, Source, State, Task, Weigher, hyper
from models.data import Batch, Statistics

ROUNDS = 200
"""Projections onto both margins in turn; they converge geometrically where every class occurs in every group."""


def raked(table: Tensor, class_shares: Tensor, group_shares: Tensor) -> Tensor:
    """Weights [C, G] for counts `table` [C, G]: scale rows to class_shares [C], columns to group_shares [G], in turn.

    Each scaling is the information projection onto the tables with that margin. Cells without rows get 0, and the mean
    weight of the rows is 1.
    """
    start = table / table.sum()
    fitted = start
    for _ in range(ROUNDS):
        fitted = fitted * (class_shares / fitted.sum(1).clamp(min=1e-30))[:, None]
        fitted = fitted * (group_shares / fitted.sum(0).clamp(min=1e-30))[None, :]
    return torch.where(table > 0, fitted / start.clamp(min=1e-30), 0.0) / fitted.sum()


def tempered_shares(counts: Tensor, balance: float) -> Tensor:
    """Shares proportional to n^(1 - balance) over what occurs: 1 all alike, 0 as in the table."""
    raw = counts.clamp(min=1) ** (1 - balance) * (counts > 0)
    return raw / raw.sum()


@dataclass(frozen=True)
class Raking(Weigher):
    """Balance to given margins by iterative proportional fitting; unlike weights per cell it never follows a cell's noise alone.

    Nothing of it depends on the model, so trees can use it too.
    """

    classes: float = hyper(1.0, minimum=0.0, maximum=1.0)
    groups: float = hyper(1.0, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "raking"
    formula: ClassVar[str] = (
        "w_cg = q_cg / p_cg, q = argmin KL(q || p) with margins q_c ~ n_c^(1-classes), q_g ~ n_g^(1-groups)"
    )
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    corrects_prior: ClassVar[Correction] = "partly"
    source: ClassVar[Source] = Source(
        "The Benefits of Balance: From Information Projections to Variance Reduction",
        "L. Liu, R. Mehta, S. Pal, Z. Harchaoui",
        2024,
        "arXiv:2408.15065",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "On a Least Squares Adjustment of a Sampled Frequency Table When the Expected Marginal Totals are Known",
            "W. E. Deming, F. F. Stephan",
            1940,
            "doi:10.1214/aoms/1177731829",
        ),
    )
    claim: ClassVar[Claim] = Claim("serves small groups and rare classes alike", "spurious", "worst_group_accuracy")

    def init(self, statistics: Statistics) -> State:
        """The weight of each class and group [C, G]."""
        shares = (
            tempered_shares(statistics.class_counts, self.classes),
            tempered_shares(statistics.group_counts, self.groups),
        )
        return {"weights": raked(statistics.class_group_counts, *shares)}

    def weigh(self, state: State, losses: Tensor, batch: Batch, progress: Tensor) -> tuple[Tensor, State]:
        """Losses [B] -> the weight of each row [B]."""
        return state["weights"][batch.labels, batch.groups], state

    def row_weights(self, statistics: Statistics, labels: Tensor, groups: Tensor) -> Tensor:
        """The weight of each row [n]."""
        return self.init(statistics)["weights"][labels, groups]
