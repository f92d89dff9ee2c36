"""Adversarial debiasing: an adversary guesses the group from the features, and its gradient is reversed."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.component import EVERY_TASK, Claim, Need, Regularizer, Source, State, Task, hyper
from models.balancing.loss.none import cross_entropy
from models.data import Batch, Statistics, one_hot

HIDDEN = 64
"""Width of the adversary's hidden layer."""


def reversed_gradient(values: Tensor, strength: float | Tensor) -> Tensor:
    """The same values, bit for bit; the gradient that comes back is multiplied by -strength."""
    fixed = values.detach()
    return fixed + strength * (fixed - values)


def ramp(progress: Tensor) -> Tensor:
    """2 / (1 + exp(-10 progress)) - 1: from 0 to about 1, so that the adversary learns before it is listened to."""
    return 2 / (1 + torch.exp(-10 * progress)) - 1


@dataclass(frozen=True)
class Adversary(Regularizer):
    """A two-layer adversary for the group, trained with the net through a gradient-reversal layer.

    The first paper's schedule is that of strength 1, where the search ends. A net under so strong an adversary may end by
    saying one class to all rows; the default is the weakest that is searched, and changes little by itself.
    """

    strength: float | Tensor = hyper(0.1, 0.1, 1.0, log=True, minimum=0.0, maximum=1000.0)

    name: ClassVar[str] = "adversary"
    formula: ClassVar[str] = (
        "L + CE(group, a(R(f))), R(f) = f forwards, -strength (2/(1+e^(-10 t)) - 1) times the gradient back"
    )
    cost: ClassVar[str] = "A step takes a forward and a backward pass through a second net, the adversary."
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    source: ClassVar[Source] = Source(
        "Unsupervised Domain Adaptation by Backpropagation", "Y. Ganin, V. Lempitsky", 2014, "arXiv:1409.7495"
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Toward Equitable Recovery: A Fairness-Aware AI Framework for Prioritizing Post-Flood Aid in Bangladesh"
        ),
        Source(
            "Mitigating Unwanted Biases with Adversarial Learning",
            "B. H. Zhang, B. Lemoine, M. Mitchell",
            2018,
            "arXiv:1801.07593",
        ),
    )
    claim: ClassVar[Claim] = Claim(
        "lowers what decisions tell about the group",
        "group_gap",
        "demographic_parity_difference",
        values={"strength": 1.0},
    )

    def parameters(self, statistics: Statistics, features: int, generator: torch.Generator) -> State:
        """The adversary's two layers, drawn as torch draws linear layers."""

        def uniform(*shape: int) -> Tensor:
            return (torch.rand(*shape, generator=generator) * 2 - 1) / shape[-1] ** 0.5

        return {
            "hidden": uniform(HIDDEN, features),
            "hidden_bias": torch.zeros(HIDDEN),
            "output": uniform(statistics.groups, HIDDEN),
            "output_bias": torch.zeros(statistics.groups),
        }

    def penalty(
        self, state: State, features: Tensor, logits: Tensor, batch: Batch, progress: Tensor
    ) -> tuple[Tensor, State]:
        """The adversary's mean cross-entropy over the batch."""
        seen = reversed_gradient(features, self.strength * ramp(progress))
        hidden = torch.relu(seen @ state["hidden"].T + state["hidden_bias"])
        guess = hidden @ state["output"].T + state["output_bias"]
        losses = cross_entropy(guess, one_hot(batch.groups, guess.shape[-1]))
        return (losses * batch.weights).sum() / batch.weights.sum().clamp(min=1e-12), state
