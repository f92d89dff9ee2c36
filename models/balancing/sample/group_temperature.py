"""Temperature sampling over groups: between drawing rows alike and drawing groups alike."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import EVERY_TASK, Need, Sampler, Source, State, Task, hyper
from models.balancing.sample.class_balanced_sampling import power_sampling
from models.data import Statistics


@dataclass(frozen=True)
class GroupTemperature(Sampler):
    """Group g is drawn by n_g^(1/T), its rows alike; 1 draws rows alike, a large T groups alike, and 5 is the paper's."""

    temperature: float | Tensor = hyper(5.0, 1.2, 20.0, log=True, minimum=1.0, maximum=1e6)

    name: ClassVar[str] = "group_temperature"
    formula: ClassVar[str] = "p(group g) ~ n_g^(1/T), its rows alike"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    source: ClassVar[Source] = Source(
        "Massively Multilingual Neural Machine Translation in the Wild: Findings and Challenges",
        "N. Arivazhagan et al.",
        2019,
        "arXiv:1907.05019",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source("Upsample or Upweight? Balanced Training on Heavily Imbalanced Datasets"),
    )

    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Probability of each row [n]."""
        return power_sampling(groups, statistics.group_counts, 1 / self.temperature)
