"""Fair error-bound scaling: predictions of groups with a high error are scaled down inside the dice loss, which raises it."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Loss, Need, Source, State, hyper
from models.balancing.loss.none import cross_entropy
from models.data import Batch, Statistics, one_hot

SMOOTH = 1e-5


def set_dice(p: Tensor, targets: Tensor, weights: Tensor) -> Tensor:
    """sum_c 1 - (2 sum_i p t + s) / (sum_i p^2 + sum_i t^2 + s); p, targets [B, C], weights [..., B] -> [...]."""
    hit, below = (weights @ torch.cat([p * targets, p.square() + targets.square()], -1)).chunk(2, -1)
    return (1 - (2 * hit + SMOOTH) / (below + SMOOTH)).sum(-1)


def group_scales(
    p: Tensor, targets: Tensor, groups: Tensor, weights: Tensor, group_count: int, gamma: float | Tensor
) -> Tensor:
    """tanh((min_g L_g / L_g)^gamma) of each row's group [B], L_g the dice loss of its rows in the batch; no gradient."""
    member = one_hot(groups, group_count) * weights[:, None]
    present = member.sum(0) > 0
    losses = set_dice(p.detach(), targets, member.T).clamp(min=SMOOTH)
    smallest = torch.where(present, losses, torch.inf).min()
    scales = torch.tanh((smallest / losses) ** gamma)
    return (one_hot(groups, group_count) * torch.where(present, scales, 0.0)).sum(-1)


@dataclass(frozen=True)
class FairErrorBoundScaling(Loss):
    """Half cross-entropy, half the dice loss of the batch with scaled predictions, as released with the paper."""

    gamma: float | Tensor = hyper(1.0, 0.25, 4.0, log=True, minimum=0.0, maximum=20.0)

    name: ClassVar[str] = "fair_error_bound_scaling"
    formula: ClassVar[str] = (
        "L = CE / 2 + Dice(w_g p, t) / (2 C), w_g = tanh((min_h L_h / L_g)^gamma), L_g = Dice of group g"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    set_level: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "FairSeg: A Large-Scale Medical Image Segmentation Dataset for Fairness Learning Using Segment Anything Model "
        "with Fair Error-Bound Scaling",
        "Y. Tian, M. Shi, Y. Luo, A. Kouhana, T. Elze, M. Wang",
        2023,
        "arXiv:2311.02189",
    )
    claim: ClassVar[Claim] = Claim(
        "serves the group with the largest bound on its error", "spurious", "worst_group_accuracy"
    )

    def init(self, statistics: Statistics) -> State:
        """The rows of each group [G], which say how many groups there are."""
        return {"group_counts": statistics.group_counts}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] -> the loss of the batch []."""
        p, count = torch.softmax(logits, -1), state["group_counts"].shape[-1]
        scales = group_scales(p, batch.targets, batch.groups, batch.weights, count, self.gamma)
        overlap = set_dice(p * scales[:, None], batch.targets, batch.weights) / logits.shape[-1]
        plain = (cross_entropy(logits, batch.targets) * batch.weights).sum() / batch.weights.sum().clamp(min=1e-12)
        return (plain + overlap) / 2
