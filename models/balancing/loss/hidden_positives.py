"""Learning from positive and unlabelled rows where it depends on the group how many positives are noted (SAR-EM)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

from models.balancing.component import Claim, Loss, Source, State, Task, hyper
from models.data import Batch, Statistics, one_hot

LEAST = 1e-4
"""A propensity stays this far from 0 and 1, so that a row's likelihood has a logarithm."""
KEPT = 0.98
"""How much of the counts of earlier batches stays in each step of the online EM."""


def observed(z: Tensor, noted: Tensor, propensity: Tensor) -> Tensor:
    """-s log(e p) - (1 - s) log(1 - e p) per row [B], p = sigmoid(z): how likely it is that the row is noted or not.

    Its gradient by z is that of the expected cross-entropy -q log p - (1 - q) log(1 - p), with q as `expected` gives it.
    """
    e = propensity.clamp(LEAST, 1 - LEAST)
    silent = torch.logaddexp(logsigmoid(-z), logsigmoid(z) + torch.log1p(-e))
    return -noted * (logsigmoid(z) + e.log()) - (1 - noted) * silent


def expected(z: Tensor, noted: Tensor, propensity: Tensor) -> Tensor:
    """q = s + (1 - s) p (1 - e) / (1 - p e) per row [B]: how probable it is that the row is positive."""
    p, e = torch.sigmoid(z), propensity.clamp(LEAST, 1 - LEAST)
    return noted + (1 - noted) * p * (1 - e) / (1 - p * e)


@dataclass(frozen=True)
class HiddenPositives(Loss):
    """Class 1 are rows known to be positive, class 0 all others, positive or not; the propensity is one number per group.

    The published EM, as it goes from batch to batch: the model learns from the probability that a row is positive, the
    propensity of a group is its noted rows by the positive ones expected. Without groups it is one number for all rows.
    Figures of held-out rows count what is not noted as negative, too, unless those rows were looked at with more care.
    """

    propensity: float | Tensor = hyper(0.5, minimum=0.01, maximum=1.0)

    name: ClassVar[str] = "hidden_positives"
    formula: ClassVar[str] = (
        "L = -s log(e_g p) - (1 - s) log(1 - e_g p), e_g = sum s / sum q over the group, q = s + (1 - s) p (1 - e_g) / "
        "(1 - p e_g)"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    source: ClassVar[Source] = Source(
        "Beyond the Selected Completely At Random Assumption for Learning from Positive and Unlabeled Data",
        "J. Bekker, P. Robberechts, J. Davis",
        2018,
        "arXiv:1809.03207",
    )
    claim: ClassVar[Claim] = Claim(
        "finds the positives of which many are not noted, in one group more than in the other",
        "hidden_positives",
        "balanced_accuracy",
    )

    def init(self, statistics: Statistics) -> State:
        """Noted and expected positives of each group [G], begun with one row for each."""
        ones = torch.ones_like(statistics.group_counts)
        return {"noted": self.propensity * ones, "positive": ones}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, 2] -> loss per row [B]."""
        e = (state["noted"] / state["positive"])[batch.groups]
        return observed(logits[..., 1] - logits[..., 0], batch.targets[..., 1], e)

    def advance(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> State:
        """The counts of each group, moved on by the batch's rows."""
        noted = batch.targets[..., 1]
        q = expected(logits[..., 1] - logits[..., 0], noted, (state["noted"] / state["positive"])[batch.groups])
        members = one_hot(batch.groups, state["noted"].shape[0]).mT * batch.weights
        return {
            **state,
            "noted": KEPT * state["noted"] + members @ noted,
            "positive": KEPT * state["positive"] + members @ q,
        }
