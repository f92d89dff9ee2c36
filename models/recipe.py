"""A recipe: which method acts in which slot; parsed from its name or composition, validated, and searched."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from models.balancing.component import (
    SLOTS,
    Adjuster,
    Component,
    GradientTransform,
    Head,
    Loss,
    Mixer,
    ModelAdjuster,
    Need,
    Phase,
    Range,
    Regularizer,
    Resampler,
    Sampler,
    Schedule,
    Slot,
    Task,
    Weigher,
)
from models.balancing.discovery import catalogue, component
from models.balancing.growing import Grower
from models.balancing.starting import Start
from models.errors import InputError, nearest
from models.partners import check_partners

if TYPE_CHECKING:
    from models.published import Published

SEVERAL: tuple[Slot, ...] = ("regularize", "adjust")
"""Slots that take several methods, applied in the order given."""

BASELINES = ("none", "prior_threshold")
"""Recipes that compete in every search: doing nothing, and moving only the threshold."""


@dataclass(frozen=True)
class Recipe:
    """One method per slot (several in `regularize` and `adjust`); empty slots do nothing, the loss is cross-entropy.

    `fixed` are the keys of the hyperparameters that are not searched, `learner` values of the learner's own that belong
    to the recipe, such as a strong weight decay.
    """

    name: str
    loss: Loss
    resample: Resampler | None = None
    sample: Sampler | None = None
    mix: Mixer | None = None
    head: Head | None = None
    start: Start | None = None
    weigh: Weigher | None = None
    regularize: tuple[Regularizer, ...] = ()
    optimize: GradientTransform | None = None
    schedule: Schedule | None = None
    grow: Grower | None = None
    adjust: tuple[Adjuster, ...] = ()
    fixed: frozenset[str] = frozenset()
    learner: tuple[tuple[str, float], ...] = ()

    def components(self) -> dict[str, Component]:
        """Every method by its key: the slot, or slot.name where a slot takes several."""
        found: dict[str, Component] = {}
        for slot in SLOTS:
            value = getattr(self, slot)
            if isinstance(value, tuple):
                found.update({f"{slot}.{c.name}": c for c in value})
            elif value is not None:
                found[slot] = value
        return found

    def space(self) -> dict[str, Range]:
        """The hyperparameters that the search varies, as key.hyperparameter -> range; those the user fixed are left out."""
        return {
            f"{key}.{name}": allowed
            for key, part in self.components().items()
            for name, allowed in part.hyperparameters().items()
            if allowed.searched and f"{key}.{name}" not in self.fixed
        }

    def with_values(self, values: Mapping[str, Any]) -> Recipe:
        """The recipe with some hyperparameters set, by the keys of `space`; other keys belong to the learner."""
        result = self
        for key, part in self.components().items():
            mine = {k.removeprefix(f"{key}."): v for k, v in values.items() if k.rpartition(".")[0] == key}
            if not mine:
                continue
            changed = part.with_values(mine)
            slot = part.slot
            if slot in SEVERAL:
                every = tuple(changed if c.name == part.name else c for c in getattr(result, slot))
                result = result.switched({slot: every})
            else:
                result = result.switched({slot: changed})
        return result

    def shared_values(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """Those of the values, by key, in which members of one population must agree.

        They are no numbers, or decide on phases and modules, which all members of a population share.
        """
        return {
            key: value
            for key, value in sorted(values.items())
            if isinstance(value, (str, bool)) or key.partition(".")[0] in ("schedule", "head")
        }

    def switched(self, methods: Mapping[str, Any]) -> Recipe:
        """The recipe with other methods (or None) in some slots, as a phase of a schedule asks for."""
        return replace(self, **methods)

    def in_training(self) -> tuple[Component, ...]:
        """The methods that a net alone can train with: all but those of the table, of trees, and of a trained model's scores."""
        plain = type(self.loss).name == "none"
        return tuple(
            c
            for c in self.components().values()
            if (c.slot not in ("resample", "grow", "adjust") or "net" in c.needs) and not (plain and c is self.loss)
        )

    @property
    def trained(self) -> Recipe:
        """What a learner trains, without a name: all but the methods that act on a trained model's scores alone.

        Recipes that are equal in this train the same model from the same values and seed. An adjustment that changes the
        weights or the model, or asks for rows without a label, is a part of training.
        """
        adjust = tuple(
            part for part in self.adjust if part.needs & {"net", "unlabelled"} or isinstance(part, ModelAdjuster)
        )
        after = tuple(f"adjust.{part.name}." for part in self.adjust if part not in adjust)
        return replace(self, name="", adjust=adjust, fixed=frozenset(k for k in self.fixed if not k.startswith(after)))

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The stages of the schedule; without one, a single phase."""
        return self.schedule.phases() if self.schedule is not None else (Phase(1.0),)

    def in_phase(self, phase: Phase) -> Recipe:
        """The recipe as it acts in one phase of its schedule."""
        return self.switched(phase.switch) if phase.switch else self

    @property
    def mixing(self) -> Mixer | None:
        """The method that mixes rows in some phase, the first if there are several."""
        return next((acting.mix for acting in map(self.in_phase, self.phases) if acting.mix is not None), None)

    def everything(self) -> tuple[Component, ...]:
        """Every method that acts at some time: the recipe's own, and those that its schedule switches on."""
        acting = {c.name: c for phase in self.phases for c in self.in_phase(phase).components().values()}
        pretexts = {phase.pretext.name: phase.pretext for phase in self.phases if phase.pretext is not None}
        return tuple({**{c.name: c for c in self.components().values()}, **acting, **pretexts}.values())

    @property
    def tasks(self) -> frozenset[Task]:
        """The kinds of target that every method serves."""
        return frozenset.intersection(*(c.tasks for c in self.everything()))

    @property
    def reads_unlabelled(self) -> bool:
        """Whether it learns from rows without a label where there are any."""
        return "unlabelled" in self.needs or (self.schedule is not None and self.schedule.reads_unlabelled)

    @property
    def reads_champion(self) -> bool:
        """Whether it learns from the champion: from its weights, its outputs or its rows."""
        return "champion" in self.needs

    @property
    def rehearses(self) -> bool:
        """Whether it trains on rows of the champion's memory."""
        return self.resample is not None and self.resample.rehearses

    @property
    def hears_champion(self) -> bool:
        """Whether the champion itself, and not its rows alone, has a say in what is learned."""
        return any("champion" in part.needs for part in self.everything() if part.slot != "resample")

    @property
    def needs(self) -> frozenset[Need]:
        """What some method cannot do without."""
        return frozenset().union(*(c.needs for c in self.everything()))

    @property
    def batched(self) -> bool:
        """Whether a population of this recipe can train as one program."""
        return all(c.batched for c in self.everything())

    def check(
        self, task: Task, groups: bool, image: bool, where: str, unlabelled: bool = True, champion: str = ""
    ) -> None:
        """Raise InputError unless every method serves this kind of target and finds what it needs.

        `champion` says why there is no champion to learn from, empty where there is one.
        """
        for part in self.everything():
            if task not in part.tasks:
                raise InputError(
                    f"{where}: '{part.name}' serves {', '.join(sorted(part.tasks))} targets, but the target is {task}. "
                    "Choose another method, or set target.kind."
                )
            if "groups" in part.needs and not groups:
                raise InputError(
                    f"{where}: '{part.name}' needs groups. Name a sensitive attribute in `sensitive`, or leave it out."
                )
            if "unlabelled" in part.needs and not unlabelled:
                raise InputError(
                    f"{where}: '{part.name}' learns from rows without a label, and there are none. Set data.unlabelled to use if "
                    "the source has some, or leave it out."
                )
            if "champion" in part.needs and champion:
                raise InputError(f"{where}: '{part.name}' learns from the champion, and {champion}.")
            if "table" in part.needs and image:
                raise InputError(
                    f"{where}: '{part.name}' works on tables, but the data are images. Choose random_over or random_under."
                )
            if "image" in part.needs and not image:
                raise InputError(f"{where}: '{part.name}' works on images, but the data are a table. Choose mixup.")


