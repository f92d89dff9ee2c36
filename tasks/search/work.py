"""What one trial does, without the machinery around it: train configurations of one recipe and score them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import NormalDist
from typing import Any

import torch

from models.adjustment import apply_adjusters, average, fit_adjusters
from models.balancing.component import Scores
from models.data import Split, Statistics
from models.errors import DeviceLostError, EquipoiseError
from models.learners import learner
from models.learners.learner import Checkpoint, Input, Member, OnEpoch, Outcome, Plan
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

TRAINING, UNLABELLED, AS_FOR_CHAMPION = "train", "unlabelled", "@champion"
"""Names of the training table as it is, and of the rows without a label; other tables are called by their resampler.

The last is how the names end of tables that are encoded as for the champion."""


@dataclass(frozen=True)
class Encoded:
    """What rows look like that are encoded as for the champion, for models that start from its weights."""

    inputs: Input
    scale: TargetScale | None


@dataclass(frozen=True)
class Setting:
    """What all trials of a search share besides the rows. `warm` is about the recipes that start from the champion."""

    recipes: Mapping[str, Recipe]
    inputs: Input
    plan: Plan
    schema: Schema
    evaluate: Evaluate
    objective: str
    seed: int
    scale: TargetScale | None = None
    warm: Encoded | None = None

    def inputs_of(self, recipe: Recipe) -> Input:
        """What the rows look like to the recipe's models."""
        return self.inputs if recipe.start is None or self.warm is None else self.warm.inputs

    def scale_of(self, recipe: Recipe) -> TargetScale | None:
        """The unit of the recipe's numbers."""
        return self.scale if recipe.start is None or self.warm is None else self.warm.scale


@dataclass(frozen=True)
class Job:
    """A run as data: what goes to a worker.

    `members` are the values and the seed of each training, `adjusted` for each of them the recipes and values of its
    trials; without it, every member is judged as the job's own recipe. `together` is how many members may train at once,
    where memory is short. Training pauses after `until`, where that is less than the budget, and goes on `after` the run of
    this name; the epochs of the pauses before and the members that went on from each are in `kept`.
    """

    name: str
    recipe: str
    learner: str
    budget: int
    members: tuple[tuple[Mapping[str, Any], int], ...]
    adjusted: tuple[tuple[tuple[str, Mapping[str, Any]], ...], ...] | None = None
    together: int | None = None
    until: int | None = None
    after: str | None = None
    kept: tuple[tuple[int, tuple[int, ...]], ...] = ()

    @staticmethod
    def of(run: Run) -> Job:
        """The run's pair and budget, the values and seed of each training, and its trials.

        Of a run that goes on with another one: the trainings of all that began, and the trials of those that are left.
        """
        first, left = run.course[0], {own[0].trained_as: own for own in run.trainings}
        began = [own[0] for own in first.trainings]
        members = tuple((trial.trained_values, trial.seed) for trial in began)
        adjusted = tuple(
            tuple((t.pair.recipe.name, dict(t.values)) for t in left.get(trial.trained_as, ())) for trial in began
        )
        kept = []
        for before, after in itertools.pairwise(run.course):
            own = {training[0].trained_as for training in after.trainings}
            kept.append((before.budget, tuple(i for i, trial in enumerate(began) if trial.trained_as in own)))
        return Job(
            run.name, first.pair.recipe.name, run.pair.learner, run.full, members, adjusted, until=run.budget,
            after=run.origin.name if run.origin is not None else None, kept=tuple(kept),
        )  # fmt: skip

    @property
    def trials(self) -> tuple[tuple[tuple[str, Mapping[str, Any]], ...], ...]:
        """The recipes and values of every member's trials."""
        return self.adjusted or tuple(((self.recipe, values),) for values, _ in self.members)


def table_of(recipe: Recipe, part: str = TRAINING) -> str:
    """The name of the table that a recipe trains on, or of another part as it is encoded for the recipe."""
    name = recipe.resample.name if recipe.resample and part == TRAINING else part
    return name if recipe.start is None else f"{name}{AS_FOR_CHAMPION}"


