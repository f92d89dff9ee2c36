"""Temperature sampling with cooldown: near-even classes first, the data's own proportions at the end."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Sampler, Source, State, Task, hyper
from models.balancing.sample.class_balanced_sampling import power_sampling
from models.data import Statistics


@dataclass(frozen=True)
class TemperatureSampling(Sampler):
    """Class c is drawn by n_c^(1/T), its rows alike; T falls to `final` when `cooldown` of training is done.

    T = 1 is the data's own proportion, a large T draws classes alike. Training begins hot: rare classes learn fast
    before the low temperature keeps them from being repeated until they are known by heart.
    """

    temperature: float | Tensor = hyper(5.0, 1.5, 20.0, log=True, minimum=1.0, maximum=1e6)
    final: float | Tensor = hyper(1.0, minimum=1.0, maximum=1e6)
    cooldown: float | Tensor = hyper(0.6, 0.3, 0.9, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "temperature_sampling"
    formula: ClassVar[str] = "p(class c) ~ n_c^(1/T), T = temperature until cooldown, then final"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = Source(
        "Upsample or Upweight? Balanced Training on Heavily Imbalanced Datasets",
        "T. Li, H. Xu, W. Tan, K. Murray, D. Khashabi",
        2024,
        "arXiv:2410.04579",
    )
    claim: ClassVar[Claim] = Claim(
        "serves classes with few rows by drawing them more often at first", "long_tail", "balanced_accuracy"
    )

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]."""
        hot = torch.as_tensor(progress < self.cooldown)
        temperature = torch.where(hot, torch.as_tensor(self.temperature), torch.as_tensor(self.final))
        return power_sampling(labels, statistics.class_counts, 1 / temperature.to(labels.device))
