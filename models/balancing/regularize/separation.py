"""Separation loss: rows of one class are pulled together in feature space and pushed away from the others."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Regularizer, Source, State, hyper
from models.data import Batch, one_hot


def separation(features: Tensor, labels: Tensor, classes: int, temperature: float | Tensor) -> Tensor:
    """Mean over rows of -(1/|P|) sum_(j in P) log e^(u_i u_j / T) / sum_(k != i) e^(u_i u_k / T), u the unit features [B, H].

    P are the other rows of the row's class, of `classes` classes; a row without such counts 0.
    """
    unit = torch.nn.functional.normalize(features, dim=-1)
    itself = torch.eye(labels.shape[-1], device=labels.device)
    whole = torch.logsumexp((unit / temperature) @ unit.mT - 1e9 * itself, -1)
    member = one_hot(labels, classes)
    partners = (member.sum(0) - 1)[labels]
    # The sum over a row's partners of its similarities is its similarity to their sum.
    theirs = (member.T @ unit)[labels] - unit
    log_p = (unit * theirs).sum(-1) / temperature / partners.clamp(min=1) - whole
    return -torch.where(partners > 0, log_p, 0.0).mean()


@dataclass(frozen=True)
class Separation(Regularizer):
    """The feature-separation term of SRAT, usable with and without attacks; combine it with re-weighting."""

    strength: float | Tensor = hyper(0.3, 0.03, 3.0, log=True, minimum=0.0, maximum=1000.0)
    temperature: float | Tensor = hyper(0.1, 0.05, 1.0, log=True, minimum=1e-3, maximum=100.0)

    name: ClassVar[str] = "separation"
    formula: ClassVar[str] = (
        "L - strength mean_i (1/|P_i|) sum_(j in P_i) log e^(u_i u_j/T) / sum_(k != i) e^(u_i u_k/T)"
    )
    cost: ClassVar[str] = (
        "A step compares every two rows of the batch, forwards and back through their similarities [B, B]."
    )
    source: ClassVar[Source] = Source(
        "Imbalanced Adversarial Training with Reweighting",
        "W. Wang, H. Xu, X. Liu, Y. Li, B. Thuraisingham, J. Tang",
        2021,
        "arXiv:2107.13639",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source("Supervised Contrastive Learning", "P. Khosla et al.", 2020, "arXiv:2004.11362"),
    )
    claim: ClassVar[Claim] = Claim(
        "makes re-weighting serve rare classes better by features that lie apart",
        "separable_tail",
        "balanced_accuracy",
        beside={"loss": "weighted_ce"},
    )

    def penalty(
        self, state: State, features: Tensor, logits: Tensor, batch: Batch, progress: Tensor
    ) -> tuple[Tensor, State]:
        """The loss of the batch's features."""
        return self.strength * separation(features, batch.labels, logits.shape[-1], self.temperature), state
