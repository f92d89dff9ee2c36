"""Thresholds per group that make one rate of all groups agree: of selection, or of true positives."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.adjust.equalized_odds import fair_thresholds
from models.balancing.adjust.group_rates import Cuts, candidate_cuts, shifted
from models.balancing.component import Adjuster, Claim, Decision, Need, Scores, Source, State, Task, hyper
from models.data import Statistics


def selection_rates(cuts: Cuts) -> Tensor:
    """The share that each candidate selects [G, K, 1]."""
    selected = cuts.true_positives + cuts.false_positives
    return (selected / (cuts.positives + cuts.negatives).clamp(min=1e-300)[:, None])[..., None]


@dataclass(frozen=True)
class ParityThresholds(Adjuster):
    """Base of the thresholds of largest balanced accuracy whose groups agree in one rate, to within the tolerance.

    A group whose calibration rows lack a class keeps the decision as it was.
    """

    tolerance: float | Tensor = hyper(0.02, 0.0, 0.1, minimum=0.0, maximum=1.0)

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})

    decides: ClassVar[Decision] = "shifted"

    @abstractmethod
    def rates(self, cuts: Cuts) -> Tensor:
        """The rates that must agree [G, K, 1]."""

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """A threshold per group [G]."""
        cuts = candidate_cuts(scores, labels, groups, weights, statistics.groups)
        return {"thresholds": fair_thresholds(cuts, self.tolerance, balanced=True, rates=self.rates(cuts))}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision of each group shifted."""
        return shifted(scores, state["thresholds"], groups)


@dataclass(frozen=True)
class DemographicParity(ParityThresholds):
    """Thresholds that select about the same share of every group."""

    name: ClassVar[str] = "demographic_parity"
    formula: ClassVar[str] = (
        "decide z_1 - z_0 > h_g, h minimizing FPR + FNR subject to |P(positive | g) - P(positive | k)| <= tolerance"
    )
    source: ClassVar[Source] = Source(
        "Algorithmic decision making and the cost of fairness",
        "S. Corbett-Davies, E. Pierson, A. Feller, S. Goel, A. Huq",
        2017,
        "arXiv:1701.08230",
    )
    claim: ClassVar[Claim] = Claim(
        "makes the shares of positive decisions of the groups agree", "group_gap", "demographic_parity_difference"
    )

    def rates(self, cuts: Cuts) -> Tensor:
        """Selection rates."""
        return selection_rates(cuts)


@dataclass(frozen=True)
class EqualOpportunity(ParityThresholds):
    """Thresholds that find about the same share of the positives of every group."""

    name: ClassVar[str] = "equal_opportunity"
    formula: ClassVar[str] = "decide z_1 - z_0 > h_g, h minimizing FPR + FNR subject to |TPR_g - TPR_k| <= tolerance"
    source: ClassVar[Source] = Source(
        "Equality of Opportunity in Supervised Learning", "M. Hardt, E. Price, N. Srebro", 2016, "arXiv:1610.02413"
    )
    claim: ClassVar[Claim] = Claim(
        "makes the true positive rates of the groups agree", "group_gap", "equal_opportunity_difference"
    )

    def rates(self, cuts: Cuts) -> Tensor:
        """True positive rates."""
        return cuts.rates[..., 1:]
