"""Class-weighted cross-entropy: each row counts by the inverse frequency of its class."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import Claim, Correction, Loss, Source, State, hyper
from models.balancing.loss.none import cross_entropy
from models.data import Batch, Statistics, occurring


def inverse_frequency(class_counts: Tensor, power: float | Tensor) -> Tensor:
    """Weights [C] proportional to n_c^-power, scaled so that the average training row has weight 1.

    power 1 is 'balanced' of scikit-learn, n / (C n_c); power 0 is no weighting. A class without rows gets the weight
    of a class with one row before scaling; no row asks for it.
    """
    raw = occurring(class_counts) ** -power
    return raw * class_counts.sum() / (raw * class_counts).sum()


@dataclass(frozen=True)
class WeightedCrossEntropy(Loss):
    """Cross-entropy with class weights n_c^-power."""

    power: float | Tensor = hyper(1.0, 0.25, 1.0, minimum=0.0, maximum=2.0)

    name: ClassVar[str] = "weighted_ce"
    formula: ClassVar[str] = "L = -w_y log p_y, w_c = n_c^-power n / sum_k n_k^(1-power)"
    corrects_prior: ClassVar[Correction] = "partly"
    source: ClassVar[Source] = Source(
        "Logistic Regression in Rare Events Data", "G. King, L. Zeng", 2001, "doi:10.1093/oxfordjournals.pan.a004868"
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source("Optimizing Deep Learning Models to Address Class Imbalance in Code Comment Classification"),
        Source("Red Blood Cell Segmentation with Overlapping Cell Separation and Classification on Imbalanced Dataset"),
    )
    claim: ClassVar[Claim] = Claim("raises the recall of rare classes by weights", "long_tail", "balanced_accuracy")

    def init(self, statistics: Statistics) -> State:
        """The class counts [C], from which the weights follow."""
        return {"class_counts": statistics.class_counts}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> loss per row [B]."""
        weights = inverse_frequency(state["class_counts"], self.power)
        return cross_entropy(logits, batch.targets * weights)

    def row_weights(self, statistics: Statistics, labels: Tensor, groups: Tensor) -> Tensor:
        """The class weight of each row [n]."""
        return inverse_frequency(statistics.class_counts, self.power)[labels]
