"""Sampling by class frequency to a power: class-balanced and square-root sampling."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Correction, Sampler, Source, State, Task
from models.data import Statistics, occurring

SOURCE = Source(
    "Exploring the Limits of Weakly Supervised Pretraining",
    "D. Mahajan, R. Girshick, V. Ramanathan, K. He, M. Paluri, Y. Li, A. Bharambe, L. van der Maaten",
    2018,
    "arXiv:1805.00932",
)


def power_sampling(labels: Tensor, class_counts: Tensor, power: float | Tensor) -> Tensor:
    """Probability of each row [n] so that class c is drawn in proportion to n_c^power, its rows alike.

    power 1 draws rows alike (instance-balanced), 1/2 square-root, 0 class-balanced.
    """
    raw = (occurring(class_counts) ** (power - 1))[labels]
    return raw / raw.sum()


@dataclass(frozen=True)
class PowerSampling(Sampler):
    """Class c is drawn in proportion to n_c^power; what other methods draw their rows with."""

    power: float | Tensor = 0.0

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]."""
        return power_sampling(labels, statistics.class_counts, self.power)


@dataclass(frozen=True)
class ClassBalancedSampling(Sampler):
    """Every class is drawn equally often."""

    name: ClassVar[str] = "class_balanced_sampling"
    formula: ClassVar[str] = "p(row) = 1 / (C n_y)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    corrects_prior: ClassVar[Correction] = "wholly"
    source: ClassVar[Source] = Source(
        "Decoupling Representation and Classifier for Long-Tailed Recognition",
        "B. Kang, S. Xie, M. Rohrbach, Z. Yan, A. Gordo, J. Feng, Y. Kalantidis",
        2019,
        "arXiv:1910.09217",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source("STAL: Spike Threshold Adaptive Learning Encoder for Classification of Pain-Related Biosignal Data"),
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by drawing all classes alike", "long_tail", "balanced_accuracy"
    )

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]."""
        return power_sampling(labels, statistics.class_counts, 0.0)
