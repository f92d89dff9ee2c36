"""Post-hoc logit adjustment: subtract tau times the log prior before deciding."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import Adjuster, Claim, Correction, Decision, Scores, Source, State, hyper
from models.balancing.loss.logit_adjusted import SOURCE
from models.data import Statistics


@dataclass(frozen=True)
class LogitAdjustment(Adjuster):
    """Decide on z - tau log prior; tau 1 is the threshold at the prior, tau 0 the most probable class. Probabilities stay."""

    tau: float = hyper(1.0, 0.25, 2.0, minimum=0.0, maximum=10.0)

    name: ClassVar[str] = "logit_adjustment"
    formula: ClassVar[str] = "decide argmax_c z_c - tau log pi_c"
    corrects_prior: ClassVar[Correction] = "partly"
    decides: ClassVar[Decision] = "anew"
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "raises balanced accuracy, for which it is consistent", "long_tail", "balanced_accuracy"
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """The shift [C]."""
        return {"shift": -torch.as_tensor(self.tau) * statistics.prior.double().log()}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision shifted."""
        return scores._replace(decision=scores.log_probabilities + state["shift"])
