"""The contract of the methods that say how an ensemble of trees is grown, in the place of plain boosting."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.balancing.base import Component, Need, Slot

if TYPE_CHECKING:
    from sklearn.tree import DecisionTreeClassifier

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Judges(NamedTuple):
    """Validation rows: `coded` [v, K + F] as boosting sees them, labels and groups [v], as in `Ground`."""

    coded: Floats
    labels: Ints
    groups: Ints


class Ground(NamedTuple):
    """What an ensemble grows on: n training rows whose classes are numbered 0 … C - 1 without gaps.

    `columns` [n, D] float32 for decision trees, categories one by one; `coded` [n, K + F] float64 for `boosting`, which
    makes an unfitted boosted ensemble of `trees` rounds at most that takes weights; labels and groups [n] int64, weights
    [n] float64 with mean 1; `trees` is the budget. `valid` are the validation rows, by which what was grown may be chosen.
    """

    columns: NDArray[np.float32]
    coded: Floats
    labels: Ints
    groups: Ints
    weights: Floats
    trees: int
    seed: int
    boosting: Callable[[], Any]
    valid: Judges

    @property
    def classes(self) -> int:
        """Number of classes among the rows."""
        return int(self.labels.max()) + 1


class Votes(NamedTuple):
    """A sum of fitted decision trees: what the node in which a row ends adds for every class, by tree [nodes, C].

    `link` turns the sum into probabilities: 'share' where it is a distribution already, else 'softmax'.
    """

    trees: tuple[DecisionTreeClassifier, ...]
    values: tuple[Floats, ...]
    link: Literal["share", "softmax"]


class Grown(NamedTuple):
    """A part of the ensemble and its share of it: votes, a fitted `boosting`, or a class that is always decided for."""

    part: Votes | Any
    share: float = 1.0


@dataclass(frozen=True)
class Grower(Component):
    """Says how the learner `trees` grows its ensemble; nets refuse it."""

    slot: ClassVar[Slot] = "grow"
    needs: ClassVar[frozenset[Need]] = frozenset({"trees"})
    averages: ClassVar[bool] = False
    """Whether what it grows is one forest, whose leaves are class shares that are averaged."""

    @abstractmethod
    def grow(self, ground: Ground) -> tuple[Grown, ...]:
        """Training rows -> the parts of the ensemble, whose shares sum to 1; their probabilities are averaged by them."""
