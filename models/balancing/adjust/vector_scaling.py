"""Vector scaling: a scale and a bias for every class, fitted on calibration rows."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.adjust.temperature import RIDGE
from models.balancing.component import Adjuster, Claim, Scores, Source, State
from models.data import Statistics


def fit_vector(log_probabilities: Tensor, labels: Tensor, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The scales [C] and biases [C] that minimize the mean of -log softmax(s * z + b)_y, in float64, by L-BFGS; convex.

    A ridge of a thousandth of a row pulls scales to 1 and biases to 0, for classes with hardly a row.
    """
    z, w = log_probabilities.double().clamp(min=-100), weights.double() / weights.double().sum()
    scale = torch.ones(z.shape[1], dtype=torch.float64, device=z.device, requires_grad=True)
    bias = torch.zeros(z.shape[1], dtype=torch.float64, device=z.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([scale, bias], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        scored = torch.log_softmax(z * scale + bias, -1).gather(1, labels[:, None]).squeeze(1)
        ridge = RIDGE / len(z) * ((scale - 1).square().sum() + bias.square().sum())
        value = ridge - (w * scored).sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(objective)
    return scale.detach(), (bias - bias.mean()).detach()


@dataclass(frozen=True)
class VectorScaling(Adjuster):
    """Calibrate the probabilities class by class; the decision is as it was.

    The scaled z are log-probabilities, as several models have no logits in common.
    """

    name: ClassVar[str] = "vector_scaling"
    formula: ClassVar[str] = "p = softmax(s * z + b), s and b per class minimizing the log loss; decide by z"
    restores_prior: ClassVar[bool] = True
    calibrates: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "On Calibration of Modern Neural Networks",
        "C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger",
        2017,
        "arXiv:1706.04599",
    )
    claim: ClassVar[Claim] = Claim("calibrates an overconfident net", "overconfident", "ece")

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """The scales and biases [C]."""
        scale, bias = fit_vector(scores.log_probabilities, labels, weights)
        return {"scale": scale, "bias": bias}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Calibrated probabilities; the decision is as it was."""
        scaled = scores.log_probabilities.clamp(min=-100) * state["scale"] + state["bias"]
        return scores._replace(log_probabilities=torch.log_softmax(scaled, -1))
