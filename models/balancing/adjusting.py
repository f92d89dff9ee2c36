"""The contract of the methods that adjust what is trained: scores after training, or the weights of a trained net."""

from __future__ import annotations

import math
from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor

from models.balancing.base import Component, Need, Slot, State

if TYPE_CHECKING:
    from models.data import Split, Statistics
    from models.learners.learner import Model
    from models.recipe import Recipe

Decision = Literal["as_before", "shifted", "anew"]


class Scores(NamedTuple):
    """What a model says of n rows: log-probabilities [n, C], and the scores [n, C] whose largest is the decision.

    Of labels: the log-probability of each [n, L], and scores [n, L] that are above 0 where the label is decided. Of a
    number: it, standardized, twice [n, 1].

    They are apart so that a rule for deciding (a threshold at the prior) leaves the probabilities calibrated, and a
    calibration of the probabilities leaves the decisions balanced. `members` are the log-probabilities [M, n, C] of the
    M models that the predictor averages; adjusters hand them on as they are. None: there is one model.
    """

    log_probabilities: Tensor
    decision: Tensor
    members: Tensor | None = None

    @property
    def member_decisions(self) -> Tensor:
        """What each model would decide by [M, n, C]: its log-probabilities, moved as the decision of all has been moved."""
        if self.members is None:
            return self.decision[None]
        mean = torch.logsumexp(self.members, 0) - math.log(len(self.members))
        return self.members + (self.decision - mean)


@dataclass(frozen=True)
class Adjuster(Component):
    """Acts on a trained model's scores; fitted on calibration rows only.

    `decides` says what becomes of the decision that comes in: it stays as before, is shifted, or is made anew from the
    probabilities. `calibrates` says whether the probabilities are fitted to the rows, `restores_prior` whether to the class
    frequencies as well.
    """

    slot: ClassVar[Slot] = "adjust"
    decides: ClassVar[Decision] = "as_before"
    calibrates: ClassVar[bool] = False
    restores_prior: ClassVar[bool] = False

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """Scores of the calibration rows and the counts of the training rows -> the state to apply, as tensors.

        `labels` are the true classes [n]; of labels the indicators [n, L], of a number it, standardized [n, 1].
        """
        return {}

    @abstractmethod
    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores and the fitted state -> adjusted scores."""


class TrainedNet(NamedTuple):
    """A trained net as the methods that change its weights see it.

    `head` is the name of the head that made the classifier (None: a linear layer), `classifier` its tensors by name
    (`weight` [C, H], `bias` [C] of a linear layer), `features` gives the features [n, H] of a split's rows.
    """

    head: str | None
    classifier: State
    features: Callable[[Split], Tensor]


@dataclass(frozen=True)
class WeightAdjuster(Adjuster):
    """Acts on the weights of a trained net, once, before anything is fitted to its scores.

    The learner that trained the net calls it, with the training rows: what it returns is the model from then on, so
    the predictor that holds the model needs to know nothing of it. `linear_only` says whether it needs the weights of a
    linear classifier, `replaces_classifier` whether what it leaves is another kind.
    """

    linear_only: ClassVar[bool] = False
    replaces_classifier: ClassVar[bool] = False
    needs: ClassVar[frozenset[Need]] = frozenset({"net"})

    def objection(self, recipe: Recipe) -> str | None:
        """A linear classifier must be there where it is needed."""
        return needs_linear_classifier(recipe) if self.linear_only else None

    @abstractmethod
    def reweigh(
        self, net: TrainedNet, train: Split, statistics: Statistics, generator: torch.Generator
    ) -> tuple[str | None, State]:
        """The trained net and the training rows -> the head and the classifier's tensors to use instead."""

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores stay: they come from the changed weights already."""
        return scores


@dataclass(frozen=True)
class ModelAdjuster(Adjuster):
    """Puts another model in the place of a trained one, once, before anything is fitted to its scores.

    For what acts on a model's inputs, or on its way through them. The learner that trained the model calls it, with the
    training rows, after the methods that change weights: what it returns is the model from then on.
    """

    @abstractmethod
    def replaced(self, model: Model, train: Split, statistics: Statistics, generator: torch.Generator) -> Model:
        """The trained model and the training rows -> the model to use instead."""

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores stay: they come from the other model already."""
        return scores


def needs_linear_classifier(recipe: Recipe) -> str | None:
    """An objection of methods that change the weights of a linear classifier, where the recipe's head makes another."""
    if recipe.head is None or recipe.head.linear:
        return None
    return f"it needs a linear classifier, and head '{recipe.head.name}' makes another"
