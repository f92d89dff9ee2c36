"""Group-adaptive thresholds: a threshold per group that balances F1 against the gap in balanced error rate."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.adjust.group_rates import Cuts, candidate_cuts, shifted
from models.balancing.component import Adjuster, Claim, Decision, Need, Scores, Source, State, Task, hyper
from models.data import Statistics

ROUNDS = 20


def adaptive_thresholds(cuts: Cuts, price: float | Tensor) -> Tensor:
    """Thresholds [G] that maximize F1 - price * (largest - smallest balanced error rate of the groups), by coordinate search.

    Each group in turn takes its best candidate given the others', until none moves; it starts from each group's
    candidate nearest to 0, the decision as it was.
    """
    groups = torch.arange(len(cuts.thresholds), device=cuts.thresholds.device)
    error = (cuts.rates[..., 0] + 1 - cuts.rates[..., 1]) / 2
    chosen = cuts.thresholds.abs().argmin(1)
    for _ in range(ROUNDS):
        before = chosen.clone()
        for group in groups[cuts.usable].tolist():
            tried = chosen.repeat(cuts.thresholds.shape[1], 1)
            tried[:, group] = torch.arange(len(tried), device=tried.device)
            hit, false = cuts.true_positives[groups, tried].sum(1), cuts.false_positives[groups, tried].sum(1)
            f1 = 2 * hit / (hit + false + cuts.positives.sum()).clamp(min=1e-300)
            rates = error[groups, tried]
            high = torch.where(cuts.usable, rates, -torch.inf).amax(1)
            low = torch.where(cuts.usable, rates, torch.inf).amin(1)
            value = f1 - price * (high - low)
            moved = value.argmax()
            if bool(value[moved] > value[chosen[group]] + 1e-12):
                chosen[group] = moved
        if torch.equal(before, chosen):
            break
    return torch.where(cuts.usable, cuts.thresholds[groups, chosen], 0.0)


@dataclass(frozen=True)
class GroupThresholds(Adjuster):
    """FairOPT's aim over the intersections of the sensitive attributes; a group that lacks a class keeps its decision.

    How the thresholds are searched is not the paper's: each group in turn takes the best of its candidate cuts.
    """

    price: float | Tensor = hyper(1.0, 0.1, 10.0, log=True, minimum=0.0, maximum=1e6)

    name: ClassVar[str] = "group_thresholds"
    formula: ClassVar[str] = (
        "decide z_1 - z_0 > h_g, h maximizing F1 - price (max_g BER_g - min_g BER_g) on calibration rows"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    decides: ClassVar[Decision] = "shifted"
    source: ClassVar[Source] = Source(
        "Group-Adaptive Threshold Optimization for Robust AI-Generated Text Detection",
        "M. Jung et al.",
        2025,
        "arXiv:2502.04528",
    )
    claim: ClassVar[Claim] = Claim(
        "lowers the gap in balanced error rate between groups", "rare_in_group", "balanced_error_difference"
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """A threshold per group [G]."""
        cuts = candidate_cuts(scores, labels, groups, weights, statistics.groups)
        return {"thresholds": adaptive_thresholds(cuts, self.price)}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision of each group shifted."""
        return shifted(scores, state["thresholds"], groups)
