"""Recipes trained over several seeds on the same rows, and ranked by what they reach on test rows."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

from scipy.stats import t

from benchmarks.table import Cell
from models.adjustment import apply_adjusters, average, fit_adjusters
from models.data import Split, Statistics
from models.errors import EquipoiseError
from models.learners import learner
from models.learners.learner import Input, Member, Plan
from models.recipe import Recipe
from models.schema import Schema
from models.seeds import derive_seed
from tasks.params import Evaluate
from tasks.scoring import validation_metrics

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Rows:
    """Parts of a data set: `train` by the name of its resampler (None: as it is), validation, calibration and test rows."""

    train: Callable[[Recipe], Split]
    valid: Split
    calib: Split
    test: Split
    inputs: Input
    schema: Schema


Results = dict[str, list[Mapping[str, float | None]]]
"""Metrics on test rows by recipe, one entry per seed."""


def results(
    recipes: Mapping[str, Recipe], rows: Rows, name: str, plan: Plan, seeds: Sequence[int], evaluate: Evaluate
) -> Results:
    """Train every recipe with its default values. Training stops by validation rows; adjusters see calibration rows."""
    found: Results = {}
    for label, recipe in recipes.items():
        try:
            found[label] = _of_recipe(recipe, rows, name, plan, seeds, evaluate)
        except EquipoiseError as error:
            print(f"{label}: left out: {error}", flush=True)
            continue
        values = [m["balanced_accuracy"] or 0.0 for m in found[label]]
        print(f"{label}: balanced accuracy {', '.join(f'{v:.4f}' for v in values)}", flush=True)
    return found


def _of_recipe(
    recipe: Recipe, rows: Rows, name: str, plan: Plan, seeds: Sequence[int], evaluate: Evaluate
) -> list[Mapping[str, float | None]]:
    train = rows.train(recipe)
    chosen = learner(name)
    values = {key: allowed.default for key, allowed in {**chosen.space(), **recipe.space()}.items()}
    values = {**values, **dict(recipe.learner)}
    members = [Member(values, derive_seed(seed, "ranking")) for seed in seeds]
    outcomes = chosen.fit(recipe, members, train, rows.valid, rows.inputs, plan)
    statistics, found = Statistics.of(train), []
    for outcome in outcomes:
        if outcome.model is None:
            raise EquipoiseError(outcome.error or "it failed")
        scores = average([outcome.model], rows.test)
        if recipe.adjust:
            states, _ = fit_adjusters(recipe.adjust, average([outcome.model], rows.calib), rows.calib, statistics)
            scores = apply_adjusters(recipe.adjust, states, scores, rows.test.groups)
        found.append(validation_metrics(scores, rows.test, rows.schema, evaluate))
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """The mean and half the width of its 95% interval over the seeds, by Student's t; 0 for a single one."""
    if len(values) < 2:
        return fmean(values), 0.0
    return fmean(values), float(t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1)) * stdev(values) / math.sqrt(len(values))


def table(found: Results, metrics: Mapping[str, str], by: str) -> list[list[Cell]]:
    """Rank, recipe, and mean ± half interval of each metric; the highest `by` first."""
    order = sorted(found, key=lambda label: -fmean(m[by] or 0.0 for m in found[label]))
    rows: list[list[Cell]] = []
    for rank, label in enumerate(order, 1):
        rows.append([rank, label, *(_cell([m[name] for m in found[label]]) for name in metrics.values())])
    return rows


def _cell(values: Sequence[float | None]) -> str | None:
    known = [v for v in values if v is not None]
    if not known or len(known) < len(values):
        return None
    mean, half = interval(known)
    return f"{mean:.3f} ± {half:.3f}" if len(known) > 1 else f"{mean:.3f}"
