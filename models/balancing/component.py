"""The contract that every balancing method is written against: its slot, its hyperparameters, its needs, its source.

A method is a pure function that reads like its paper's formula, and a thin frozen dataclass below one of the slot
classes here that calls it. Methods are written for one model and run for many: hyperparameters may arrive as tensors,
state is explicit, and nothing branches on a tensor's value, so that `torch.func.vmap` can run a population of
configurations as one program. Randomness is drawn outside, by `draw`, and handed in.

A method that acts on every batch keeps what it must remember in three places, which reach it merged into one `state`:
its own parameters, which the loop trains with the net; the state, which the method itself moves on; and an entry per
training row, which the loop gathers for the batch's rows and writes back. What it draws for the batch is in there too.

A method that must see all rows at times (it clusters them, or looks where the net fails) declares `surveys`: before
every epoch it is shown a `View` of its member's training and returns the next state.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple

import torch
from torch import Tensor, nn

from models.balancing.adjusting import (
    Adjuster,
    Decision,
    ModelAdjuster,
    Scores,
    TrainedNet,
    WeightAdjuster,
    needs_linear_classifier,
)
from models.balancing.base import (
    CLASSIFICATION,
    EVERY_TASK,
    SLOTS,
    Component,
    Correction,
    Need,
    Range,
    Slot,
    Source,
    State,
    hyper,
)
from models.balancing.claim import Claim
from models.balancing.stages import Phase, Schedule
from models.schema import Task

if TYPE_CHECKING:
    import pandas as pd

    from models.data import Batch, Statistics
    from models.schema import Schema

__all__ = [
    "CLASSIFICATION", "EVERY_TASK", "SLOTS", "Adjuster", "Claim", "Component", "Correction", "Decision",
    "GradientTransform", "Head", "Learning", "Loss", "Mixer", "ModelAdjuster", "Need", "Phase", "Range", "Regularizer", "Resampler",
    "Sampler", "Schedule", "Scores", "Seen", "Slot", "Source", "State", "Task", "TrainedNet", "Update", "View",
    "Weigher", "WeightAdjuster", "hyper", "needs_linear_classifier",
]  # fmt: skip


class Seen(NamedTuple):
    """What one member's net makes of rows: features [n, H] and logits [n, C]; with their labels, groups and weights [n]."""

    features: Tensor
    logits: Tensor
    labels: Tensor
    groups: Tensor
    weights: Tensor


class View(NamedTuple):
    """One member's training before an epoch, for methods that survey it.

    `train` and `valid` pass all rows of that part through the net when they are called, without mixing or gradients.
    """

    parameters: State
    train: Callable[[], Seen]
    valid: Callable[[], Seen]
    statistics: Statistics
    generator: torch.Generator
    progress: float


@dataclass(frozen=True)
class Surveying(Component):
    """Base of the methods that may look at the whole of training before an epoch."""

    surveys: ClassVar[bool] = False
    promises: ClassVar[Mapping[str, str]] = {"surveys": "survey"}

    def survey(self, state: State, view: View) -> State:
        """The state for the epoch; called before every epoch where `surveys` is set.

        Each tensor keeps the shape that it had, but that one number per validation row may take the place of none the first time.
        """
        return state


@dataclass(frozen=True)
class Resampler(Component):
    """Acts on the training table before training: rows in, rows out, with the provenance of each row.

    `synthesizes`: some of the rows out are made, and say so. `rehearses`: it is handed rows of the champion's memory as well,
    which say so in the column `rehearsed`, and balances nothing.
    """

    slot: ClassVar[Slot] = "resample"
    synthesizes: ClassVar[bool] = False
    rehearses: ClassVar[bool] = False

    @abstractmethod
    def resample(self, rows: pd.DataFrame, schema: Schema, strategy: Any, neighbours: int, seed: int) -> pd.DataFrame:
        """Training rows -> balanced rows with `row_id` (source or parent), `neighbour_row_id`, `synthetic`, `weight`."""


