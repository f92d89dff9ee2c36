"""Which trials may be averaged with the chosen one: other learners that trained with the same methods."""

from __future__ import annotations

from collections.abc import Sequence

from models.balancing.component import ModelAdjuster
from models.recipe import Recipe
from tasks.search.campaign import Record
from tasks.search.choice import Goal


def companions_of(chosen: Record, candidates: Sequence[Record], goal: Goal) -> list[Record]:
    """The trial with the lowest log loss (of a number: error) of every other learner, the lowest first.

    They differ from the chosen one in what is adjusted afterwards at most, so that their probabilities mean the same.
    """
    best: dict[str, tuple[float, Record]] = {}
    for record in candidates:
        value = (record.last.metrics or {}).get(goal.tells_more)
        pair = record.trial.pair
        if value is None or pair.learner == chosen.trial.pair.learner:
            continue
        if not _alike(pair.recipe, chosen.trial.pair.recipe):
            continue
        if pair.learner not in best or value < best[pair.learner][0]:
            best[pair.learner] = (value, record)
    return [record for _, record in sorted(best.values(), key=lambda pair: (pair[0], pair[1].trial.id))]


def _alike(one: Recipe, other: Recipe) -> bool:
    """Whether both train with the same methods, and none of them changes the trained model afterwards."""
    if any("net" in p.needs or isinstance(p, ModelAdjuster) for recipe in (one, other) for p in recipe.adjust):
        return False
    mine, theirs = ({key: c.name for key, c in r.components().items() if c.slot != "adjust"} for r in (one, other))
    return mine == theirs
