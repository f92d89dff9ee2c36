"""Neural-collapse regularization: rows of a class meet in one point, and the points of the classes lie far apart."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import mse_loss, normalize

from models.balancing.component import Claim, Regularizer, Source, State, hyper
from models.data import Batch, Statistics, one_hot


def class_shares(member: Tensor) -> tuple[Tensor, Tensor]:
    """Weighted membership [B, C] -> each row's share of its class [B, C], and whether the batch has rows of the class [C]."""
    rows = member.sum(0)
    return member / rows.clamp(min=1e-12), rows > 0


def spread(features: Tensor, kinds: Tensor, shares: Tensor, means: Tensor) -> Tensor:
    """Mean over the classes of the batch of the mean squared distance of their rows to their mean, of `means` [C, H]; [].

    `kinds` [B, C] are the rows' classes. The distances of a class sum to the least that they can from its mean: no gradient
    leads through it.
    """
    # A product takes less time than picking rows out of the means, and one operation less than a difference and its square.
    distances = mse_loss(features, kinds @ means.detach(), reduction="none").sum(-1)
    return distances @ shares.sum(-1) / (shares.sum(0) > 0).sum().clamp(min=1)


def smallest_angles(centres: Tensor, present: Tensor) -> Tensor:
    """The mean over the classes of the angle from a centre [C, H] to the nearest other [], in radians; 0 for fewer than two.

    The cosine is shrunk a little, so that the gradient is finite where centres point the same way.
    """
    unit = normalize(centres, dim=-1, eps=1e-4)
    others = present[:, None] & present[None, :] & ~torch.eye(len(present), dtype=torch.bool, device=present.device)
    # Below every cosine and above -1 / 0.999, so that the angle is one where there is no other.
    nearest = torch.where(others, unit @ unit.mT, -1.0005).max(-1).values
    angles = torch.arccos(0.999 * nearest)
    return torch.where(others.any(-1), angles, 0.0).sum() / present.sum().clamp(min=1)


def centred(centres: Tensor, present: Tensor) -> Tensor:
    """The centres [C, H] less the mean of those that are `present` [C]."""
    counted = present.to(centres.dtype)
    less = torch.eye(len(present), dtype=centres.dtype, device=centres.device) - counted / counted.sum().clamp(min=1)
    return less @ centres


@dataclass(frozen=True)
class NeuralCollapse(Regularizer):
    """Both properties of the collapse that balanced data lead to by themselves, asked for by name.

    Angles are those that the classes' means have around the mean of them all, as in a simplex; of two classes they are always
    opposite. The means are those of the batch, where the released code learns them as parameters; a class without rows in
    the batch takes part in the angles with a running mean of its features. The distances are averaged over classes, so that a
    rare class pulls as hard as a frequent one.
    """

    within: float | Tensor = hyper(0.01, 1e-4, 0.1, log=True, minimum=0.0, maximum=1000.0)
    between: float | Tensor = hyper(0.1, 0.01, 1.0, log=True, minimum=0.0, maximum=1000.0)
    momentum: float = hyper(0.9, minimum=0.0, maximum=0.999)

    name: ClassVar[str] = "neural_collapse"
    formula: ClassVar[str] = (
        "L + within mean_c mean_(i in c) |h_i - m_c|^2 - between mean_c min_(k != c) arccos <d_c, d_k> / (|d_c| |d_k|), "
        "d_c = m_c - mean_k m_k"
    )
    source: ClassVar[Source] = Source(
        "Inducing Neural Collapse in Deep Long-tailed Learning",
        "X. Liu, J. Zhang, T. Hu, H. Cao, L. Pan, Y. Yao",
        2023,
        "arXiv:2302.12453",
    )
    claim: ClassVar[Claim] = Claim("improves the representation of rare classes", "separable_tail", "balanced_accuracy")

    def init(self, statistics: Statistics, features: int) -> State:
        """The running mean of each class's features [C, H], and whether it was seen [C]."""
        return {
            "centres": torch.zeros(statistics.classes, features),
            "seen": torch.zeros_like(statistics.class_counts),
        }

    def penalty(
        self, state: State, features: Tensor, logits: Tensor, batch: Batch, progress: Tensor
    ) -> tuple[Tensor, State]:
        """The two terms, and the running means after this batch."""
        kinds = one_hot(batch.labels, state["seen"].shape[-1])
        shares, present = class_shares(kinds * batch.weights[:, None])
        means = shares.T @ features
        known = state["seen"] > 0.5
        centres = torch.where(present[:, None], means, state["centres"])
        there = present | known
        apart = smallest_angles(centred(centres, there), there)
        moved = torch.where(known[:, None], torch.lerp(means.detach(), state["centres"], self.momentum), means.detach())
        following = {
            "centres": torch.where(present[:, None], moved, state["centres"]),
            "seen": torch.maximum(state["seen"], present.to(state["seen"].dtype)),
        }
        return self.within * spread(features, kinds, shares, means) - self.between * apart, following
