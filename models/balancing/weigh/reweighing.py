"""Reweighing: rows weigh what makes class and group independent in the weighted table."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Need, Source, State, Task, Weigher
from models.data import Batch, Statistics, occurring


def independence_weights(class_group_counts: Tensor) -> Tensor:
    """n_c n_g / (n n_cg) for counts [C, G] of class and group; 0 where there are no rows."""
    counts = class_group_counts
    expected = counts.sum(1, keepdim=True) * counts.sum(0, keepdim=True) / counts.sum()
    return expected / occurring(counts) * (counts > 0)


@dataclass(frozen=True)
class Reweighing(Weigher):
    """Each row counts by how much rarer its class is in its group than it would be if both were independent."""

    name: ClassVar[str] = "reweighing"
    formula: ClassVar[str] = "w(row) = n_y n_g / (n n_yg)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    source: ClassVar[Source] = Source(
        "Data preprocessing techniques for classification without discrimination",
        "F. Kamiran, T. Calders",
        2012,
        "doi:10.1007/s10115-011-0463-8",
    )
    claim: ClassVar[Claim] = Claim(
        "lowers the dependence of the decision on the group", "group_gap", "demographic_parity_difference"
    )

    def init(self, statistics: Statistics) -> State:
        """The weight of each class and group [C, G]."""
        return {"weights": independence_weights(statistics.class_group_counts)}

    def weigh(self, state: State, losses: Tensor, batch: Batch, progress: Tensor) -> tuple[Tensor, State]:
        """Losses [B] -> the weight of each row [B]."""
        return state["weights"][batch.labels, batch.groups], state

    def row_weights(self, statistics: Statistics, labels: Tensor, groups: Tensor) -> Tensor:
        """The weight of each row [n]; it does not depend on the model, so trees can use it too."""
        return independence_weights(statistics.class_group_counts)[labels, groups]
