"""Backdoor adjustment: several models, each adjusted to equal class frequencies, decide together as a mixture."""

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Adjuster, Claim, Correction, Decision, Scores, Source, State, hyper
from models.data import Statistics


def mixture_of_adjusted(members: Tensor, shift: Tensor) -> Tensor:
    """log (1/M) sum_m softmax(members_m + shift) [n, C] for log-probabilities [M, n, C] and a shift per class [C]."""
    return torch.logsumexp(torch.log_softmax(members + shift, -1), 0) - math.log(len(members))


@dataclass(frozen=True)
class BackdoorAdjustment(Adjuster):
    """Decide by P(y | do(x)) = sum_m P(y | x, m) P(m), each model's P(y | x, m) adjusted to equal class frequencies.

    From the paper's abstract: imbalance of the data is put right by adjusting logits, imbalance that a model brings along
    from its pretraining is not; what a model sees of a row is only a part of its meaning, which confounds input and class,
    and the backdoor adjustment learns the true effect instead.
    Realised here: the confounder is which model looks; the models are those that the refit makes with several seeds (from
    `warm_start`, each from another of the champion's models), P(m) is the same for all, and the adjustment is that of
    `logit_adjustment`. What a model brought along is not estimated. A model that cannot tell a row's class once the
    frequencies are out has as much to say as one that was sure of a frequent class, which is what sets the mixture apart
    from adjusting the mean. With one model, as in a search, it is `logit_adjustment`. Probabilities stay.
    """

    tau: float = hyper(1.0, 0.25, 2.0, minimum=0.0, maximum=10.0)

    name: ClassVar[str] = "backdoor_adjustment"
    formula: ClassVar[str] = "decide argmax_c (1/M) sum_m softmax_c(z_m - tau log pi)"
    corrects_prior: ClassVar[Correction] = "partly"
    decides: ClassVar[Decision] = "anew"
    source: ClassVar[Source] = Source(
        "Rethinking the Bias of Foundation Model under Long-tailed Distribution",
        "J. Chen, B. Qin, J. Li, H. Chen, B. Su",
        2025,
        "arXiv:2501.15955",
    )
    claim: ClassVar[Claim] = Claim(
        "raises balanced accuracy of several models, each adjusted for itself",
        "long_tail",
        "balanced_accuracy",
        models=3,
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """The shift [C]."""
        return {"shift": -torch.as_tensor(self.tau) * statistics.prior.double().log()}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision of the mixture; each model's probabilities are moved as those of all have been."""
        said = scores.log_probabilities
        members = scores._replace(decision=said).member_decisions
        return scores._replace(decision=mixture_of_adjusted(members, state["shift"]))
