"""Expected utility: decide for the class whose utility, averaged over what the right class may be, is greatest."""

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from models.balancing.component import Adjuster, Claim, Decision, Scores, Source, State, hyper
from models.balancing.loss.integrated_risk import SOURCE, tail_sensitive_utility
from models.data import Statistics


def expected_utility(log_probabilities: Tensor, utility: Tensor) -> Tensor:
    """sum_y p_y u(y, d) [n, C] for each decision d."""
    return log_probabilities.exp() @ utility


@dataclass(frozen=True)
class ExpectedUtility(Adjuster):
    """The Bayes decision under tail-sensitive utilities: rather a rare class too often than a frequent one. Probabilities stay."""

    tolerance: float | Tensor = hyper(0.3, 0.05, 0.9, minimum=0.0, maximum=1.0)

    name: ClassVar[str] = "expected_utility"
    formula: ClassVar[str] = "decide argmax_d sum_y p_y u(y, d), u(y, y) = 1, u(y, d) = tolerance [n_d < n_y]"
    decides: ClassVar[Decision] = "anew"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim("takes fewer tail rows for head classes", "long_tail", "tail_recall")

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """The utilities [C, C], from the training counts."""
        return {"utility": tail_sensitive_utility(statistics.class_counts, self.tolerance).double()}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision by expected utility."""
        return scores._replace(decision=expected_utility(scores.log_probabilities.double(), state["utility"]))
