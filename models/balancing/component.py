"""The contract that every balancing method is written against: its slot, its hyperparameters, its needs, its source.

A method is a pure function that reads like its paper's formula, and a thin frozen dataclass below one of the slot
classes here that calls it. Methods are written for one model and run for many: hyperparameters may arrive as tensors,
state is explicit, and nothing branches on a tensor's value, so that `torch.func.vmap` can run a population of
configurations as one program. Randomness is drawn outside, by `draw`, and handed in.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, NamedTuple, Self

from torch import Tensor, nn

from models.errors import InputError, nearest

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from models.data import Batch, Statistics
    from models.schema import Schema

Slot = Literal["resample", "sample", "mix", "head", "loss", "weigh", "regularize", "optimize", "schedule", "adjust"]
SLOTS: tuple[Slot, ...] = (
    "resample", "sample", "mix", "head", "loss", "weigh", "regularize", "optimize", "schedule", "adjust",
)  # fmt: skip
Task = Literal["binary", "multiclass", "multilabel", "regression"]
Need = Literal["groups", "unlabelled", "ordered_classes", "table"]
CLASSIFICATION: frozenset[Task] = frozenset({"binary", "multiclass"})
State = dict[str, Tensor]


@dataclass(frozen=True)
class Source:
    """Where a method comes from: a paper's title, first authors, year and an identifier (arXiv, DOI)."""

    title: str
    authors: str = ""
    year: int | None = None
    id: str = ""


@dataclass(frozen=True)
class Range:
    """The valid and the searched values of one hyperparameter.

    A value is valid in [minimum, maximum]; the search draws from [low, high] (on a log scale if `log`) or from
    `choices`. Without `low` and `choices` it is not searched.
    """

    default: Any
    low: float | None = None
    high: float | None = None
    log: bool = False
    choices: tuple[Any, ...] | None = None
    minimum: float = float("-inf")
    maximum: float = float("inf")

    @property
    def searched(self) -> bool:
        """Whether the search varies it."""
        return self.low is not None or self.choices is not None

    def check(self, value: Any, where: str) -> None:
        """Raise InputError, naming value and range, unless `value` is valid."""
        if self.choices is not None and isinstance(value, str):
            if value not in self.choices:
                raise InputError(f"{where} = {value!r} is not one of {', '.join(map(str, self.choices))}.")
            return
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{where} = {value!r} is not a number.")
        if not self.minimum <= value <= self.maximum:
            raise InputError(f"{where} = {value} is outside [{self.minimum:g}, {self.maximum:g}].")


def hyper(
    default: Any,
    low: float | None = None,
    high: float | None = None,
    *,
    log: bool = False,
    choices: tuple[Any, ...] | None = None,
    minimum: float = float("-inf"),
    maximum: float = float("inf"),
) -> Any:
    """A hyperparameter: default, search range and valid range declared together."""
    return dataclasses.field(
        default=default, metadata={"range": Range(default, low, high, log, choices, minimum, maximum)}
    )


@dataclass(frozen=True)
class Component:
    """Base of every method.

    `tasks` are the kinds of target that it serves, `needs` what it cannot do without, `implies` the partners that it
    brings unless the recipe names others in those slots, `also` further papers that it serves, `batched` whether a
    population can run it as one program.
    """

    name: ClassVar[str]
    slot: ClassVar[Slot]
    formula: ClassVar[str]
    source: ClassVar[Source]
    tasks: ClassVar[frozenset[Task]] = CLASSIFICATION
    needs: ClassVar[frozenset[Need]] = frozenset()
    also: ClassVar[tuple[Source, ...]] = ()
    implies: ClassVar[Mapping[str, str]] = {}
    batched: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the hyperparameters when the recipe is built; tensors are values that were checked before."""
        for name, allowed in self.hyperparameters().items():
            value = getattr(self, name)
            if not isinstance(value, Tensor):
                allowed.check(value, f"{self.slot} '{self.name}': {name}")

    @classmethod
    def hyperparameters(cls) -> dict[str, Range]:
        """Every hyperparameter with its default and ranges, in the order of declaration."""
        return {f.name: f.metadata["range"] for f in dataclasses.fields(cls) if "range" in f.metadata}

    @classmethod
    def build(cls, values: Mapping[str, Any]) -> Self:
        """An instance with these hyperparameters; an unknown one names the nearest."""
        known = cls.hyperparameters()
        for name in values:
            if name not in known:
                raise InputError(f"{cls.slot} '{cls.name}': no hyperparameter '{name}'. {nearest(name, known)}")
        return cls(**values)

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """The same method with some hyperparameters replaced, by numbers or by tensors."""
        return dataclasses.replace(self, **values) if values else self


@dataclass(frozen=True)
class Resampler(Component):
    """Acts on the training table before training: rows in, rows out, with the provenance of each row."""

    slot: ClassVar[Slot] = "resample"

    def resample(self, rows: pd.DataFrame, schema: Schema, strategy: Any, neighbours: int, seed: int) -> pd.DataFrame:
        """Training rows -> balanced rows with `row_id` (source or parent), `neighbour_row_id`, `synthetic`, `weight`."""
        raise NotImplementedError


@dataclass(frozen=True)
class Sampler(Component):
    """Decides which rows form a batch."""

    slot: ClassVar[Slot] = "sample"

    def probabilities(self, labels: Tensor, groups: Tensor, statistics: Statistics, progress: float) -> Tensor:
        """Labels and groups of all rows [n] -> the probability of drawing each row [n], summing to 1."""
        raise NotImplementedError


@dataclass(frozen=True)
class Mixer(Component):
    """Changes a batch's inputs and targets."""

    slot: ClassVar[Slot] = "mix"

    def draw(self, generator: torch.Generator, steps: int, batch: int) -> dict[str, Tensor]:
        """The random numbers of `steps` batches, each tensor [steps, …], independent of any hyperparameter's type."""
        raise NotImplementedError

    def mix(self, batch: Batch, draws: Mapping[str, Tensor], progress: Tensor) -> Batch:
        """One batch and its draws -> the mixed batch with soft targets [B, C]."""
        raise NotImplementedError


