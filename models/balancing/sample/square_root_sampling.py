"""Square-root sampling: a class is drawn in proportion to the square root of its rows."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Correction, Sampler, Source, State, Task
from models.balancing.sample.class_balanced_sampling import SOURCE, power_sampling
from models.data import Statistics


@dataclass(frozen=True)
class SquareRootSampling(Sampler):
    """Half way, in the exponent, between drawing rows alike and drawing classes alike."""

    name: ClassVar[str] = "square_root_sampling"
    formula: ClassVar[str] = "p(row) = n_y^(-1/2) / sum_c n_c^(1/2)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    corrects_prior: ClassVar[Correction] = "partly"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes without drawing all classes alike", "long_tail", "balanced_accuracy"
    )

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]."""
        return power_sampling(labels, statistics.class_counts, 0.5)
