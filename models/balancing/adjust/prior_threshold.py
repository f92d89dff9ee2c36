"""Threshold at the prior: decide for the class whose probability exceeds its training share the most."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import Adjuster, Scores, Source, State
from models.data import Statistics


@dataclass(frozen=True)
class PriorThreshold(Adjuster):
    """Divide the probabilities by the training prior before deciding; for two classes, a threshold at the prior.

    The probabilities are those that the adjusters before it leave, and stay as they are.
    """

    name: ClassVar[str] = "prior_threshold"
    formula: ClassVar[str] = "decide argmax_c p_c / pi_c"
    source: ClassVar[Source] = Source(
        "A systematic study of the class imbalance problem in convolutional neural networks",
        "M. Buda, A. Maki, M. A. Mazurowski",
        2017,
        "arXiv:1710.05381",
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """The logarithm of the training prior [C]."""
        return {"log_prior": statistics.prior.double().log()}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision taken on p / prior."""
        return scores._replace(decision=scores.log_probabilities - state["log_prior"])