@dataclass(frozen=True)
class Head(Component):
    """Makes the classifier that turns features into logits."""

    slot: ClassVar[Slot] = "head"

    def classifier(self, features: int, classes: int) -> nn.Module:
        """A module [B, features] -> [B, classes]."""
        raise NotImplementedError


@dataclass(frozen=True)
class Loss(Component):
    """Scores logits against targets, row by row; the loop owns the reduction."""

    slot: ClassVar[Slot] = "loss"

    def init(self, statistics: Statistics) -> State:
        """Constants made from the counts of the training rows, e.g. weights or margins per class."""
        return {}

    def losses(self, state: State, logits: Tensor, batch: Batch, progress: Tensor) -> Tensor:
        """Logits [B, C] and a batch -> loss per row [B]."""
        raise NotImplementedError

    def row_weights(self, statistics: Statistics, labels: Tensor, groups: Tensor) -> Tensor | None:
        """Weights [n] that make plain cross-entropy equal to this loss, where such weights exist; else None."""
        return None


@dataclass(frozen=True)
class Weigher(Component):
    """Turns per-row losses into weights; keeps its own state."""

    slot: ClassVar[Slot] = "weigh"

    def init(self, statistics: Statistics) -> State:
        """The state before the first batch."""
        return {}

    def weigh(self, state: State, losses: Tensor, batch: Batch, progress: Tensor) -> tuple[Tensor, State]:
        """Losses [B] (detached) and the state -> weights [B] and the next state."""
        raise NotImplementedError

    def row_weights(self, statistics: Statistics, labels: Tensor, groups: Tensor) -> Tensor | None:
        """Weights [n] that do not depend on the model, where the method has such; else None."""
        return None


@dataclass(frozen=True)
class Regularizer(Component):
    """Adds a penalty on features, predictions or parameters; may own parameters that the loop trains with the net."""

    slot: ClassVar[Slot] = "regularize"

    def init(self, statistics: Statistics, features: int, generator: torch.Generator) -> tuple[State, State]:
        """Own trainable parameters, and the state before the first batch."""
        return {}, {}

    def penalty(
        self, parameters: State, state: State, features: Tensor, logits: Tensor, batch: Batch, progress: Tensor
    ) -> tuple[Tensor, State]:
        """Features [B, H], logits [B, C], a batch -> a scalar to add to the loss, and the next state."""
        raise NotImplementedError


@dataclass(frozen=True)
class GradientTransform(Component):
    """Acts on the gradients of one model before the optimizer's step, or replaces the step's direction."""

    slot: ClassVar[Slot] = "optimize"

    def init(self, parameters: State) -> State:
        """The state before the first step."""
        return {}

    def transform(self, state: State, gradients: State, parameters: State, progress: Tensor) -> tuple[State, State]:
        """Gradients by parameter name -> gradients, and the next state."""
        raise NotImplementedError


class Phase(NamedTuple):
    """One stage of training: its share of the epochs, what it switches in which slot, and what it trains.

    `switch` maps a slot to the component that acts there in this phase (None: nothing acts). `trains` is 'all' or
    'classifier'; `fresh_classifier` draws the classifier's weights anew when the phase begins.
    """

    share: float
    switch: Mapping[str, Component | None] = {}
    trains: Literal["all", "classifier"] = "all"
    fresh_classifier: bool = False


@dataclass(frozen=True)
class Schedule(Component):
    """Says what acts when, as data: phases whose shares sum to 1. All members of a population share them."""

    slot: ClassVar[Slot] = "schedule"

    def phases(self) -> tuple[Phase, ...]:
        """The phases in order."""
        raise NotImplementedError


class Scores(NamedTuple):
    """What a model says of n rows: log-probabilities [n, C], and the scores [n, C] whose largest is the decision.

    They are apart so that a rule for deciding (a threshold at the prior) leaves the probabilities calibrated, and a
    calibration of the probabilities leaves the decisions balanced.
    """

    log_probabilities: Tensor
    decision: Tensor


@dataclass(frozen=True)
class Adjuster(Component):
    """Acts on a trained model's scores; fitted on calibration rows only."""

    slot: ClassVar[Slot] = "adjust"

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """Scores of the calibration rows and the counts of the training rows -> the state to apply, as tensors."""
        return {}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores and the fitted state -> adjusted scores."""
        raise NotImplementedError
