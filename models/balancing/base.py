"""What every balancing method has, whatever its slot: a name, hyperparameters with ranges, tasks, needs, a source."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Literal, Self

from torch import Tensor

from models.balancing.claim import Claim
from models.errors import InputError, nearest
from models.schema import CLASSES, Task

if TYPE_CHECKING:
    from models.recipe import Recipe

Slot = Literal[
    "resample",
    "sample",
    "mix",
    "head",
    "start",
    "loss",
    "weigh",
    "regularize",
    "optimize",
    "schedule",
    "grow",
    "adjust",
]
SLOTS: tuple[Slot, ...] = (
    "resample", "sample", "mix", "head", "start", "loss", "weigh", "regularize", "optimize", "schedule", "grow",
    "adjust",
)  # fmt: skip
Need = Literal["groups", "unlabelled", "ordered_classes", "table", "image", "net", "trees", "champion"]
CLASSIFICATION = CLASSES
EVERY_TASK: frozenset[Task] = frozenset({"binary", "multiclass", "ordinal", "multilabel", "regression"})
State = dict[str, Tensor]
Correction = Literal["no", "partly", "wholly"]


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
        if isinstance(self.default, str):
            known = self.choices or (self.default,)
            if value not in known:
                raise InputError(f"{where} = {value!r} is not one of {', '.join(map(str, known))}.")
            return
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise InputError(f"{where} = {value!r} is not a number in [{shown(self.minimum)}, {shown(self.maximum)}].")
        if not (math.isfinite(value) and self.minimum <= value <= self.maximum):
            raise InputError(f"{where} = {value} is outside [{shown(self.minimum)}, {shown(self.maximum)}].")


def shown(number: object) -> str:
    """A number as short as can be without becoming another one: 0.9999999 is not 1."""
    if not isinstance(number, float):
        return str(number)
    short = f"{number:g}"
    return short if float(short) == number else repr(number)


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
class Component(ABC):
    """Base of every method.

    `tasks` are the kinds of target that it serves, `needs` what it cannot do without ('net': a model with weights and
    features, which trees are not; 'trees': an ensemble of them), `implies` the partners that it brings unless the recipe
    names others in those slots, `also` further papers that it serves, `batched` whether a population can run it as one
    program, `claim` what it is said to be good for (None: what is usually said of methods that need what it needs).
    `corrects_prior` says how far it takes the class frequencies of the training rows out of the model's probabilities, or
    out of the decision: 'partly' where a hyperparameter says how far. `cost` says in a sentence what the paper's method
    makes a step or an epoch do beyond plain training, such as a second pass; '' where that is nothing worth a word.
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
    claim: ClassVar[Claim | None] = None
    corrects_prior: ClassVar[Correction] = "no"
    cost: ClassVar[str] = ""
    promises: ClassVar[Mapping[str, str]] = {}
    """What a class must define that sets a flag, by flag: the loop calls it there, and what it inherits does nothing."""

    def __init_subclass__(cls, **arguments: Any) -> None:
        """Refuse, where the class is defined, one that sets a flag and lacks what the flag promises."""
        super().__init_subclass__(**arguments)
        for flag, hook in cls.promises.items():
            *defining, _ = (base for base in cls.__mro__ if hook in vars(base))
            if getattr(cls, flag) and not defining:
                raise TypeError(
                    f"{cls.slot} '{getattr(cls, 'name', cls.__name__)}' breaks the rule '{flag} promises {hook}': it sets "
                    f"`{flag}` and does not define `{hook}`."
                )

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

    def objection(self, recipe: Recipe) -> str | None:
        """Why it cannot act in this recipe, as a clause that names the other method; None if it can."""
        return None