def parse(spec: str | Mapping[str, Any], where: str = "recipe") -> Recipe:
    """A recipe from a name (`ldam_drw`: names joined by _) or a composition (`{loss: ldam, schedule: drw}`).

    A name is that of a method or of a published recipe. A composition's value is a name, or `{name: {hyperparameter:
    value}}` to fix values, or a list of those in slots that take several; `none` leaves a slot empty. `recipe` names a
    published one to build on, `learner` fixes values of the learner's own. Raises InputError with the nearest name.
    """
    try:
        if isinstance(spec, str):
            chosen = _Chosen()
            for name in _names(spec):
                chosen.add_named(name)
            return _assemble(spec, chosen)
        if isinstance(spec, Mapping):
            chosen = _Chosen()
            chosen.add(spec)
            return _assemble(str(spec.get("name") or "_".join(kind.name for kind, _ in chosen.parts)), chosen)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None
    raise InputError(f"{where}: {spec!r} is neither a name nor a composition by slot.")


@functools.cache
def published() -> dict[str, Published]:
    """The recipes from the literature by name."""
    from models.published import PUBLISHED

    return {entry.name: entry for entry in PUBLISHED}


def _names(text: str) -> list[str]:
    """Split a name into names of methods and of published recipes, the longest that fit first."""
    known = {**published(), **catalogue()}

    def split(words: list[str]) -> list[str] | None:
        if not words:
            return []
        for end in range(len(words), 0, -1):
            head = "_".join(words[:end])
            if head in known and (rest := split(words[end:])) is not None:
                return [head, *rest]
        return None

    found = split(text.split("_"))
    if not found:
        raise InputError(f"no strategy '{text}'. {nearest(text, known)}")
    return found


