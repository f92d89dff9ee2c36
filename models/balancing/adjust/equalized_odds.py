"""Equalized odds by post-processing: thresholds per group whose error rates agree, without a coin."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.adjust.group_rates import Cuts, candidate_cuts, shifted
from models.balancing.component import Adjuster, Claim, Decision, Need, Scores, Source, State, Task, hyper
from models.data import Statistics


def nearest_to_targets(rates: Tensor, usable: Tensor) -> Tensor:
    """For every point of rates [G, K, R] that some usable group reaches, the candidate of each group that comes nearest [T, G].

    Nearness is the largest of the R differences of rates.
    """
    targets = rates[usable].flatten(0, 1)
    return torch.stack([(targets[:, None] - rates[g]).abs().amax(-1).argmin(-1) for g in range(len(rates))], -1)


def fair_thresholds(
    cuts: Cuts, tolerance: float | Tensor, balanced: bool = False, rates: Tensor | None = None
) -> Tensor:
    """Thresholds [G] of the smallest error among those whose gap in every rate is at most `tolerance`; else of the smallest gap.

    `rates` [G, K, R] of the candidates must agree between groups: false and true positive rate unless others are given.
    `balanced` counts the errors of each class relative to its rows, so that the smallest error is the largest balanced
    accuracy.
    """
    if not bool(cuts.usable.any()):
        return torch.zeros_like(cuts.positives)
    compared = cuts.rates if rates is None else rates
    chosen = nearest_to_targets(compared, cuts.usable)
    every = torch.arange(chosen.shape[1], device=chosen.device)
    rates = compared[every, chosen]
    inside = cuts.usable[None, :, None]
    high, low = torch.where(inside, rates, -torch.inf).amax(1), torch.where(inside, rates, torch.inf).amin(1)
    gap = (high - low).amax(-1)
    false = cuts.false_positives[every, chosen].sum(1)
    missed = (cuts.positives - cuts.true_positives[every, chosen]).sum(1)
    if balanced:
        false, missed = false / cuts.negatives.sum(), missed / cuts.positives.sum()
    errors = false + missed
    allowed = gap <= torch.clamp(gap.min(), min=float(tolerance))
    best = torch.where(allowed, errors, torch.inf).argmin()
    return cuts.thresholds[every, chosen[best]]


@dataclass(frozen=True)
class EqualizedOdds(Adjuster):
    """The deterministic variant: where randomization would meet the rates exactly, the nearest thresholds are taken.

    A group whose calibration rows lack a class keeps the decision as it was.
    """

    tolerance: float | Tensor = hyper(0.02, 0.0, 0.1, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "equalized_odds"
    formula: ClassVar[str] = (
        "decide z_1 - z_0 > h_g, h minimizing the error subject to |FPR_g - FPR_k|, |TPR_g - TPR_k| <= tolerance"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    decides: ClassVar[Decision] = "shifted"
    source: ClassVar[Source] = Source(
        "Equality of Opportunity in Supervised Learning", "M. Hardt, E. Price, N. Srebro", 2016, "arXiv:1610.02413"
    )
    claim: ClassVar[Claim] = Claim(
        "makes the error rates of the groups agree", "group_gap", "equalized_odds_difference"
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """A threshold per group [G]."""
        cuts = candidate_cuts(scores, labels, groups, weights, statistics.groups)
        return {"thresholds": fair_thresholds(cuts, self.tolerance)}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision of each group shifted."""
        return shifted(scores, state["thresholds"], groups)


@dataclass(frozen=True)
class BalancedEqualizedOdds(EqualizedOdds):
    """The same post-processing with the loss that weighs the classes alike: the largest balanced accuracy within the gap."""

    tolerance: float | Tensor = hyper(0.06, 0.0, 0.1, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "balanced_equalized_odds"
    formula: ClassVar[str] = (
        "decide z_1 - z_0 > h_g, h minimizing FPR + FNR subject to |FPR_g - FPR_k|, |TPR_g - TPR_k| <= tolerance"
    )
    claim: ClassVar[Claim] = Claim(
        "makes the error rates of the groups agree", "group_gap", "equalized_odds_difference"
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """A threshold per group [G]."""
        cuts = candidate_cuts(scores, labels, groups, weights, statistics.groups)
        return {"thresholds": fair_thresholds(cuts, self.tolerance, balanced=True)}
