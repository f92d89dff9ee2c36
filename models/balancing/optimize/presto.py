"""PRESTO: the weights of neighbouring transitions between ordered classes are drawn together, so that frequent ones inform the rare."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from models.balancing.component import Claim, GradientTransform, Need, Source, State, Task, Update, hyper
from models.balancing.head.cumulative_odds import SOURCE

if TYPE_CHECKING:
    from models.recipe import Recipe

STEPS = "classifier.steps"


@dataclass(frozen=True)
class Presto(GradientTransform):
    """An L1 penalty on the steps from each transition's weights to the next one's, by its subgradient.

    Without a penalty the transitions are free; with a large one the odds are proportional. The published estimator is the
    penalized maximum likelihood of a linear model; here the rows' features are the net's. It penalizes the weights of the
    first transition by their L1 norm as well, which here the learner's weight decay holds down.
    """

    shrinkage: float | Tensor = hyper(0.003, 1e-4, 0.1, log=True, minimum=0.0, maximum=10.0)

    name: ClassVar[str] = "presto"
    formula: ClassVar[str] = "loss + shrinkage sum_(c > 1) |b_c - b_(c-1)|_1"
    tasks: ClassVar[frozenset[Task]] = frozenset({"ordinal"})
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    implies: ClassVar[Mapping[str, str]] = {"head": "cumulative_odds"}
    source: ClassVar[Source] = SOURCE
    claim: ClassVar[Claim] = Claim(
        "lets frequent transitions inform that to a rare class",
        "ordered_few",
        "log_loss",
        beside={"head": "cumulative_odds"},
    )

    def objection(self, recipe: Recipe) -> str | None:
        """The transitions must have weights of their own."""
        found = recipe.head.name if recipe.head else None
        if found != "cumulative_odds":
            return f"it draws together the transitions of head 'cumulative_odds', and the head is '{found}'"
        return None

    def transform(self, state: State, gradients: State, parameters: State, progress: Tensor) -> Update:
        """The gradients, with the penalty's."""
        if STEPS not in gradients:  # a phase that trains something else
            return Update(gradients, {}, state)
        return Update({**gradients, STEPS: gradients[STEPS] + self.shrinkage * parameters[STEPS].sign()}, {}, state)
