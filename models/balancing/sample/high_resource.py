"""High-resource sampling: only rows of groups that have many are drawn."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Need, Sampler, Source, State, Task
from models.data import Statistics

SOURCE = Source(
    "Order Matters in the Presence of Dataset Imbalance for Multilingual Learning",
    "D. Choi, D. Xin, H. Dadkhahi, J. Gilmer, A. Garg, O. Firat, C.-K. Yeh, A. M. Dai, B. Ghorbani",
    2023,
    "arXiv:2312.06134",
)


def high_resource(group_counts: Tensor) -> Tensor:
    """Which groups [G] have at least as many rows as the mean of those that occur."""
    return group_counts >= group_counts.sum() / (group_counts > 0).sum()


@dataclass(frozen=True)
class HighResource(Sampler):
    """Rows of groups above the mean size, alike: the first part of `high_resource_first`.

    Validation rows of these groups choose the epoch; where there are none, all validation rows do, alike.
    """

    name: ClassVar[str] = "high_resource"
    formula: ClassVar[str] = "p(row) ~ [n_g >= n / G]"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "fits the groups that have many rows, undisturbed by the small ones", "spurious", "largest_group_accuracy"
    )

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]."""
        raw = high_resource(statistics.group_counts)[groups].float()
        return raw / raw.sum()

    def judged(self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics) -> Tensor | None:
        """Validation rows of the large groups alone, unless there are none."""
        if not bool(high_resource(statistics.group_counts)[groups].any()):
            return None
        return self.probabilities({}, labels, groups, statistics, 1.0)
