"""What becomes of a trained model before anything is fitted to its scores: another one in its place, where a recipe asks."""

from __future__ import annotations

import dataclasses

import torch

from models.balancing.component import ModelAdjuster
from models.data import Split, Statistics
from models.learners.learner import Member, Outcome
from models.recipe import Recipe
from models.seeds import derive_seed


def replaced(outcome: Outcome, recipe: Recipe, member: Member, train: Split) -> Outcome:
    """The outcome with its model replaced by each of the recipe's methods that do so, in order, by the training rows."""
    parts = [p for p in recipe.with_values(member.values).adjust if isinstance(p, ModelAdjuster)]
    if outcome.model is None or not parts:
        return outcome
    generator = torch.Generator().manual_seed(derive_seed(member.seed, "replace"))
    model = outcome.model
    for part in parts:
        model = part.replaced(model, train, Statistics.of(train), generator)
    return dataclasses.replace(outcome, model=model)
