"""Self-supervised pre-training on images: first learn which way up an image is, then to decide."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.component import EVERY_TASK, Claim, Need, Phase, Schedule, Source, Task, hyper
from models.balancing.pretexts.rotation_prediction import ROTNET, RotationPrediction
from models.balancing.schedule.corrupted_columns import SOURCE


@dataclass(frozen=True)
class Rotations(Schedule):
    """Pre-training needs no labels, so imbalance cannot bias it; images without a label take part where there are any.

    Images must be square.
    """

    start: float = hyper(0.3, minimum=0.05, maximum=0.9)

    name: ClassVar[str] = "rotations"
    formula: ClassVar[str] = "until start: min CE(quarters k of the turned image); then the recipe"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"net", "image"})
    reads_unlabelled: ClassVar[bool] = True
    source: ClassVar[Source] = SOURCE
    also: ClassVar[tuple[Source, ...]] = (ROTNET,)
    claim: ClassVar[Claim] = Claim(
        "learns a representation that imbalance does not bias", "image_tail", "balanced_accuracy"
    )

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings; the first is judged by nothing but its end."""
        return (Phase(self.start, rows="all", pretext=RotationPrediction()), Phase(1 - self.start, restart=True))