@dataclass(frozen=True)
class Sampler(Surveying):
    """Decides which rows form a batch."""

    slot: ClassVar[Slot] = "sample"

    def init(self, labels: Tensor, groups: Tensor, statistics: Statistics, generator: torch.Generator) -> State:
        """What it remembers of the training rows, e.g. a random order [n]; drawn once, when it begins to act."""
        return {}

    @abstractmethod
    def probabilities(
        self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float
    ) -> Tensor:
        """Labels and groups of all rows [n] -> the probability of drawing each row [n], summing to 1."""

    def order(self, state: State, steps: int, size: int, generator: torch.Generator) -> Tensor | None:
        """The rows of an epoch's batches [steps, size], where they are not drawn one by one; None: by `probabilities`."""
        return None

    def judged(self, state: State, labels: Tensor, groups: Tensor, statistics: Statistics) -> Tensor | None:
        """Weights of validation rows [n] that ask for what training ends with, up to a factor; None to judge rows alike."""
        return self.probabilities({}, labels, groups, statistics, 1.0)

    def judges_anew(self, before: State, after: State) -> bool:
        """Whether by the state after a survey validation rows count otherwise than before: earlier epochs then count no more."""
        return False

    def settled(self, state: State) -> bool:
        """Whether rows are drawn as they will be to the end; until then nobody has waited too long for a better epoch."""
        return True


@dataclass(frozen=True)
class Mixer(Surveying):
    """Changes a batch's inputs and targets. With `at` 'features' it acts on what the classifier gets, as `inputs`."""

    slot: ClassVar[Slot] = "mix"
    at: ClassVar[Literal["inputs", "features"]] = "inputs"

    def init(self, statistics: Statistics) -> State:
        """Constants made from the counts of the training rows."""
        return {}

    def partners(self) -> Sampler | None:
        """How the rows of a second batch are drawn, to be mixed in; None: the batch is mixed with itself."""
        return None

    @abstractmethod
    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """The random numbers of `steps` batches, each tensor [steps, …], independent of any hyperparameter's type."""

    @abstractmethod
    def mix(
        self, state: State, batch: Batch, partner: Batch | None, draws: Mapping[str, Tensor], progress: Tensor
    ) -> Batch:
        """One batch, the second one if there is one, and the draws -> the mixed batch with soft targets [B, O]."""


@dataclass(frozen=True)
class Head(Component):
    """Makes the classifier that turns features into logits, and may replace the net's activation.

    A parameter of the classifier with `requires_grad` off is trained only by a phase that names it.
    """

    slot: ClassVar[Slot] = "head"
    linear: ClassVar[bool] = False
    """Whether the classifier is a linear layer, with `weight` [C, H] and `bias` [C]."""

    def classifier(self, features: int, classes: int) -> nn.Module:
        """A module [B, features] -> [B, classes]; `classes` is the number of outputs, whatever the task."""
        return nn.Linear(features, classes)

    def activation(self) -> nn.Module | None:
        """A new module in the place of one of the net's ReLUs; None leaves them."""
        return None


@dataclass(frozen=True)
class Learning(Surveying):
    """Base of the methods that act on every batch, and may own parameters."""

    def parameters(self, statistics: Statistics, features: int, generator: torch.Generator) -> State:
        """Own parameters, trained with the net; `features` is the width of the net's features."""
        return {}

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """The random numbers of `steps` batches, each tensor [steps, …]; a batch's own arrive in its `state`.

        Validation rows are judged with the numbers of one generator, the same after every epoch.
        """
        return {}


