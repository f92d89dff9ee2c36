"""MiSLAS: learn the representation with mixup, then the classifier on classes drawn alike with label-aware smoothing."""

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.component import Claim, Need, Phase, Schedule, Source, hyper
from models.balancing.loss.label_smoothing import LabelAwareSmoothing
from models.balancing.mix.mixup import Mixup
from models.balancing.sample.class_balanced_sampling import ClassBalancedSampling


@dataclass(frozen=True)
class MiSLAS(Schedule):
    """Two trainings that end balanced and less overconfident; the published shares are 200 epochs and 10.

    Batch normalization keeps the statistics of the first training in the second: the paper's shift of them is left out. So
    are the factors per class that the authors' code trains behind the classifier, which can say the same without them.
    """

    start: float = hyper(0.9, minimum=0.05, maximum=0.98)
    alpha: float = hyper(0.2, minimum=0.001, maximum=1.0)
    smoothing: float = hyper(0.3, minimum=0.0, maximum=0.99)

    name: ClassVar[str] = "mislas"
    formula: ClassVar[str] = (
        "until start: mixup, p(row) = 1/n; then the classifier only, p(row) = 1 / (C n_y), label-aware smoothing"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    source: ClassVar[Source] = Source(
        "Improving Calibration for Long-Tailed Recognition",
        "Z. Zhong, J. Cui, S. Liu, J. Jia",
        2021,
        "arXiv:2104.00466",
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes with two-stage training",
        "long_tail",
        "balanced_accuracy",
        values={"start": 0.6},
    )

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings; the second leaves the representation as the first made it."""
        first = Phase(self.start, switch={"mix": Mixup(alpha=self.alpha)})
        second = Phase(
            1 - self.start,
            switch={"sample": ClassBalancedSampling(), "loss": LabelAwareSmoothing(head=self.smoothing)},
            trains="classifier",
            restart=True,
        )
        return (first, second)
