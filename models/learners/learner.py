"""What a learner is: it trains a recipe for several members and gives models that all kinds of predictor can hold."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal, NamedTuple

from torch import Tensor

from models.balancing.component import Range
from models.data import Split
from models.learners.workers import Workers
from models.recipe import Recipe


@dataclass(frozen=True)
class Member:
    """One configuration: hyperparameters by key (`loss.gamma`, `learning_rate`) and the seed of all its randomness."""

    values: Mapping[str, Any]
    seed: int


@dataclass(frozen=True)
class Plan:
    """What all members of a run share. `budget` counts epochs of a net, boosting rounds of trees.

    `together` is how many members may train as one program where memory is short; None: all. `over` is asked between
    two steps whether the time is up: an epoch under way then ends where it is. `workers` are the processes that train
    together, where this one is not alone. `champion` are the models that a recipe may start from, of one architecture.
    `recorded` lets a GPU replay a population's step that was recorded once, in the place of launching all that it consists of.
    A net trains `to_the_end` where its last epoch is kept, whatever validation rows say of it.

    A net pauses after the epoch `until`: its members are judged as they stand, and `on_pause` is given what a later call
    with it as `resume` goes on with. `kept` says by epoch which members, by position, go on from there.
    """

    budget: int
    batch_size: int = 512
    patience: int = 5
    hidden: tuple[int, ...] = (256, 256)
    device: str = "cpu"
    together: int | None = None
    over: Callable[[], bool] | None = None
    workers: Workers | None = None
    champion: tuple[Model, ...] = ()
    recorded: bool = True
    to_the_end: bool = False
    until: int | None = None
    kept: Mapping[int, tuple[int, ...]] = field(default_factory=dict)
    on_pause: Callable[[Checkpoint], None] | None = None


class Checkpoint(NamedTuple):
    """A run's whole state between two epochs: tensors by name, and numbers as JSON."""

    tensors: dict[str, Tensor]
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Input:
    """What the rows look like to a model: numeric columns, cardinality of each categorical one; or an image's shape."""

    numeric: int
    cardinalities: tuple[int, ...] = ()
    image: tuple[int, int, int] | None = None
    mean: tuple[float, ...] = ()
    deviation: tuple[float, ...] = ()


class Model(ABC):
    """A trained model, independent of how it was trained."""

    kind: ClassVar[str]

    @abstractmethod
    def logits(self, split: Split) -> Tensor:
        """Rows of a split -> logits [n, O] float32, on the split's device.

        Softmax gives the probabilities of classes, the logistic function those of labels; a number is standardized.
        """

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Everything learned, by name."""

    @abstractmethod
    def architecture(self) -> dict[str, Any]:
        """Everything else that is needed to rebuild it, as JSON."""

    @classmethod
    @abstractmethod
    def rebuild(cls, architecture: Mapping[str, Any], tensors: Mapping[str, Tensor]) -> Model:
        """The inverse of `tensors` and `architecture`."""


@dataclass
class Outcome:
    """What became of one member: its best model, or why it failed. `history` is the validation loss by epoch.

    `stopped` says that it was asked to end before its time; `note` is what a user should hear although no harm was done.
    """

    model: Model | None
    error: str | None = None
    budget_used: int = 0
    history: list[float] = field(default_factory=list)
    stopped: bool = False
    note: str | None = None


class TimeIsUp(Exception):
    """Raised by whoever is told of an epoch's end: training is to end here, with the best models so far."""


OnEpoch = Callable[[int, Callable[[], Checkpoint]], None]
"""Called after each epoch (or boosting round) with the budget used, and a function that makes a checkpoint.

It may raise TimeIsUp.
"""


class Learner(ABC):
    """Trains recipes. `accelerated` says whether it can use an accelerator, `data_parallel` whether several processes.

    `counts_in` is what a budget of it is counted in: passes over the rows, or rounds of boosting. `pauses` says whether it
    can stop after a part of its budget and go on from there.
    """

    name: ClassVar[str]
    counts_in: ClassVar[Literal["epochs", "iterations"]] = "epochs"
    accelerated: ClassVar[bool] = True
    data_parallel: ClassVar[bool] = False
    pauses: ClassVar[bool] = False

    @abstractmethod
    def refuses(self, recipe: Recipe, image: bool) -> str | None:
        """Why this learner cannot train the recipe on such data, as a clause; None if it can."""

    @abstractmethod
    def space(self) -> dict[str, Range]:
        """The learner's own hyperparameters; their keys have no dot."""

    def largest_population(self, recipe: Recipe, train: Split, inputs: Input, plan: Plan) -> int:
        """How many members can train as one program, by the memory that each takes; 1 if they train one by one."""
        return 1

    def cannot_start(
        self, recipe: Recipe, models: Sequence[Model], inputs: Input, outputs: int, plan: Plan
    ) -> str | None:
        """Why this learner cannot train the recipe from the weights of these models, as a clause; None if it can."""
        return f"{self.name} has no weights to start from"

    @abstractmethod
    def fit(
        self,
        recipe: Recipe,
        members: list[Member],
        train: Split,
        valid: Split,
        inputs: Input,
        plan: Plan,
        resume: Checkpoint | None = None,
        on_epoch: OnEpoch | None = None,
    ) -> list[Outcome]:
        """Train every member for the whole budget on `train`, stopping by `valid`; an outcome per member, in order."""
