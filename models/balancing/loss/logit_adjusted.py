"""Logit-adjusted loss: cross-entropy with the logits shifted by tau times the log prior."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import Claim, Correction, Loss, Source, State, hyper
from models.balancing.loss.none import cross_entropy
from models.data import Batch, Statistics

SOURCE = Source(
    "Long-tail learning via logit adjustment",
    "A. K. Menon, S. Jayasumana, A. S. Rawat, H. Jain, A. Veit, S. Kumar",
    2020,
    "arXiv:2007.07314",
)


def logit_adjusted(logits: Tensor, targets: Tensor, prior: Tensor, tau: float | Tensor) -> Tensor:
    """Cross-entropy of z + tau log prior per row [B]; tau 0 is cross-entropy, tau 1 balanced softmax."""
    return cross_entropy(logits + tau * prior.log(), targets)


@dataclass(frozen=True)
class LogitAdjusted(Loss):
    """Train with z + tau log prior, decide with z."""

    tau: float | Tensor = hyper(1.0, 0.25, 2.0, minimum=0.0, maximum=10.0)

    name: ClassVar[str] = "logit_adjusted"
    formula: ClassVar[str] = "L = -log softmax(z + tau log prior)_y"
    corrects_prior: ClassVar[Correction] = "partly"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises balanced accuracy, for which it is consistent", "long_tail", "balanced_accuracy"
    )

    def init(self, statistics: Statistics) -> State:
        """The class prior [C]."""
        return {"prior": statistics.prior}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return logit_adjusted(logits, batch.targets, state["prior"], self.tau)
