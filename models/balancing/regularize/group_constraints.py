"""Constrained learning: hold every group's mean prediction near everyone's, at a price that dual ascent finds."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Claim, Need, Regularizer, Source, State, hyper
from models.data import Batch, Statistics, one_hot


def group_distances(p: Tensor, groups: Tensor, weights: Tensor, group_count: int) -> Tensor:
    """Total variation between the mean prediction of each group and of all rows [G], for p [B, C]; 0 for a group without rows."""
    member = one_hot(groups, group_count) * weights[:, None]
    rows = member.sum(0)
    everyone = (weights @ p) / weights.sum().clamp(min=1e-12)
    mean = member.T @ p / rows.clamp(min=1e-12)[:, None]
    return 0.5 * (mean - everyone).abs().sum(-1) * (rows > 0)


@dataclass(frozen=True)
class GroupConstraints(Regularizer):
    """Demographic parity within a tolerance, as constraints of the training problem with one dual per group.

    Every batch takes a step down the Lagrangian with the net, and a projected step up with the duals. A batch's distances are
    above 0 by chance as well, the more the fewer of a group's rows it has: a tolerance below that raises the duals for ever.
    """

    tolerance: float | Tensor = hyper(0.05, 0.005, 0.1, log=True, minimum=0.0, maximum=1.0)
    step: float | Tensor = hyper(0.05, 0.005, 0.5, log=True, minimum=0.0, maximum=100.0)

    name: ClassVar[str] = "group_constraints"
    formula: ClassVar[str] = (
        "min L + sum_g l_g (|E[p|g] - E[p]| - tolerance), l_g <- [l_g + step (|E[p|g] - E[p]| - tolerance)]_+"
    )
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    source: ClassVar[Source] = Source(
        "Near-Optimal Solutions of Constrained Learning Problems",
        "J. Elenter, L. F. O. Chamon, A. Ribeiro",
        2024,
        "arXiv:2403.11844",
    )
    claim: ClassVar[Claim] = Claim(
        "keeps the gap in selection rates within a tolerance", "group_gap", "demographic_parity_difference"
    )

    def init(self, statistics: Statistics, features: int) -> State:
        """A dual for each group [G]."""
        return {"dual": torch.zeros_like(statistics.group_counts)}

    def penalty(
        self, state: State, features: Tensor, logits: Tensor, batch: Batch, progress: Tensor
    ) -> tuple[Tensor, State]:
        """The constraints' part of the Lagrangian, and the duals after their step."""
        p = torch.softmax(logits, -1)
        slack = group_distances(p, batch.groups, batch.weights, state["dual"].shape[-1]) - self.tolerance
        present = (one_hot(batch.groups, slack.shape[-1]) * batch.weights[:, None]).sum(0) > 0
        dual = (state["dual"] + self.step * slack.detach() * present).clamp(min=0)
        return (dual * slack).sum(), {"dual": dual}
