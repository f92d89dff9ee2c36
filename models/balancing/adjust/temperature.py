"""Temperature scaling: one number that makes confidence match accuracy, without changing a decision."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from models.balancing.adjust.prior_threshold import log_odds
from models.balancing.component import CLASSIFICATION, Adjuster, Claim, Scores, Source, State, Task
from models.balancing.loss.none import binary_cross_entropy
from models.data import Statistics

RIDGE = 1e-3
"""Strength of the pull of a fitted bias towards zero, in rows; it matters only for a class with hardly a row."""


def fit_scale_and_bias(log_probabilities: Tensor, labels: Tensor, weights: Tensor, bias: bool) -> tuple[Tensor, Tensor]:
    """The scale s > 0 and bias b [C] that minimize the mean of -log softmax(s z + b)_y, in float64, by L-BFGS.

    `log_probabilities` [n, C], `labels` [n], `weights` [n]. Without `bias`, b is 0. The problem is convex in (s, b);
    s is kept positive by its logarithm.
    """
    z = log_probabilities.double()
    w = weights.double() / weights.double().sum()
    log_scale = torch.zeros((), dtype=torch.float64, device=z.device, requires_grad=True)
    shift = torch.zeros(z.shape[1], dtype=torch.float64, device=z.device, requires_grad=bias)
    wanted = [log_scale, shift] if bias else [log_scale]
    optimizer = torch.optim.LBFGS(wanted, max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        scored = torch.log_softmax(log_scale.exp() * z + shift, -1)
        value = -(w * scored.gather(1, labels[:, None]).squeeze(1)).sum() + RIDGE / len(z) * shift.square().sum()
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(objective)
    scale = log_scale.detach().clamp(-5, 5).exp()
    return scale, (shift - shift.mean()).detach()


def fit_scale_of_labels(odds: Tensor, carried: Tensor, weights: Tensor) -> Tensor:
    """The scale s > 0 [] that minimizes the mean of the binary cross-entropy of s z over rows and labels, in float64.

    `odds` are the log-odds z [n, L], `carried` the indicators [n, L], `weights` [n].
    """
    z, t = odds.double(), carried.double()
    w = weights.double() / weights.double().sum()
    log_scale = torch.zeros((), dtype=torch.float64, device=z.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([log_scale], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        value = (w * binary_cross_entropy(log_scale.exp() * z, t)).sum() / z.shape[1]
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(objective)
    return log_scale.detach().clamp(-5, 5).exp()


@dataclass(frozen=True)
class Temperature(Adjuster):
    """Divide the logits by a temperature fitted on calibration rows; of several labels one temperature divides all log-odds."""

    name: ClassVar[str] = "temperature"
    formula: ClassVar[str] = "p = softmax(z / T), of labels sigmoid(z / T), T minimizing the log loss"
    tasks: ClassVar[frozenset[Task]] = CLASSIFICATION | {"multilabel"}
    calibrates: ClassVar[bool] = True
    source: ClassVar[Source] = Source(
        "On Calibration of Modern Neural Networks",
        "C. Guo, G. Pleiss, Y. Sun, K. Q. Weinberger",
        2017,
        "arXiv:1706.04599",
    )
    claim: ClassVar[Claim] = Claim("calibrates an overconfident net", "overconfident", "ece")

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """The inverse temperature [1], as `slope` of labels."""
        if scores.log_probabilities.shape == labels.shape:
            return {"slope": fit_scale_of_labels(log_odds(scores.log_probabilities), labels, weights).reshape(1)}
        scale, _ = fit_scale_and_bias(scores.log_probabilities, labels, weights, bias=False)
        return {"scale": scale.reshape(1)}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scaled probabilities; the decision is as it was."""
        if "slope" in state:
            return scores._replace(log_probabilities=logsigmoid(state["slope"] * log_odds(scores.log_probabilities)))
        return scores._replace(log_probabilities=torch.log_softmax(state["scale"] * scores.log_probabilities, -1))
