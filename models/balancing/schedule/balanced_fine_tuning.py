"""Balanced fine-tuning: what pre-training learned of a correlation is overwritten on rows that do not have it."""

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.component import EVERY_TASK, Claim, Need, Phase, Schedule, Source, Task, hyper
from models.balancing.sample.class_group_balanced import ClassGroupBalanced


@dataclass(frozen=True)
class BalancedFineTuning(Schedule):
    """The paper curates the data that a pre-trained model is fine-tuned on; here rows are drawn so that they are balanced.

    The whole net is trained in both, unlike in last-layer retraining.
    """

    start: float = hyper(0.7, minimum=0.05, maximum=0.95)

    name: ClassVar[str] = "balanced_fine_tuning"
    formula: ClassVar[str] = (
        "until start: rows as the recipe draws them; then a second training, p(row) = 1 / (cells n_yg)"
    )
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    source: ClassVar[Source] = Source(
        "Overwriting Pretrained Bias with Finetuning Data", "A. Wang, O. Russakovsky", 2023, "arXiv:2303.06167"
    )
    claim: ClassVar[Claim] = Claim("takes a correlation out of a trained net", "spurious", "worst_group_accuracy")

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings."""
        return (Phase(self.start), Phase(1 - self.start, switch={"sample": ClassGroupBalanced()}, restart=True))
