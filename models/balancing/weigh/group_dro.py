"""Group DRO: minimize the loss of the worst group by exponentiated-gradient weights over groups."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Need, Source, State, Task, Weigher, hyper
from models.data import Batch, Statistics, one_hot


def group_dro(
    q: Tensor,
    losses: Tensor,
    groups: Tensor,
    rows: Tensor,
    step: float | Tensor,
    rows_per_group: Tensor,
    adjustment: float | Tensor,
) -> tuple[Tensor, Tensor]:
    """q_g <- q_g exp(step (mean loss of g in the batch + adjustment / sqrt(n_g))), renormalized.

    Means are over rows that count by `rows` [B]. Groups absent from the batch keep their place and only share the
    renormalization. Returns the row weights [B], under which the mean of the batch is sum_g q_g * (mean loss of g), and the
    new q [G].
    """
    own = one_hot(groups, q.shape[-1])
    member = own * rows[:, None]
    count = member.sum(-2)
    present = (count > 0).to(losses.dtype)
    mean = (member * losses[:, None]).sum(-2) / count.clamp(min=1e-12)
    adjusted = mean + adjustment / rows_per_group.clamp(min=1).sqrt()
    q = torch.softmax(torch.log(q.clamp(min=1e-30)) + step * adjusted * present, -1)
    weights = (own * (q / count.clamp(min=1e-12))).sum(-1) * rows.sum()
    return weights, q


@dataclass(frozen=True)
class GroupDRO(Weigher):
    """Online group distributionally robust optimization, over the intersections of all sensitive attributes."""

    step: float | Tensor = hyper(0.01, 0.001, 0.1, log=True, minimum=0.0, maximum=10.0)
    adjustment: float | Tensor = hyper(0.0, minimum=0.0, maximum=100.0)

    name: ClassVar[str] = "group_dro"
    formula: ClassVar[str] = "min_theta max_q sum_g q_g L_g; q_g <- q_g exp(step (L_g + C / sqrt(n_g)))"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    source: ClassVar[Source] = Source(
        "Distributionally Robust Neural Networks for Group Shifts: On the Importance of Regularization for "
        "Worst-Case Generalization",
        "S. Sagawa, P. W. Koh, T. B. Hashimoto, P. Liang",
        2019,
        "arXiv:1911.08731",
    )
    claim: ClassVar[Claim] = Claim("raises worst-group accuracy", "spurious", "worst_group_accuracy")

    def init(self, statistics: Statistics) -> State:
        """q [G], equal over the groups that have rows; and the rows of each group [G]."""
        counts = statistics.group_counts
        present = (counts > 0).to(torch.float32)
        return {"q": present / present.sum(), "rows_per_group": counts}

    def weigh(self, state: State, losses: Tensor, batch: Batch, progress: Tensor) -> tuple[Tensor, State]:
        """Losses [B] -> weights [B] and the next q."""
        counts = state["rows_per_group"]
        weights, q = group_dro(state["q"], losses, batch.groups, batch.weights, self.step, counts, self.adjustment)
        return weights, {"q": q, "rows_per_group": counts}
