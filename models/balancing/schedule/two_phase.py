"""Two-phase training: learn from classes drawn alike, then let the classifier learn the proportions that there are."""

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.component import EVERY_TASK, Need, Phase, Schedule, Source, Task, hyper
from models.balancing.sample.class_balanced_sampling import ClassBalancedSampling


@dataclass(frozen=True)
class TwoPhase(Schedule):
    """The representation owes nothing to the frequency of classes; the last layer alone sees the rows as they are."""

    start: float = hyper(0.8, minimum=0.05, maximum=0.95)

    name: ClassVar[str] = "two_phase"
    formula: ClassVar[str] = "until start: all, p(row) = 1 / (C n_y); then the classifier only, p(row) = 1/n"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    source: ClassVar[Source] = Source(
        "Brain Tumor Segmentation with Deep Neural Networks",
        "M. Havaei, A. Davy, D. Warde-Farley, A. Biard, A. Courville, Y. Bengio, C. Pal, P.-M. Jodoin, H. Larochelle",
        2015,
        "arXiv:1505.03540",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "A systematic study of the class imbalance problem in convolutional neural networks",
            "M. Buda, A. Maki, M. A. Mazurowski",
            2017,
            "arXiv:1710.05381",
        ),
    )

    def phases(self) -> tuple[Phase, ...]:
        """The balanced phase comes first."""
        return (
            Phase(self.start, switch={"sample": ClassBalancedSampling()}),
            Phase(1 - self.start, trains="classifier", restart=True),
        )
