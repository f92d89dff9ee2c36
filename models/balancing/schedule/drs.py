"""Deferred re-sampling: draw rows alike first, classes alike at the end."""

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.component import EVERY_TASK, Claim, Phase, Schedule, Source, Task, hyper
from models.balancing.loss.ldam import SOURCE
from models.balancing.sample.class_balanced_sampling import ClassBalancedSampling


@dataclass(frozen=True)
class DRS(Schedule):
    """Rows alike until `start`, then class-balanced sampling."""

    start: float = hyper(0.8, minimum=0.05, maximum=0.95)

    name: ClassVar[str] = "drs"
    formula: ClassVar[str] = "p(row) = 1/n before start, then 1 / (C n_y)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by balanced sampling once the features are learned",
        "long_tail",
        "balanced_accuracy",
        values={"start": 0.6},
    )

    def phases(self) -> tuple[Phase, ...]:
        """Two phases; the second draws classes alike."""
        return (Phase(self.start), Phase(1 - self.start, switch={"sample": ClassBalancedSampling()}))