def carry_out(
    job: Job,
    setting: Setting,
    table: Callable[[str], Split],
    resume: Checkpoint | None = None,
    on_epoch: OnEpoch | None = None,
    deadline: Deadline | None = None,
    on_pause: Callable[[Checkpoint], None] | None = None,
) -> list[Result]:
    """Train every member for its budget from its start, and score its trials: a function of its arguments alone.

    `resume` is where an earlier attempt has stopped or, of a run that goes on with another one, that one has paused; without
    it the same comes out, later. `on_pause` is given what a run that goes on with this one needs.

    The results are those of the first member's trials, then of the second's, and so on.
    With a deadline, training ends at the last epoch (or boosting round) that leaves time for the scores, or in the midst of
    an epoch that is longer than it was expected to be. A member that fails in a way that
    would repeat itself is a result too; anything else is raised, with how far the training had come, so that it can be
    tried again. An accelerator that does not answer any more is a DeviceLostError.
    """
    deadline = deadline or Deadline(None)
    recipe, chosen = setting.recipes[job.recipe].trained, learner(job.learner)
    device = setting.plan.device if chosen.accelerated else "cpu"
    train, valid, calib = (table(table_of(recipe, part)).to(device) for part in (TRAINING, "valid", "calib"))
    if setting.schema.unlabelled is not None and recipe.reads_unlabelled:
        train = train.joined(table(table_of(recipe, UNLABELLED)).to(device))
    who, reached = f"{job.recipe} on {job.learner}", [0]

    def watched(epoch: int, make: Callable[[], Checkpoint]) -> None:
        reached[0] = epoch
        if on_epoch is not None:
            on_epoch(epoch, make)
        deadline.check()

    plan = replace(
        setting.plan, budget=job.budget, device=device, together=job.together, over=deadline.over, until=job.until,
        kept=dict(job.kept), on_pause=on_pause,
    )  # fmt: skip
    count = sum(len(own) for own in job.trials)
    deadline.begin(count)
    members = [Member(values, seed) for values, seed in job.members]
    try:
        outcomes = chosen.fit(recipe, members, train, valid, setting.inputs_of(recipe), plan, resume, watched)
        with deadline.scoring():
            statistics = Statistics.of(ended_on(recipe, train))
            return [
                result
                for outcome, trials in zip(outcomes, job.trials, strict=True)
                for result in _results(job.learner, trials, outcome, valid, calib, statistics, setting)
            ]
    except EquipoiseError as error:
        return [Result(None, f"{who}, epoch {reached[0]}: {error}") for _ in range(count)]
    except Exception as error:
        text = f"{who}, epoch {reached[0]}: {type(error).__name__}: {error}"
        raise (DeviceLostError(text) if device_lost(error) else RuntimeError(text)) from error


@torch.no_grad()
def _results(
    learner: str,
    trials: Sequence[tuple[str, Mapping[str, Any]]],
    outcome: Outcome,
    valid: Split,
    calib: Split,
    statistics: Statistics,
    setting: Setting,
) -> list[Result]:
    """What a member's outcome is worth on validation rows with the adjustments of each of its trials."""
    if outcome.model is None or not trials:
        return [Result(None, f"{name} on {learner}: {outcome.error}", note=outcome.note) for name, _ in trials]
    raw = average([outcome.model], calib), average([outcome.model], valid)
    found = []
    for name, values in trials:
        recipe = setting.recipes[name].with_values(values)
        try:
            metrics, error = _metrics(recipe, *raw, valid, calib, statistics, setting), None
        except EquipoiseError as reason:
            metrics, error = None, f"{name} on {learner}: {reason}"
        found.append(Result(metrics, error, outcome.budget_used if outcome.stopped else None, outcome.note))
    return found


def _metrics(
    recipe: Recipe,
    calib_scores: Scores,
    valid_scores: Scores,
    valid: Split,
    calib: Split,
    statistics: Statistics,
    setting: Setting,
) -> dict[str, float | None]:
    """All metrics on validation rows, adjusters fitted on calibration rows, and how well the rows know the objective."""
    states, _ = fit_adjusters(recipe.adjust, calib_scores, calib, statistics)
    scores = apply_adjusters(recipe.adjust, states, valid_scores, valid.groups)
    scale = setting.scale_of(recipe)
    scored = scored_rows(scores, valid, scale)
    low, high = _interval(scored, valid, setting)
    error = None
    if low is not None and high is not None:
        error = (high - low) / 2 / NormalDist().inv_cdf(0.5 + setting.evaluate.confidence / 2)
    chance = ece_by_chance(scored, setting.evaluate.calibration_bins) if isinstance(scored, Scored) else None
    return {
        **validation_metrics(scores, valid, setting.schema, setting.evaluate, scale),
        "ece_by_chance": chance,
        "objective_low": low, "objective_high": high, "objective_error": error,
    }  # fmt: skip


def _interval(scored: Rows, valid: Split, setting: Setting) -> tuple[float | None, float | None]:
    """The interval of the objective; of a comparison of groups, that of the attribute that compares worst."""
    evaluate, classes, name = setting.evaluate, setting.schema.target.counted, setting.objective
    evidence = Evidence(evaluate.evidence_rows, evaluate.evidence_per_class)
    terms = Figures(
        evaluate.confidence, evaluate.bootstrap, evaluate.calibration_bins, evidence, setting.seed, evaluate.beta
    )
    if not compares_groups(name):
        figure = overall_figures(scored, classes, terms, [name])[name]
        return figure.low, figure.high
    found = {
        attribute: gap_figures(scored, classes, grouping_of_ids(attribute, ids, len(scored)), terms)[name]
        for attribute, ids in attribute_ids(valid, setting.schema).items()
    }
    chosen = worst(name, found)
    return (None, None) if chosen is None else (found[chosen].low, found[chosen].high)