@dataclass(frozen=True)
class Loss(Learning):
    """Scores logits against targets, row by row; the loop owns the reduction.

    A loss that is defined on a set of rows and not as a mean over them says so by `set_level`: it gives one number,
    and counts each row by `batch.weights` itself. Nothing can weigh its rows, so `weigh` is refused beside it.
    """

    slot: ClassVar[Slot] = "loss"
    set_level: ClassVar[bool] = False
    ranks: ClassVar[bool] = False
    """Whether it learns the order of the rows alone: where in the scores a class ends is left to chance."""

    def init(self, statistics: Statistics) -> State:
        """Constants made from the counts of the training rows, e.g. weights or margins per class."""
        return {}

    @abstractmethod
    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, O] and a batch -> loss per row [B]; of a set-level loss, one number []."""

    def advance(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> State:
        """The state for the next batch, from this one's logits (detached)."""
        return state

    def row_weights(self, statistics: Statistics, labels: Tensor, groups: Tensor) -> Tensor | None:
        """Weights [n] that make the plain loss equal to this one, where such weights exist; else None."""
        return None


@dataclass(frozen=True)
class Weigher(Learning):
    """Turns per-row losses into weights; keeps its own state, and may remember something of every training row."""

    slot: ClassVar[Slot] = "weigh"

    def init(self, statistics: Statistics) -> State:
        """The state before the first batch."""
        return {}

    def init_rows(self, statistics: Statistics) -> State:
        """What it remembers of each training row before the first batch, each tensor [n, …]."""
        return {}

    @abstractmethod
    def weigh(self, state: State, losses: Tensor, batch: Batch, progress: Tensor) -> tuple[Tensor, State]:
        """Losses [B] (detached) and the state -> weights [B] and the next state."""

    def row_weights(self, statistics: Statistics, labels: Tensor, groups: Tensor) -> Tensor | None:
        """Weights [n] that do not depend on the model, where the method has such; else None."""
        return None


@dataclass(frozen=True)
class Regularizer(Learning):
    """Adds a penalty on features, predictions or parameters."""

    slot: ClassVar[Slot] = "regularize"

    def init(self, statistics: Statistics, features: int) -> State:
        """The state before the first batch."""
        return {}

    @abstractmethod
    def penalty(
        self, state: State, features: Tensor, logits: Tensor, batch: Batch, progress: Tensor
    ) -> tuple[Tensor, State]:
        """Features [B, H], logits [B, O], a batch -> a scalar to add to the loss, and the next state."""


class Update(NamedTuple):
    """What a gradient transform makes of one step.

    Of each parameter by name either a gradient, which AdamW takes on, or a direction, along which the learning rate
    goes as it is; weight decay acts on both. `rates` are factors [] on the learning rate of parameters; None: 1.
    """

    gradients: State
    directions: State
    state: State
    rates: State | None = None


@dataclass(frozen=True)
class GradientTransform(Surveying):
    """Acts on the gradients of one model before the optimizer's step, or gives the step's direction itself.

    With `per_class` the gradients come one per class, [C, …]: of the mean loss of the batch's rows of that class, zero
    where there are none (penalties of `regularize` are added afterwards). With `looks_ahead` they are taken a second
    time, on the same batch, where `look` says. With `constrains` the step is followed by `constrain`.
    """

    slot: ClassVar[Slot] = "optimize"
    per_class: ClassVar[bool] = False
    looks_ahead: ClassVar[bool] = False
    constrains: ClassVar[bool] = False
    promises: ClassVar[Mapping[str, str]] = {
        **Surveying.promises, "looks_ahead": "look", "constrains": "constrain",
    }  # fmt: skip

    def init(self, parameters: State) -> State:
        """The state before the first step."""
        return {}

    def look(self, gradients: State, parameters: State) -> State:
        """Gradients and parameters by name -> the parameters at which the step's gradients are taken, where `looks_ahead` is set."""
        return parameters

    @abstractmethod
    def transform(self, state: State, gradients: State, parameters: State, progress: Tensor) -> Update:
        """Gradients by parameter name -> what to step along, and the next state."""

    def constrain(self, state: State, parameters: State) -> State:
        """Parameters after the step -> those that are to be others, by name, where `constrains` is set."""
        return {}
