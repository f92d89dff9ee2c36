"""Feature regularization: short features, so that no class draws them out."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Regularizer, Source, State, Task, hyper
from models.data import Batch

SOURCE = Source(
    "Exploring Weight Balancing on Long-Tailed Recognition Problem", "N. Hasegawa, I. Sato", 2023, "arXiv:2305.16573"
)


def mean_squared_norm(features: Tensor, weights: Tensor) -> Tensor:
    """Half the weighted mean of |h|^2 over the rows of features [B, H]."""
    return (weights * features.square().sum(-1)).sum() / weights.sum().clamp(min=1e-12) / 2


@dataclass(frozen=True)
class FeatureNorm(Regularizer):
    """Part of one-stage weight balancing, with strong weight decay, head `fixed_simplex` and `multiplicative_adjustment`."""

    strength: float | Tensor = hyper(0.001, 1e-4, 0.1, log=True, minimum=0.0, maximum=1000.0)

    name: ClassVar[str] = "feature_norm"
    formula: ClassVar[str] = "L + strength mean_i |h_i|^2 / 2"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "lets one training with a fixed simplex serve rare classes, as frequent ones cannot draw out their features",
        "separable_tail",
        "balanced_accuracy",
        beside={"head": "fixed_simplex", "adjust": "multiplicative_adjustment"},
    )

    def penalty(
        self, state: State, features: Tensor, logits: Tensor, batch: Batch, progress: Tensor
    ) -> tuple[Tensor, State]:
        """The mean over the batch."""
        return self.strength * mean_squared_norm(features, batch.weights), state
