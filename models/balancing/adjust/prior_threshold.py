"""Threshold at the prior: decide for the class, or the labels, whose probability exceeds the training share."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import (
    CLASSIFICATION,
    Adjuster,
    Claim,
    Correction,
    Decision,
    Scores,
    Source,
    State,
    Task,
)
from models.data import Statistics


def log_odds(log_probabilities: Tensor) -> Tensor:
    """log p - log(1 - p) of the log-probabilities of labels [n, L]; finite where p is 1."""
    return log_probabilities - torch.log(-torch.expm1(log_probabilities.clamp(max=-1e-15)))


@dataclass(frozen=True)
class PriorThreshold(Adjuster):
    """Divide the probabilities by the training prior before deciding; for two classes, a threshold at the prior.

    A label is decided where it is more probable than in the training rows: each has a threshold at its own prior. The probabilities are those that the adjusters before it leave, and stay as they are.
    """

    name: ClassVar[str] = "prior_threshold"
    formula: ClassVar[str] = "decide argmax_c p_c / pi_c; of labels those with p_l > pi_l"
    tasks: ClassVar[frozenset[Task]] = CLASSIFICATION | {"multilabel"}
    corrects_prior: ClassVar[Correction] = "wholly"
    decides: ClassVar[Decision] = "anew"
    source: ClassVar[Source] = Source(
        "A systematic study of the class imbalance problem in convolutional neural networks",
        "M. Buda, A. Maki, M. A. Mazurowski",
        2017,
        "arXiv:1710.05381",
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes by moving the threshold", "long_tail", "balanced_accuracy"
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """The logarithm of the training prior [C]; of labels the log-odds of each [L]."""
        if statistics.task == "multilabel":
            return {"threshold": torch.logit(statistics.label_prior.double())}
        return {"log_prior": statistics.prior.double().log()}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision taken on p / prior."""
        if "threshold" in state:
            return scores._replace(decision=log_odds(scores.log_probabilities) - state["threshold"])
        return scores._replace(decision=scores.log_probabilities - state["log_prior"])
