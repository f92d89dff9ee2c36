"""Deferred re-weighting: learn features first, weigh the classes at the end."""

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.component import EVERY_TASK, Claim, Phase, Schedule, Source, Task, hyper
from models.balancing.loss.ldam import SOURCE
from models.balancing.weigh.effective_number import EffectiveNumber


@dataclass(frozen=True)
class DRW(Schedule):
    """Unweighted until `start`, then effective-number weights."""

    start: float = hyper(0.8, minimum=0.05, maximum=0.95)
    beta: float = hyper(0.9999, minimum=0.0, maximum=0.9999999)

    name: ClassVar[str] = "drw"
    formula: ClassVar[str] = "w = 1 before start, then (1-beta)/(1-beta^n_y)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by weights once the features are learned",
        "long_tail",
        "balanced_accuracy",
        values={"start": 0.6},
    )

    def phases(self) -> tuple[Phase, ...]:
        """Two phases; the second weighs."""
        return (Phase(self.start), Phase(1 - self.start, switch={"weigh": EffectiveNumber(beta=self.beta)}))
