"""Balanced softmax: the softmax that accounts for the training frequencies of the classes."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import Claim, Correction, Loss, Source, State
from models.balancing.loss.none import cross_entropy
from models.data import Batch, Statistics


def balanced_softmax(logits: Tensor, targets: Tensor, class_counts: Tensor) -> Tensor:
    """Cross-entropy of z_c + log n_c per row [B]; a class without rows counts as half a row."""
    return cross_entropy(logits + class_counts.clamp(min=0.5).log(), targets)


@dataclass(frozen=True)
class BalancedSoftmax(Loss):
    """Train with z + log n, decide with z."""

    name: ClassVar[str] = "balanced_softmax"
    formula: ClassVar[str] = "L = -log (n_y e^z_y / sum_c n_c e^z_c)"
    corrects_prior: ClassVar[Correction] = "wholly"
    source: ClassVar[Source] = Source(
        "Balanced Meta-Softmax for Long-Tailed Visual Recognition",
        "J. Ren, C. Yu, S. Sheng, X. Ma, H. Zhao, S. Yi, H. Li",
        2020,
        "arXiv:2007.10740",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Transferable Parasitic Estimation via Graph Contrastive Learning and Label Rebalancing in AMS Circuits"
        ),
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by accounting for the class frequencies", "long_tail", "balanced_accuracy"
    )

    def init(self, statistics: Statistics) -> State:
        """The class counts [C]."""
        return {"class_counts": statistics.class_counts}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        return balanced_softmax(logits, batch.targets, state["class_counts"])
