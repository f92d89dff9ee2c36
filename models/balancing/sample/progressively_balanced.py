"""Progressively balanced sampling: from rows alike to classes alike, a little more every epoch."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Correction, Sampler, Source, State, Task
from models.balancing.sample.class_balanced_sampling import ClassBalancedSampling, power_sampling
from models.data import Statistics


@dataclass(frozen=True)
class ProgressivelyBalanced(Sampler):
    """A mixture of instance-balanced and class-balanced sampling that moves with training."""

    name: ClassVar[str] = "progressively_balanced"
    formula: ClassVar[str] = "p(row) = (1-t) / n + t / (C n_y), t = progress"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    corrects_prior: ClassVar[Correction] = "wholly"
    source: ClassVar[Source] = ClassBalancedSampling.source
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by moving towards balanced batches", "long_tail", "balanced_accuracy"
    )

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]."""
        balanced = power_sampling(labels, statistics.class_counts, 0.0)
        return (1 - progress) / labels.shape[0] + progress * balanced
