"""Which recipes enter the search: those that params.yaml names and the data allow, and those that `auto` picks."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from models.errors import InputError
from models.learners import resolve_learners, spared_learners
from models.partners import cautions
from models.recipe import BASELINES, Recipe, competitors, parse
from models.schema import Schema
from tasks.champion import Champion
from tasks.params import AUTO, Search
from tasks.search.auto import Pick, Situation, picks
from tasks.search.objective import goal_of

log = logging.getLogger("equipoise")


@dataclass(frozen=True)
class Entrants:
    """The recipes that compete by name, the baselines first; and of every recipe considered whether it does, and why."""

    recipes: dict[str, Recipe]
    picks: tuple[Pick, ...]

    def record(self) -> list[dict[str, Any]]:
        """Ready for JSON; `cautions` are what a recipe that competes is warned of."""
        return [
            {
                "recipe": pick.recipe,
                "competes": pick.chosen,
                "why": pick.why,
                "cautions": list(cautions(self.recipes[pick.recipe])) if pick.chosen else [],
            }
            for pick in self.picks
        ]

    def tell(self) -> None:
        """Say who competes and why, and who does not: a line for each, and one for all that share a reason."""
        for pick in self.picks:
            if pick.chosen and pick.why != NAMED:
                log.info("search: %s competes: %s", pick.recipe, pick.why)
        left: dict[str, list[str]] = {}
        for pick in self.picks:
            if not pick.chosen:
                left.setdefault(pick.why, []).append(pick.recipe)
        for why, names in left.items():
            log.info("search: left out: %s: %s", ", ".join(names), why)
        for name, recipe in self.recipes.items():
            for caution in cautions(recipe):
                log.warning("search: %s: %s", name, caution)


NOBODY = "retrain.start names no version"
NAMED, BASELINE = "named in params.yaml", "a baseline, which always competes"


def entrants(
    search: Search,
    schema: Schema,
    learners: Sequence[str] = ("auto",),
    train: Callable[[], pd.DataFrame] | None = None,
    champion: Champion | str = NOBODY,
) -> Entrants:
    """Who competes on these data.

    A recipe named in params.yaml that does not fit them (it needs groups, or a table, or another kind of target) is an
    InputError, or is left out, as `search.unsuitable` asks. `auto` picks among the published recipes by the training
    rows, the learners (as in params.yaml) and what the search is asked for; `train` gives the rows when they are needed.
    `champion` is the one to learn from, or why there is none. A recipe that cannot learn from it is left out, or an error,
    like one that does not fit the data.
    Of a number nothing is decided, so no baseline moves a threshold.
    """
    goal_of(search, schema, aloud=False)
    image = any(column.kind == "image" for column in schema.columns if column.feature)
    recipes, found = {}, []
    for name, recipe in competitors(named(search)).items():
        try:
            recipe.check(
                schema.target.kind, bool(schema.sensitive), image, f"params.yaml: search.recipes: {name}",
                schema.unlabelled is not None, _objection(recipe, champion),
            )  # fmt: skip
        except InputError as error:
            moot = name in BASELINES and not all(schema.target.kind in part.tasks for part in recipe.everything())
            if not moot and (search.unsuitable == "error" or name in BASELINES):
                raise
            found.append(Pick(name, False, str(error)))
            continue
        recipes[name] = recipe
        found.append(Pick(name, True, BASELINE if name in BASELINES else _named(recipe, champion)))
    if AUTO in search.recipes or search.recipes == AUTO:
        if train is None:
            raise TypeError("search.recipes: auto needs the training rows")
        situation = _situation(search, schema, tuple(learners), image, train(), champion)
        for pick in picks(situation):
            if pick.recipe not in recipes:
                found.append(pick)
                recipes.update({pick.recipe: parse(pick.recipe)} if pick.chosen else {})
    return Entrants(recipes, tuple(found))


def named(search: Search) -> list[Any]:
    """The recipes that params.yaml names, each in its place: where `auto` stands, a baseline stands for it."""
    return [BASELINES[0]] if search.recipes == AUTO else [BASELINES[0] if r == AUTO else r for r in search.recipes]


def entrant(search: Search, name: str) -> Recipe:
    """The recipe of this name among those that compete: one that params.yaml names, or one that `auto` has picked."""
    known = competitors(named(search))
    return known[name] if name in known else parse(name, "search.recipes: auto")


def _situation(
    search: Search,
    schema: Schema,
    learners: tuple[str, ...],
    image: bool,
    train: pd.DataFrame,
    champion: Champion | str,
) -> Situation:
    """What `auto` picks by."""
    target, goal = schema.target, goal_of(search, schema, aloud=False)
    groups = (
        train[[a.name for a in schema.sensitive]].astype(str).agg(" & ".join, axis=1)
        if schema.sensitive
        else pd.Series("", index=train.index)
    )
    counts = pd.crosstab(train[target.balanced_by].astype(str), groups)
    return Situation(
        task=target.kind,
        image=image,
        sensitive=bool(schema.sensitive),
        cells=tuple(tuple(int(n) for n in row) for row in counts.to_numpy()),
        learners=resolve_learners(learners, image),
        maximize=goal.metric,
        subject_to=goal.subject_to,
        trials=search.budget.trials,
        spared=spared_learners(learners),
        champion="" if isinstance(champion, str) else champion.version,
        objection=lambda recipe: _objection(recipe, champion),
        warm=warm_learner(champion),
    )


def warm_learner(champion: Champion | str) -> str:
    """The learner that can start from the champion's weights; empty where none can."""
    return "" if isinstance(champion, str) else champion.learner


def _objection(recipe: Recipe, champion: Champion | str) -> str:
    """Why the recipe cannot learn from the champion, as a clause; empty where it can, or does not want to."""
    if not recipe.reads_champion:
        return ""
    return champion if isinstance(champion, str) else champion.objection(recipe)


def _named(recipe: Recipe, champion: Champion | str) -> str:
    """Why a recipe competes that params.yaml names, and what it learns from."""
    if isinstance(champion, str) or not recipe.reads_champion:
        return NAMED
    return f"{NAMED}; it learns from champion {champion.version}"
