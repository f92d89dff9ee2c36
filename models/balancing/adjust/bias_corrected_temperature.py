"""Bias-corrected temperature scaling: calibrated probabilities for a model that was trained to be balanced."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.adjust.temperature import fit_scale_and_bias
from models.balancing.component import Adjuster, Claim, Scores, Source, State
from models.data import Statistics


@dataclass(frozen=True)
class BiasCorrectedTemperature(Adjuster):
    """A temperature and a bias per class, fitted on calibration rows; decisions stay those of the balanced model.

    Balancing shifts a model's probabilities by about the log prior of each class; the biases take that shift back.
    """

    name: ClassVar[str] = "bias_corrected_temperature"
    formula: ClassVar[str] = "p = softmax(z / T + b), T and b minimizing the log loss; decide by z"
    restores_prior: ClassVar[bool] = True
    calibrates: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "Maximum Likelihood with Bias-Corrected Calibration is Hard-To-Beat at Label Shift Adaptation",
        "A. Alexandari, A. Kundaje, A. Shrikumar",
        2019,
        "arXiv:1901.06852",
    )
    claim: ClassVar[Claim] = Claim(
        "calibrates a model that was trained to be balanced", "rare_positive", "ece", beside={"loss": "weighted_ce"}
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """The inverse temperature [1] and the biases [C]."""
        scale, bias = fit_scale_and_bias(scores.log_probabilities, labels, weights, bias=True)
        return {"scale": scale.reshape(1), "bias": bias}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Calibrated probabilities; the decision is as it was."""
        calibrated = torch.log_softmax(state["scale"] * scores.log_probabilities + state["bias"], -1)
        return scores._replace(log_probabilities=calibrated)
