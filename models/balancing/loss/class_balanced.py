"""Class-balanced cross-entropy: weights by the effective number of rows of a class."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Correction, Loss, Source, State, hyper
from models.balancing.loss.none import cross_entropy
from models.data import Batch, Statistics

SOURCE = Source(
    "Class-Balanced Loss Based on Effective Number of Samples",
    "Y. Cui, M. Jia, T.-Y. Lin, Y. Song, S. Belongie",
    2019,
    "arXiv:1901.05555",
)


def effective_number_weights(class_counts: Tensor, beta: float | Tensor) -> Tensor:
    """Weights [C] proportional to (1 - beta) / (1 - beta^n_c), scaled to sum to C over the classes that occur.

    beta 0 weighs all classes alike; beta -> 1 tends to inverse frequency. 1 - beta^n is computed as -expm1(n log beta)
    so that it keeps its digits for beta near 1.
    """
    # Made on the device: a copy from the host could not be recorded with a step.
    beta = beta.to(class_counts) if isinstance(beta, Tensor) else class_counts.new_full((), beta)
    counts = class_counts.clamp(min=1)
    effective = -torch.expm1(counts * torch.log(beta.clamp(min=1e-30)))
    raw = (1 - beta) / effective
    present = (class_counts > 0).to(raw.dtype)
    return raw * present.sum() / (raw * present).sum()


@dataclass(frozen=True)
class ClassBalanced(Loss):
    """Cross-entropy weighted by the inverse effective number of its class."""

    beta: float | Tensor = hyper(0.999, choices=(0.9, 0.99, 0.999, 0.9999), minimum=0.0, maximum=0.9999999)

    name: ClassVar[str] = "class_balanced"
    formula: ClassVar[str] = "L = -(1-beta)/(1-beta^n_y) log p_y"
    corrects_prior: ClassVar[Correction] = "partly"
    source: ClassVar[Source] = SOURCE
    also: ClassVar[tuple[Source, ...]] = (
        Source("AraDIC: Arabic Document Classification using Image-Based Character Embeddings and Class-Balanced Loss"),
        Source(
            "Balanced Multi-Task Attention for Satellite Image Classification: A Systematic Approach to Achieving 97.23% "
            "Accuracy on EuroSAT Without Pre-Training"
        ),
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by weights of the effective number of rows", "long_tail", "balanced_accuracy"
    )

    def init(self, statistics: Statistics) -> State:
        """The class counts [C]."""
        return {"class_counts": statistics.class_counts}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        weights = effective_number_weights(state["class_counts"], self.beta)
        return cross_entropy(logits, batch.targets * weights)

    def row_weights(self, statistics: Statistics, labels: Tensor, groups: Tensor) -> Tensor:
        """The class weight of each row [n]."""
        return effective_number_weights(statistics.class_counts, self.beta)[labels]
