"""EMA: the model is an exponential moving average of the weights that training passes through."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from models.balancing.averaging import RunningAverage
from models.balancing.component import EVERY_TASK, Claim, Source, State, Task, Update, hyper

STEPS = "steps"
"""The name under which the state counts the steps; parameters' names have a dot."""


def moved(average: Tensor, weights: Tensor, steps: Tensor, decay: float | Tensor) -> Tensor:
    """a' = d a + (1 - d) w with d = min(1 - 1 / (steps + 1), decay), after `steps` steps before this one.

    So the first steps are averaged evenly, until the exponential average would remember as many.
    """
    share = torch.minimum(1 - 1 / (steps + 1), torch.as_tensor(decay, dtype=weights.dtype, device=weights.device))
    return share * average + (1 - share) * weights


@dataclass(frozen=True)
class Ema(RunningAverage):
    """What is judged after every epoch, and kept, is the average (the paper's teacher); the steps are those of the weights.

    The ramp of the decay is that of the authors' code, one step earlier: the weights before the first step do not count.
    After a warm start it holds the model near where it came from.
    """

    decay: float | Tensor = hyper(0.99, 0.9, 0.999, minimum=0.0, maximum=0.99999)

    name: ClassVar[str] = "ema"
    formula: ClassVar[str] = "a_t = d a_(t-1) + (1 - d) theta_t, d = min(1 - 1 / t, decay); the model is a"
    tasks: ClassVar[frozenset[Task]] = EVERY_TASK
    source: ClassVar[Source] = Source(
        "Mean teachers are better role models: Weight-averaged consistency targets improve semi-supervised deep learning "
        "results",
        "A. Tarvainen, H. Valpola",
        2017,
        "arXiv:1703.01780",
    )

    claim: ClassVar[Claim] = Claim(
        "makes a better model of few labelled rows than the weights that it averages",
        "few_rows",
        "accuracy",
        remark="the learning rate falls to zero, which settles the weights as an average does",
    )

    def init(self, parameters: State) -> State:
        """The weights as they are when it begins, and no step."""
        some = next(iter(parameters.values()))
        return {**{k: v.clone() for k, v in parameters.items()}, STEPS: torch.zeros((), device=some.device)}

    def transform(self, state: State, gradients: State, parameters: State, progress: Tensor) -> Update:
        """The gradients as they are."""
        return Update(gradients, {}, state)

    def follow(self, state: State, parameters: State) -> State:
        """The average moved towards the weights after a step."""
        steps = state[STEPS]
        return {**{k: moved(state[k], v, steps, self.decay) for k, v in parameters.items()}, STEPS: steps + 1}

    def average(self, state: State) -> State:
        """The average, by parameter."""
        return {k: v for k, v in state.items() if k != STEPS}
