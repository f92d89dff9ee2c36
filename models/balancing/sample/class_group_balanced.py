"""Class x group balanced sampling: every combination of a class and a group is drawn equally often."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Correction, Need, Sampler, Source, State, Task
from models.data import Statistics, occurring


@dataclass(frozen=True)
class ClassGroupBalanced(Sampler):
    """Draw the cells of class x group that have rows alike, and the rows of a cell alike."""

    name: ClassVar[str] = "class_group_balanced"
    formula: ClassVar[str] = "p(row) ~ 1 / n_(y,g)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    corrects_prior: ClassVar[Correction] = "wholly"
    source: ClassVar[Source] = Source(
        "Simple data balancing achieves competitive worst-group-accuracy",
        "B. Y. Idrissi, M. Arjovsky, M. Pezeshki, D. Lopez-Paz",
        2021,
        "arXiv:2110.14503",
    )
    claim: ClassVar[Claim] = Claim(
        "raises worst-group accuracy by drawing every class of every group alike", "spurious", "worst_group_accuracy"
    )

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]."""
        raw = 1 / occurring(statistics.class_group_counts)[labels, groups]
        return raw / raw.sum()
