"""CVaR DRO: learn from the worst share of the rows, whatever group they belong to."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Source, State, Task, Weigher, hyper
from models.data import Batch


def worst_share(losses: Tensor, rows: Tensor, share: float | Tensor) -> Tensor:
    """Weights [B] that are 1 / share on the largest losses and 0 on the others, a fraction on the row between.

    Losses and how much each row counts, `rows`, are [B]; over rows that count so the mean weight is 1.
    """
    order = losses.argsort(descending=True)
    counted = rows[order]
    before = (counted.cumsum(-1) - counted)[order.argsort()]
    return ((share * rows.sum() - before) / rows.clamp(min=1e-12)).clamp(0, 1) / share


@dataclass(frozen=True)
class CVaRDRO(Weigher):
    """The conditional value at risk of the batch: the worst distribution whose density is at most 1 / share."""

    share: float | Tensor = hyper(0.5, 0.1, 0.9, minimum=1e-3, maximum=1.0)

    name: ClassVar[str] = "cvar_dro"
    formula: ClassVar[str] = "max_q sum_i q_i loss_i, 0 <= q_i <= 1 / (share B), sum_i q_i = 1"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = Source(
        "Large-Scale Methods for Distributionally Robust Optimization",
        "D. Levy, Y. Carmon, J. C. Duchi, A. Sidford",
        2020,
        "arXiv:2010.05893",
    )
    claim: ClassVar[Claim] = Claim(
        "lowers the loss of rows where it is large, whoever they are", "subclasses", "worst_group_log_loss"
    )

    def weigh(self, state: State, losses: Tensor, batch: Batch, progress: Tensor) -> tuple[Tensor, State]:
        """Losses [B] -> weights [B]."""
        return worst_share(losses, batch.weights, self.share), state
