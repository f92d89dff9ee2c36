"""cRT: learn the representation on rows as they are, then a new classifier on classes drawn alike."""

from dataclasses import dataclass
from typing import ClassVar

from models.balancing.component import EVERY_TASK, Claim, Need, Phase, Schedule, Source, Task, hyper
from models.balancing.sample.class_balanced_sampling import ClassBalancedSampling

SOURCE = Source(
    "Decoupling Representation and Classifier for Long-Tailed Recognition",
    "B. Kang, S. Xie, M. Rohrbach, Z. Yan, A. Gordo, J. Feng, Y. Kalantidis",
    2019,
    "arXiv:1910.09217",
)


@dataclass(frozen=True)
class CRT(Schedule):
    """Classifier re-training; the published shares are 90 epochs and 10, the learning rate starts anew between them."""

    start: float = hyper(0.9, minimum=0.05, maximum=0.95)

    name: ClassVar[str] = "crt"
    formula: ClassVar[str] = "until start: all, p(row) = 1/n; then a fresh classifier only, p(row) = 1 / (C n_y)"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by training the classifier anew on balanced rows",
        "long_tail",
        "balanced_accuracy",
        values={"start": 0.6},
    )

    def phases(self) -> tuple[Phase, ...]:
        """Two trainings; the second leaves the representation as the first made it."""
        second = Phase(
            1 - self.start,
            switch={"sample": ClassBalancedSampling()},
            trains="classifier",
            fresh_classifier=True,
            restart=True,
        )
        return (Phase(self.start), second)
