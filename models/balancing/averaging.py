"""The contracts of the methods that average weights: of nets from one common beginning, or along the way of one."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from torch import Tensor

from models.balancing.base import Need
from models.balancing.component import Adjuster, GradientTransform, Scores, State

if TYPE_CHECKING:
    from models.recipe import Recipe

Judge = Callable[[Tensor], float]
"""All weights of a net [N] -> its plain loss on validation rows, all classes counting alike."""


@dataclass(frozen=True)
class WeightAverager(Adjuster):
    """Averages what a schedule's last phase makes of the best weights before it.

    Nets can be averaged if they come from one beginning: when the last phase begins, every member goes on from its best
    weights so far, the anchor, as many times as there are `factors`, which multiply the learning rate of each; each goes
    on in an order of rows of its own. The learner calls `average` at the end; what it returns is the model from then on.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"net"})
    factors: ClassVar[tuple[float, ...]] = (1.0,)

    def objection(self, recipe: Recipe) -> str | None:
        """There must be an anchor, and a last phase that goes on from it as a whole."""
        if sum(isinstance(part, WeightAverager) for part in recipe.adjust) > 1:
            return "another method averages the same weights"
        last = recipe.phases[-1]
        if len(recipe.phases) < 2:
            return "it averages what two phases of training make, and there is one. Name a schedule such as fine_tuning"
        if last.fresh_classifier or last.trains != "all":
            return f"schedule '{recipe.schedule.name if recipe.schedule else None}' ends with a part of the net alone"
        return None

    @abstractmethod
    def average(self, anchor: Tensor, ingredients: Tensor, judge: Judge) -> Tensor:
        """The anchor [N] and what became of it [k, N] -> the weights to use [N]."""

    def adjust(self, state: dict[str, Tensor], scores: Scores, groups: Tensor) -> Scores:
        """Scores stay: they come from the averaged weights already."""
        return scores


@dataclass(frozen=True)
class RunningAverage(GradientTransform):
    """Averages the weights that training passes through, in its state; the steps are those of the weights themselves.

    After every step `follow` moves the average; after every epoch what `average` gives is judged, and kept if it is the
    best so far.
    """

    needs: ClassVar[frozenset[Need]] = frozenset({"net"})

    @abstractmethod
    def follow(self, state: State, parameters: State) -> State:
        """The state and the parameters after a step -> the next state."""

    @abstractmethod
    def average(self, state: State) -> State:
        """The state -> the averaged parameters by name."""
