"""What can be tried: every recipe with every learner that takes it, and the hyperparameters of each such pair."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.balancing.component import Range
from models.errors import InputError
from models.learners import learner
from models.recipe import BASELINES, Recipe

DIGITS = 4
"""Significant digits of a suggested number: as fine as a search can tell apart, and readable in a record."""


@dataclass(frozen=True)
class Pair:
    """A recipe and a learner that takes it."""

    recipe: Recipe
    learner: str

    @property
    def name(self) -> str:
        """How the pair is called in a search."""
        return f"{self.recipe.name}|{self.learner}"

    @property
    def baseline(self) -> bool:
        """Whether it is one of the recipes that compete in every search."""
        return self.recipe.name in BASELINES

    def space(self) -> dict[str, tuple[str, Range]]:
        """Every searched hyperparameter by key: what it is called in a search, and its range.

        A recipe's hyperparameter is the same for all learners, a learner's the same for all recipes, so that what one
        pair teaches helps the others. What the recipe sets of the learner's own is not searched.
        """
        own = {key: (f"{self.recipe.name}: {key}", allowed) for key, allowed in self.recipe.space().items()}
        shared = {
            key: (f"{self.learner}: {key}", allowed)
            for key, allowed in learner(self.learner).space().items()
            if key not in dict(self.recipe.learner)
        }
        return own | shared

    def defaults(self) -> dict[str, Any]:
        """The values that its authors recommend."""
        return {key: allowed.default for key, (_, allowed) in self.space().items()}

    def afterwards(self) -> dict[str, tuple[str, Range]]:
        """The part of the space that training does not know: hyperparameters of what adjusts a trained model's scores."""
        known = {**self.recipe.trained.space(), **learner(self.learner).space()}
        return {key: entry for key, entry in self.space().items() if key not in known}


@dataclass(frozen=True)
class Family:
    """Pairs of one learner whose recipes differ only in what adjusts a trained model's scores: one training serves all."""

    pairs: tuple[Pair, ...]

    @property
    def name(self) -> str:
        """That of its first pair."""
        return self.pairs[0].name

    def space(self) -> dict[str, tuple[str, Range]]:
        """The part of the space that training knows, which is the same for all of its pairs."""
        afterwards = self.pairs[0].afterwards()
        return {key: entry for key, entry in self.pairs[0].space().items() if key not in afterwards}

    def defaults(self) -> dict[str, Any]:
        """The values that its authors recommend."""
        return {key: allowed.default for key, (_, allowed) in self.space().items()}


def families(competing: Sequence[Pair]) -> tuple[Family, ...]:
    """The pairs by what they train, in the order of their first ones."""
    found: list[tuple[Recipe, list[Pair]]] = []
    for pair in competing:
        trained = pair.recipe.trained
        own = next((members for kind, members in found if kind == trained and members[0].learner == pair.learner), None)
        if own is None:
            found.append((trained, [pair]))
        else:
            own.append(pair)
    return tuple(Family(tuple(members)) for _, members in found)


def refusal(recipe: Recipe, name: str, image: bool) -> str | None:
    """Why the learner of this name cannot train the recipe on such data, as a clause; None if it can."""
    chosen = learner(name)
    if clause := chosen.refuses(recipe, image):
        return clause
    space = chosen.space()
    for own, value in recipe.learner:
        if own not in space:
            return f"'{recipe.name}' sets the learner's '{own}', which {name} does not have"
        space[own].check(value, f"params.yaml: search.recipes: {recipe.name}: learner.{own}")
    return None


def takers(
    recipe: Recipe, learners: Sequence[str], image: bool, spared: Sequence[str] = (), warm: str = ""
) -> list[str]:
    """The learners that train the recipe: of those that can, one that is spared only where it trains plainly or alone can.

    What starts from the champion is trained by `warm` alone, the learner of its nets.
    """
    able = [one for one in learners if refusal(recipe, one, image) is None and (recipe.start is None or one == warm)]
    plain = not recipe.in_training() and recipe.resample is None
    return [one for one in able if plain or one not in spared] or able


def pairs(
    recipes: Mapping[str, Recipe], learners: Sequence[str], image: bool, spared: Sequence[str] = (), warm: str = ""
) -> tuple[Pair, ...]:
    """All pairs, in the order in which a search with few trials lets them in.

    The baselines come first, with every learner; then every recipe with the first learner that takes it, then with the
    second, and so on. A learner that is spared takes only recipes that train plainly, and those that nobody else takes.
    A recipe or a learner without any pair is an InputError.
    """
    taking: dict[str, list[str]] = {}
    clauses: dict[str, dict[str, str]] = {}
    for name, recipe in recipes.items():
        clauses[name] = {one: refusal(recipe, one, image) or "" for one in learners}
        taking[name] = takers(recipe, learners, image, spared, warm)
    for one in learners:
        if not any(one in taken for taken in taking.values()):
            raise InputError(
                f"params.yaml: model.learners: '{one}' can train nothing here: {clauses[BASELINES[0]][one]}. "
                "Leave it out, or use auto."
            )
    for name, taken in taking.items():
        if not taken:
            reasons = "; ".join(dict.fromkeys(clauses[name].values()))
            raise InputError(
                f"params.yaml: search.recipes: no learner of model.learners takes '{name}': {reasons}. Add another learner, or leave the recipe out."
            )
    first = [(name, one) for one in learners for name in BASELINES if one in taking.get(name, ())]
    others = [name for name in recipes if name not in BASELINES]
    rest = [
        (name, taking[name][position])
        for position in range(len(learners))
        for name in others
        if position < len(taking[name])
    ]
    return tuple(Pair(recipes[name], one) for name, one in (*first, *rest))


def bounds(allowed: Range) -> tuple[float, float]:
    """The searched interval of a range that is searched and has no choices."""
    if allowed.low is None or allowed.high is None:
        raise TypeError(f"{allowed} is searched, but has neither choices nor both ends of an interval")
    return allowed.low, allowed.high


def rounded(value: float, low: float, high: float) -> float:
    """The number to a few digits, inside its searched interval."""
    return min(max(float(f"{value:.{DIGITS}g}"), low), high)
