"""Feasible learning: find a model whose loss on every training row is below a level."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Source, State, Task, Weigher, hyper
from models.data import Batch, Statistics


def ascended(
    duals: Tensor, losses: Tensor, level: float | Tensor, step: float | Tensor, slack: float | Tensor
) -> Tensor:
    """[dual + step (loss - level - slack dual)]_+ of each row [B]."""
    return (duals + step * (losses - level - slack * duals)).clamp(min=0)


@dataclass(frozen=True)
class FeasibleLearning(Weigher):
    """Primal-dual training with one dual per training row, its weight; a row that satisfies its level loses weight.

    `slack` is the inverse of the price of a slack in the resilient form, in which every row may miss its level a
    little: with it the duals are bounded. 0 is feasible learning itself.
    """

    level: float | Tensor = hyper(0.3, 0.02, 0.7, log=True, minimum=0.0, maximum=100.0)
    step: float | Tensor = hyper(0.3, 0.03, 3.0, log=True, minimum=0.0, maximum=100.0)
    slack: float | Tensor = hyper(0.0, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "feasible_learning"
    formula: ClassVar[str] = "min_theta max_(lambda >= 0) sum_i lambda_i (loss_i - level) - slack lambda_i^2 / 2"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = Source(
        "Feasible Learning",
        "J. Ramirez, I. Hounie, J. Elenter, J. Gallego-Posada, M. Hashemizadeh, A. Ribeiro, S. Lacoste-Julien",
        2025,
        "arXiv:2501.14912",
    )
    claim: ClassVar[Claim] = Claim(
        "leaves no row behind: the largest losses become smaller", "subclasses", "worst_group_accuracy"
    )

    def init_rows(self, statistics: Statistics) -> State:
        """A dual for each training row [n]."""
        return {"dual": torch.zeros(statistics.rows)}

    def weigh(self, state: State, losses: Tensor, batch: Batch, progress: Tensor) -> tuple[Tensor, State]:
        """The batch's duals after their step [B], as weights."""
        duals = ascended(state["dual"], losses, self.level, self.step, self.slack)
        return duals, {"dual": duals}
