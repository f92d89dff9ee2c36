"""What one trial does, without the machinery around it: train configurations of one recipe and score them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import torch

from models.adjustment import apply_adjusters, average, fit_adjusters
from models.data import Split, Statistics
from models.errors import DeviceLostError, EquipoiseError
from models.learners import learner
from models.learners.learner import Checkpoint, Input, Member, Model, OnEpoch, Outcome, Plan
from models.learners.memory import device_lost
from models.learners.pool import ended_on
from models.metrics.calibration import ece_by_chance
from models.metrics.fairness import Evidence
from models.metrics.figures import Terms as Figures
from models.metrics.figures import overall_figures
from models.metrics.gaps import gap_figures, worst
from models.metrics.names import compares_groups
from models.metrics.reach import Rows
from models.metrics.score import grouping_of_ids
from models.metrics.scored import Scored
from models.recipe import Recipe
from models.schema import Schema
from models.targets import TargetScale
from tasks.params import Evaluate
from tasks.scoring import attribute_ids, scored_rows, validation_metrics
from tasks.search.campaign import Result, Run
from tasks.search.deadline import Deadline

TRAINING, UNLABELLED = "train", "unlabelled"
"""Names of the training table as it is, and of the rows without a label; other tables are called by their resampler."""


@dataclass(frozen=True)
class Setting:
    """What all trials of a search share besides the rows."""

    recipes: Mapping[str, Recipe]
    inputs: Input
    plan: Plan
    schema: Schema
    evaluate: Evaluate
    objective: str
    seed: int
    scale: TargetScale | None = None


@dataclass(frozen=True)
class Job:
    """A run as data: what goes to a worker. `together` is how many members may train at once, where memory is short."""

    name: str
    recipe: str
    learner: str
    budget: int
    members: tuple[tuple[Mapping[str, Any], int], ...]
    together: int | None = None

    @staticmethod
    def of(run: Run) -> Job:
        """The run's pair, budget, and each trial's values and seed."""
        members = tuple((dict(trial.values), trial.seed) for trial in run.trials)
        return Job(run.name, run.pair.recipe.name, run.pair.learner, run.budget, members)


def table_of(recipe: Recipe) -> str:
    """The name of the table that a recipe trains on."""
    return recipe.resample.name if recipe.resample else TRAINING


def carry_out(
    job: Job,
    setting: Setting,
    table: Callable[[str], Split],
    resume: Checkpoint | None = None,
    on_epoch: OnEpoch | None = None,
    deadline: Deadline | None = None,
) -> list[Result]:
    """Train every member for the whole budget from its start, and score it: a function of its arguments alone.

    With a deadline, training ends at the last epoch that leaves time for the scores. A member that fails in a way that
    would repeat itself is a result too; anything else is raised, with how far the training had come, so that it can be
    tried again. An accelerator that does not answer any more is a DeviceLostError.
    """
    deadline = deadline or Deadline(None)
    recipe, chosen = setting.recipes[job.recipe], learner(job.learner)
    device = setting.plan.device if chosen.accelerated else "cpu"
    train, valid, calib = (table(name).to(device) for name in (table_of(recipe), "valid", "calib"))
    if setting.schema.unlabelled is not None and recipe.reads_unlabelled:
        train = train.joined(table(UNLABELLED).to(device))
    who, reached = f"{job.recipe} on {job.learner}", [0]

    def watched(epoch: int, make: Callable[[], Checkpoint]) -> None:
        reached[0] = epoch
        if on_epoch is not None:
            on_epoch(epoch, make)
        deadline.check()

    plan = replace(setting.plan, budget=job.budget, device=device, together=job.together)
    deadline.begin(len(job.members))
    members = [Member(values, seed) for values, seed in job.members]
    try:
        outcomes = chosen.fit(recipe, members, train, valid, setting.inputs, plan, resume, watched)
        with deadline.scoring():
            statistics = Statistics.of(ended_on(recipe, train))
            return [
                _result(who, recipe.with_values(values), outcome, valid, calib, statistics, setting)
                for outcome, (values, _) in zip(outcomes, job.members, strict=True)
            ]
    except EquipoiseError as error:
        return [Result(None, f"{who}, epoch {reached[0]}: {error}") for _ in members]
    except Exception as error:
        text = f"{who}, epoch {reached[0]}: {type(error).__name__}: {error}"
        raise (DeviceLostError(text) if device_lost(error) else RuntimeError(text)) from error


def _result(
    who: str, recipe: Recipe, outcome: Outcome, valid: Split, calib: Split, statistics: Statistics, setting: Setting
) -> Result:
    """What a member's outcome is worth on validation rows."""
    if outcome.model is None:
        return Result(None, f"{who}: {outcome.error}", note=outcome.note)
    metrics = _metrics(recipe, [outcome.model], valid, calib, statistics, setting)
    return Result(metrics, stopped=outcome.budget_used if outcome.stopped else None, note=outcome.note)


@torch.no_grad()
def _metrics(
    recipe: Recipe, models: Sequence[Model], valid: Split, calib: Split, statistics: Statistics, setting: Setting
) -> dict[str, float | None]:
    """All metrics on validation rows, adjusters fitted on calibration rows, and how well the rows know the objective."""
    states, _ = fit_adjusters(recipe.adjust, average(models, calib), calib, statistics)
    scores = apply_adjusters(recipe.adjust, states, average(models, valid), valid.groups)
    scored = scored_rows(scores, valid, setting.scale)
    low, high = _interval(scored, valid, setting)
    error = None
    if low is not None and high is not None:
        error = (high - low) / 2 / NormalDist().inv_cdf(0.5 + setting.evaluate.confidence / 2)
    chance = ece_by_chance(scored, setting.evaluate.calibration_bins) if isinstance(scored, Scored) else None
    return {
        **validation_metrics(scores, valid, setting.schema, setting.evaluate, setting.scale),
        "ece_by_chance": chance,
        "objective_low": low, "objective_high": high, "objective_error": error,
    }  # fmt: skip


def _interval(scored: Rows, valid: Split, setting: Setting) -> tuple[float | None, float | None]:
    """The interval of the objective; of a comparison of groups, that of the attribute that compares worst."""
    evaluate, classes, name = setting.evaluate, setting.schema.target.counted, setting.objective
    evidence = Evidence(evaluate.evidence_rows, evaluate.evidence_per_class)
    terms = Figures(evaluate.confidence, evaluate.bootstrap, evaluate.calibration_bins, evidence, setting.seed)
    if not compares_groups(name):
        figure = overall_figures(scored, classes, terms, [name])[name]
        return figure.low, figure.high
    found = {
        attribute: gap_figures(scored, classes, grouping_of_ids(attribute, ids, len(scored)), terms)[name]
        for attribute, ids in attribute_ids(valid, setting.schema).items()
    }
    chosen = worst(name, found)
    return (None, None) if chosen is None else (found[chosen].low, found[chosen].high)
