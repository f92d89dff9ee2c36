"""The contract of the methods that divide training into stages: what acts in which, and which rows it trains on."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

from torch import Tensor

from models.balancing.base import Component, Slot

if TYPE_CHECKING:
    from models.balancing.pretext import Pretext
    from models.data import Statistics

Rows = Literal["labelled", "real", "synthetic", "all"]
"""Rows with a label, those of them that were observed, those that were made; or all, the ones without a label among them."""

Guess = Callable[[Tensor, "Statistics"], tuple[Tensor, Tensor]]
"""A model's probabilities of unlabelled rows [n, C] and the counts of labelled ones -> labels [n] int64, weights [n]."""


class Phase(NamedTuple):
    """One stage of training: its share of the epochs, what it switches in which slot, and what it trains.

    `switch` maps a slot to the component that acts there in this phase (None: nothing acts; in a slot that takes
    several, a tuple). `trains` is 'all', or where the names of the trained parameters begin: 'classifier' leaves the
    representation as it is. `fresh_classifier` draws the classifier anew when the phase begins; `restart` begins a
    training of its own there: the learning rate rises and falls over the epochs until the next restart or the end,
    and the optimizer forgets its moments.

    `rows` says which rows it trains on. `guess` labels the unlabelled ones when the phase begins, each member's by its
    own best model so far; a row of weight 0 is left out. A `pretext` takes the place of loss, mixing, weights and
    penalties: such a phase is not judged on validation rows, and what it has learned last goes on.
    """

    share: float
    switch: Mapping[str, Any] = {}
    trains: str = "all"
    fresh_classifier: bool = False
    restart: bool = False
    rows: Rows = "labelled"
    guess: Guess | None = None
    pretext: Pretext | None = None


@dataclass(frozen=True)
class Schedule(Component):
    """Says what acts when, as data: phases whose shares sum to 1. All members of a population share them.

    `reads_unlabelled`: some phase learns from rows without a label where there are any.
    """

    slot: ClassVar[Slot] = "schedule"
    reads_unlabelled: ClassVar[bool] = False

    @abstractmethod
    def phases(self) -> tuple[Phase, ...]:
        """The phases in order."""
