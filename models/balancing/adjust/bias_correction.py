"""Bias correction: two numbers, fitted on balanced rows, that take back how a classifier slights the classes with few rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.adjust.temperature import RIDGE
from models.balancing.component import Adjuster, Claim, Decision, Scores, Source, State
from models.data import Statistics


def class_balanced(labels: Tensor, weights: Tensor, classes: int) -> Tensor:
    """The rows' weights [n] scaled so that the classes that have rows weigh alike; they sum to 1."""
    totals = torch.zeros(classes, dtype=torch.float64, device=labels.device).index_add(0, labels, weights.double())
    scaled = weights.double() / totals.clamp(min=1e-300)[labels]
    return scaled / scaled.sum()


def fit_correction(scores: Tensor, labels: Tensor, weights: Tensor, tail: Tensor) -> tuple[Tensor, Tensor]:
    """The scale a and shift b that minimize the weighted mean of -log softmax(z')_y, z'_c = a z_c + b for c in the tail.

    `scores` [n, C], `labels` and `weights` [n] (summing to 1), `tail` [C] bool; the other classes keep z. In float64, by
    L-BFGS; convex, with a ridge of a thousandth of a row towards a = 1, b = 0.
    """
    z = scores.double()
    scale = torch.ones((), dtype=torch.float64, device=z.device, requires_grad=True)
    shift = torch.zeros((), dtype=torch.float64, device=z.device, requires_grad=True)
    optimizer = torch.optim.LBFGS([scale, shift], max_iter=200, tolerance_grad=1e-9, line_search_fn="strong_wolfe")

    def objective() -> Tensor:
        optimizer.zero_grad()
        corrected = torch.where(tail, scale * z + shift, z)
        scored = torch.log_softmax(corrected, -1).gather(1, labels[:, None]).squeeze(1)
        value = -(weights * scored).sum() + RIDGE / len(z) * ((scale - 1).square() + shift.square())
        value.backward()
        return value

    with torch.enable_grad():
        optimizer.step(objective)
    return scale.detach(), shift.detach()


@dataclass(frozen=True)
class BiasCorrection(Adjuster):
    """The paper corrects new classes against old ones; here classes below the mean number of rows against those above.

    It is fitted on the calibration rows, weighed so that the classes count alike. The scores z are log-probabilities at first,
    as several models have no logits in common. Probabilities stay.
    """

    name: ClassVar[str] = "bias_correction"
    formula: ClassVar[str] = "decide argmax_c q_c, q_c = a z_c + b for classes c with n_c < n / C, else z_c"
    decides: ClassVar[Decision] = "shifted"
    source: ClassVar[Source] = Source(
        "Large Scale Incremental Learning",
        "Y. Wu, Y. Chen, L. Wang, Y. Ye, Z. Liu, Y. Guo, Y. Fu",
        2019,
        "arXiv:1905.13260",
    )
    claim: ClassVar[Claim] = Claim(
        "raises the recall of rare classes with two numbers", "long_tail", "balanced_accuracy"
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """Scale and shift of every class [C]: 1 and 0 for frequent ones."""
        tail = (statistics.class_counts < statistics.class_counts.mean()).to(labels.device)
        balanced = class_balanced(labels, weights, scores.decision.shape[1])
        scale, shift = fit_correction(scores.decision.clamp(min=-100), labels, balanced, tail)
        one, zero = torch.ones_like(scale), torch.zeros_like(shift)
        return {"scale": torch.where(tail, scale, one), "shift": torch.where(tail, shift, zero)}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision corrected."""
        return scores._replace(decision=state["scale"] * scores.decision.clamp(min=-100) + state["shift"])
