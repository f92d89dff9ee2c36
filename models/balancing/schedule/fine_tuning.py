"""Fine-tuning: a second training that goes on from the first, as it is or made to be less sure of itself."""

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.adjust.model_soups import SOURCE
from models.balancing.adjust.weight_interpolation import DIVERSITY, WISE_FT
from models.balancing.component import EVERY_TASK, Claim, Phase, Schedule, Source, Task, hyper
from models.balancing.loss.label_smoothing import LabelSmoothing
from models.balancing.mix.mixup import Mixup
from models.balancing.sample.class_balanced_sampling import ClassBalancedSampling


@dataclass(frozen=True)
class FineTuning(Schedule):
    """The learning rate rises and falls twice; what weights are averaged from has its beginning between both."""

    start: float = hyper(0.6, minimum=0.05, maximum=0.95)

    name: ClassVar[str] = "fine_tuning"
    formula: ClassVar[str] = "until start one training, then another from where it ended"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "serves the rare classes",
        "long_tail",
        "balanced_accuracy",
        remark="it is a part of others, which average what it leads to; its paper claims nothing of it alone",
    )

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings."""
        return (Phase(self.start), Phase(1 - self.start, restart=True))


@dataclass(frozen=True)
class ClassBalancedFineTuning(Schedule):
    """The second training, with a learning rate of its own, draws classes alike: what WiSE-FT averages with the first."""

    start: float = hyper(0.6, minimum=0.05, maximum=0.95)

    name: ClassVar[str] = "class_balanced_fine_tuning"
    formula: ClassVar[str] = "until start p(row) = 1/n, then a second training with p(row) = 1 / (C n_y)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = WISE_FT

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings."""
        return (Phase(self.start), Phase(1 - self.start, switch={"sample": ClassBalancedSampling()}, restart=True))


@dataclass(frozen=True)
class SmoothedFineTuning(Schedule):
    """The second training mixes rows and smooths labels, as BANG asks for."""

    start: float = hyper(0.6, minimum=0.05, maximum=0.95)
    smoothing: float = hyper(0.1, minimum=0.0, maximum=0.99)
    alpha: float = hyper(0.2, minimum=0.001, maximum=1.0)

    name: ClassVar[str] = "smoothed_fine_tuning"
    formula: ClassVar[str] = "until start as the recipe says, then a second training with mixup and label smoothing"
    source: ClassVar[Source] = DIVERSITY
    claim: ClassVar[Claim] = Claim("ends with a net that is not overconfident", "overconfident", "ece")

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings."""
        calm = {"loss": LabelSmoothing(smoothing=self.smoothing), "mix": Mixup(alpha=self.alpha)}
        return (Phase(self.start), Phase(1 - self.start, switch=calm, restart=True))
