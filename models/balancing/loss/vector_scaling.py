"""VS loss: logits scaled and shifted per class before cross-entropy."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import Claim, Correction, Loss, Source, State, hyper
from models.balancing.loss.none import cross_entropy
from models.data import Batch, Statistics


def vector_scaling(
    logits: Tensor, targets: Tensor, class_counts: Tensor, gamma: float | Tensor, tau: float | Tensor
) -> Tensor:
    """Cross-entropy of (n_c / n_max)^gamma z_c + tau log pi_c per row [B]; a class without rows counts as half a row."""
    counts = class_counts.clamp(min=0.5)
    scale = (counts / counts.max()) ** gamma
    return cross_entropy(logits * scale + tau * (counts / counts.sum()).log(), targets)


@dataclass(frozen=True)
class VectorScalingLoss(Loss):
    """Multiplicative and additive adjustment in one; gamma 0 is the logit-adjusted loss, tau 0 the CDT loss."""

    gamma: float | Tensor = hyper(0.15, 0.0, 0.5, minimum=0.0, maximum=5.0)
    tau: float | Tensor = hyper(1.0, 0.0, 2.0, minimum=0.0, maximum=10.0)

    name: ClassVar[str] = "vs_loss"
    formula: ClassVar[str] = "L = -log softmax(D z + tau log pi)_y, D_c = (n_c / n_max)^gamma"
    corrects_prior: ClassVar[Correction] = "partly"
    source: ClassVar[Source] = Source(
        "Label-Imbalanced and Group-Sensitive Classification under Overparameterization",
        "G. R. Kini, O. Paraskevas, S. Oymak, C. Thrampoulidis",
        2021,
        "arXiv:2103.01550",
    )
    claim: ClassVar[Claim] = Claim(
        "raises balanced accuracy by scaling and shifting logits per class", "long_tail", "balanced_accuracy"
    )

    def init(self, statistics: Statistics) -> State:
        """The class counts [C]."""
        return {"class_counts": statistics.class_counts}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return vector_scaling(logits, batch.targets, state["class_counts"], self.gamma, self.tau)
