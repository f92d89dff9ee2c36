"""Upsampling at the end: rows alike for most of training, rare classes drawn more often in the last part."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Correction, Sampler, Source, State, Task, hyper
from models.balancing.sample.class_balanced_sampling import power_sampling
from models.data import Statistics


@dataclass(frozen=True)
class LateUpsampling(Sampler):
    """Rare classes are upsampled in the last `duration` of training; 10 to 20% is what the paper finds best."""

    duration: float | Tensor = hyper(0.2, 0.1, 0.2, minimum=0.0, maximum=1.0)
    power: float | Tensor = hyper(0.5, 0.0, 0.75, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "late_upsampling"
    formula: ClassVar[str] = "p(class c) ~ n_c until 1 - duration, then n_c^power"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    corrects_prior: ClassVar[Correction] = "partly"
    source: ClassVar[Source] = Source(
        "Does your data spark joy? Performance gains from domain upsampling at the end of training",
        "C. Blakeney, M. Paul, B. W. Larsen, S. Owen, J. Frankle",
        2024,
        "arXiv:2406.03476",
    )
    claim: ClassVar[Claim] = Claim(
        "improves what is upsampled in the last part of training", "long_tail", "balanced_accuracy"
    )

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]."""
        late = torch.as_tensor(progress >= 1 - self.duration)
        power = torch.where(late, torch.as_tensor(self.power), torch.as_tensor(1.0))
        return power_sampling(labels, statistics.class_counts, power.to(labels.device))
