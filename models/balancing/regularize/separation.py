"""Separation loss: rows of one class are pulled together in feature space and pushed away from the others."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Regularizer, Source, State, hyper
from models.data import Batch


def separation(features: Tensor, labels: Tensor, temperature: float | Tensor) -> Tensor:
    """Mean over rows of -(1/|P|) sum_(j in P) log e^(u_i u_j / T) / sum_(k != i) e^(u_i u_k / T), u the unit features [B, H].

    P are the other rows of the row's class; a row without such counts 0.
    """
    unit = torch.nn.functional.normalize(features, dim=-1)
    others = ~torch.eye(labels.shape[-1], dtype=torch.bool, device=labels.device)
    similarity = unit @ unit.mT / temperature
    log_p = similarity - torch.logsumexp(torch.where(others, similarity, -1e9), -1, keepdim=True)
    partners = ((labels[:, None] == labels[None, :]) & others).to(features.dtype)
    return (-(partners * log_p).sum(-1) / partners.sum(-1).clamp(min=1)).mean()


@dataclass(frozen=True)
class Separation(Regularizer):
    """The feature-separation term of SRAT, usable with and without attacks; combine it with re-weighting."""

    strength: float | Tensor = hyper(0.3, 0.03, 3.0, log=True, minimum=0.0, maximum=1000.0)
    temperature: float | Tensor = hyper(0.1, 0.05, 1.0, log=True, minimum=1e-3, maximum=100.0)

    name: ClassVar[str] = "separation"
    formula: ClassVar[str] = (
        "L - strength mean_i (1/|P_i|) sum_(j in P_i) log e^(u_i u_j/T) / sum_(k != i) e^(u_i u_k/T)"
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
        "long_tail",
        "balanced_accuracy",
        beside={"loss": "weighted_ce"},
    )

    def penalty(
        self, state: State, features: Tensor, logits: Tensor, batch: Batch, progress: Tensor
    ) -> tuple[Tensor, State]:
        """The loss of the batch's features."""
        return self.strength * separation(features, batch.labels, self.temperature), state
