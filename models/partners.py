"""Which methods can act together: what a recipe is refused for when it is built, and what it is warned of."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, pairwise
from typing import TYPE_CHECKING

from models.balancing.component import Adjuster, Component, GradientTransform, Loss, Surveying, WeightAdjuster
from models.errors import InputError

if TYPE_CHECKING:
    from models.recipe import Recipe


def check_partners(recipe: Recipe) -> None:
    """Raise InputError, naming the two methods and the reason, unless all methods of the recipe can act together."""
    for objection in _objections(recipe):
        raise InputError(objection)


def _objections(recipe: Recipe) -> Iterator[str]:
    yield from _phases(recipe)
    yield from _rows(recipe)
    yield from _data(recipe)
    yield from _set_level(recipe)
    for part in recipe.everything():
        if clause := part.objection(recipe):
            yield f"'{part.name}' cannot act here: {clause}."
    yield from _classifiers(recipe)
    yield from _decisions(recipe)


def _phases(recipe: Recipe) -> Iterator[str]:
    """A phase must not silently overrule a method that the recipe names for the same slot."""
    if recipe.schedule is None:
        return
    for phase in recipe.phases:
        for slot in phase.switch:
            taken = getattr(recipe, slot)
            if taken and not (slot == "loss" and taken.name == "none"):
                held = taken[0] if isinstance(taken, tuple) else taken
                yield (
                    f"schedule '{recipe.schedule.name}' switches slot '{slot}', which '{held.name}' holds. Leave one out."
                )


def _rows(recipe: Recipe) -> Iterator[str]:
    """What looks at the labels of all training rows cannot stand beside what trains on rows without any."""
    if recipe.schedule is None or not recipe.reads_unlabelled:
        return
    for part in recipe.everything():
        if isinstance(part, Surveying) and part.surveys and not isinstance(part, GradientTransform):
            yield (
                f"'{part.name}' looks at the label of every training row, and '{recipe.schedule.name}' trains on rows "
                "without one. Leave one out."
            )


def _data(recipe: Recipe) -> Iterator[str]:
    """There must be a kind of target that all serve, and a kind of input that all work on."""
    for one, other in combinations(recipe.everything(), 2):
        if not one.tasks & other.tasks:
            yield (
                f"'{one.name}' serves {', '.join(sorted(one.tasks))} targets and '{other.name}' {', '.join(sorted(other.tasks))}; "
                "no target suits both. Leave one out."
            )
        for first, second in ((one, other), (other, one)):
            if "table" in first.needs and "image" in second.needs:
                yield f"'{first.name}' works on tables and '{second.name}' on images; no data suit both. Leave one out."


def _set_level(recipe: Recipe) -> Iterator[str]:
    """A loss that has no value per row cannot be weighed row by row, nor taken apart by class."""
    for phase in recipe.phases:
        acting = recipe.in_phase(phase)
        other: Component | None = acting.weigh
        if acting.optimize is not None and acting.optimize.per_class:
            other = acting.optimize
        if acting.loss.set_level and other is not None:
            yield (
                f"'{acting.loss.name}' is defined on a set of rows and has no loss per row, which '{other.name}' needs. "
                "Leave one out."
            )


def _classifiers(recipe: Recipe) -> Iterator[str]:
    """What changes the weights of a linear classifier must find one, whatever has changed the classifier before."""
    replaced: WeightAdjuster | None = None
    for part in recipe.adjust:
        if not isinstance(part, WeightAdjuster):
            continue
        if replaced is not None and part.linear_only:
            yield (
                f"'{part.name}' needs a linear classifier, and '{replaced.name}' before it makes another. Leave one out."
            )
        if part.replaces_classifier:
            replaced = part


def _decisions(recipe: Recipe) -> Iterator[str]:
    """A decision must not be undone by the next method, nor the class frequencies be taken out twice."""
    deciding: Adjuster | None = None
    taken = next((p for p in _correcting(recipe, len(recipe.phases) - 1) if p.corrects_prior == "wholly"), None)
    for part in recipe.adjust:
        if part.decides == "anew" and deciding is not None:
            yield (
                f"'{part.name}' decides by the probabilities alone, which undoes the decision of '{deciding.name}' before it. "
                "Put it first, or leave one out."
            )
        if part.decides == "anew" and part.corrects_prior != "no" and taken is not None:
            yield (
                f"'{part.name}' divides the probabilities by the class frequencies, which '{taken.name}' has taken out of them "
                "already; the rare classes would win twice. Put bias_corrected_temperature before it, or leave one out."
            )
        if part.restores_prior:
            taken = None
        if part.decides != "as_before":
            deciding = part


def _correcting(recipe: Recipe, phase: int) -> list[Component]:
    """The methods that take the class frequencies out of the model's probabilities, as they act in a phase.

    Resamplers are not among them: what comes after counts the classes of the table that they leave.
    """
    acting = recipe.in_phase(recipe.phases[phase])
    parts: list[Component | None] = [acting.sample, acting.loss, acting.weigh, acting.grow]
    if phase == len(recipe.phases) - 1:
        parts += [part for part in acting.adjust if isinstance(part, WeightAdjuster)]
    return [part for part in parts if part is not None and part.corrects_prior != "no"]


def cautions(recipe: Recipe) -> tuple[str, ...]:
    """What is allowed and rarely meant, a sentence each: two methods in training that favour the rare classes both."""
    found: dict[str, None] = {}
    for number in range(len(recipe.phases)):
        for one, other in pairwise(_correcting(recipe, number)):
            found[
                f"'{one.name}' and '{other.name}' both make up for the class frequencies; together they may favour the rare "
                "classes too much."
            ] = None
    return tuple(found)


def favours_rare(recipe: Recipe) -> bool:
    """Whether training or its table already makes up for the class frequencies, so that no threshold needs to."""
    balanced = recipe.resample is not None and not recipe.resample.rehearses
    correcting = _correcting(recipe, len(recipe.phases) - 1)
    return balanced or any(not (isinstance(part, Loss) and part.ranks) for part in correcting)