class _Chosen:
    """The methods that a name or a composition asks for, with the values that it fixes, and those of the learner."""

    def __init__(self) -> None:
        self.parts: list[tuple[type[Component], dict[str, Any]]] = []
        self.learner: dict[str, float] = {}

    def add_named(self, name: str) -> None:
        """A method, or all of a published recipe."""
        if name in catalogue():
            self.parts.append((component(name), {}))
        else:
            self.add(published()[name].composition)

    def add(self, spec: Mapping[str, Any]) -> None:
        """Everything that a composition names, in its order."""
        for slot, value in spec.items():
            if slot == "name":
                continue
            if slot == "recipe":
                if value not in published():
                    raise InputError(f"no published recipe '{value}'. {nearest(str(value), published())}")
                self.add_named(value)
            elif slot == "learner":
                self._set(value)
            elif slot in SLOTS:
                self._add_to(slot, value)
            else:
                raise InputError(f"no slot '{slot}'. {nearest(str(slot), (*SLOTS, 'recipe', 'learner', 'name'))}")
        if not self.parts:
            raise InputError("an empty composition. Name a method in a slot, or use 'none'.")

    def _add_to(self, slot: str, value: Any) -> None:
        items = value if isinstance(value, (list, tuple)) else [value]
        if len(items) > 1 and slot not in SEVERAL:
            raise InputError(f"slot '{slot}' takes one method; found {len(items)}.")
        for item in items:
            if slot != "loss" and item in (None, "none"):
                continue
            if isinstance(item, str):
                self.parts.append((component(item, slot), {}))
            elif isinstance(item, Mapping) and len(item) == 1:
                ((name, values),) = item.items()
                self.parts.append((component(str(name), slot), dict(values or {})))
            else:
                raise InputError(f"slot '{slot}': {item!r} is neither a name nor {{name: {{hyperparameter: value}}}}.")

    def _set(self, values: Any) -> None:
        if not isinstance(values, Mapping):
            raise InputError(f"learner: {values!r} is no mapping of the learner's hyperparameters to values.")
        for name, value in values.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
                raise InputError(f"learner.{name} = {value!r} is not a finite number.")
            self.learner[str(name)] = value


def _assemble(name: str, chosen: _Chosen) -> Recipe:
    slots: dict[str, Any] = {}
    fixed: set[str] = set()
    for kind, values in chosen.parts:
        part = kind.build(values)
        key = str(kind.slot)
        if kind.slot in SEVERAL:
            key = f"{kind.slot}.{kind.name}"
            if any(other.name == part.name for other in slots.get(kind.slot, ())):
                raise InputError(f"'{part.name}' stands twice in slot '{kind.slot}'. Leave one out.")
            slots[kind.slot] = (*slots.get(kind.slot, ()), part)
        else:
            if kind.slot in slots:
                raise InputError(
                    f"'{slots[kind.slot].name}' and '{kind.name}' both act in slot '{kind.slot}', which takes one."
                )
            slots[kind.slot] = part
        fixed.update(f"{key}.{v}" for v in values)
    for kind, _ in chosen.parts:
        for slot, partner in kind.implies.items():
            brought = component(partner, slot).build({})
            slots.setdefault(slot, (brought,) if slot in SEVERAL else brought)
    slots.setdefault("loss", component("none", "loss").build({}))
    recipe = Recipe(name=name, fixed=frozenset(fixed), learner=tuple(sorted(chosen.learner.items())), **slots)
    check_partners(recipe)
    return recipe


def competitors(
    specs: Iterable[str | Mapping[str, Any]], where: str = "params.yaml: search.recipes"
) -> dict[str, Recipe]:
    """Every recipe that competes, by name: the baselines first, then the user's. A name used twice is an error."""
    found = {name: parse(name) for name in BASELINES}
    for position, spec in enumerate(specs):
        recipe = parse(spec, f"{where}[{position}]")
        if recipe.name in BASELINES and isinstance(spec, str):
            continue
        if recipe.name in found:
            raise InputError(
                f"{where}[{position}]: a recipe '{recipe.name}' is there already. Give one of them another `name`."
            )
        found[recipe.name] = recipe
    return found
