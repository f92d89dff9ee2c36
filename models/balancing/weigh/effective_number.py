"""Effective-number weights on top of any loss."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Correction, Source, State, Task, Weigher, hyper
from models.balancing.loss.class_balanced import SOURCE, effective_number_weights
from models.data import Batch, Statistics


@dataclass(frozen=True)
class EffectiveNumber(Weigher):
    """Weights each row by the inverse effective number of its class, whatever the loss (with focal: CB-focal)."""

    beta: float | Tensor = hyper(0.9999, choices=(0.9, 0.99, 0.999, 0.9999), minimum=0.0, maximum=0.9999999)

    name: ClassVar[str] = "effective_number"
    formula: ClassVar[str] = "w(row) = (1-beta)/(1-beta^n_y)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    corrects_prior: ClassVar[Correction] = "partly"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by weights of the effective number of rows", "long_tail", "balanced_accuracy"
    )

    def init(self, statistics: Statistics) -> State:
        """The class counts [C]."""
        return {"class_counts": statistics.class_counts}

    def weigh(self, state: State, losses: Tensor, batch: Batch, progress: Tensor) -> tuple[Tensor, State]:
        """The class weight of each row [B]; of a mixed row, that of its soft target."""
        weights = effective_number_weights(state["class_counts"], self.beta)
        return batch.memberships(weights.shape[-1]) @ weights, state

    def row_weights(self, statistics: Statistics, labels: Tensor, groups: Tensor) -> Tensor:
        """The class weight of each row [n]."""
        return effective_number_weights(statistics.class_counts, self.beta)[labels]
