"""The course of a search, as data in and data out: rounds of suggestions, each halved in rungs, until one is chosen.

What is counted, suggested, halved and run is a training; recipes that differ only in what adjusts a trained model's scores
share it, and each of them is a trial of its own with metrics of its own.

What is trained next follows from the results so far in the order of the trials, never from when they came in; so the
same results give the same search, whatever ran at once and however often it was interrupted.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from models.errors import AllFailedError
from models.seeds import derive_seed
from tasks.search.choice import Goal, Standing
from tasks.search.halving import budget, survivors
from tasks.search.populations import Sizes, populations
from tasks.search.space import Family, Pair, families
from tasks.search.suggestions import Told, suggest

Key = tuple[int, int, int]
"""Round, rung and trial: what a result belongs to."""

ROUND = 24
"""Trainings in each round but the first of a search that the clock limits."""


@dataclass(frozen=True)
class Trial:
    """One configuration. A baseline that stands for itself, with default values, always gets the full budget.

    `training` is the id of the first trial that shares its training; None: it has one of its own. They share all values
    that training knows, the seed and every rung.
    """

    id: int
    pair: Pair
    values: Mapping[str, Any]
    seed: int
    round: int
    protected: bool
    training: int | None = None

    @property
    def trained_as(self) -> int:
        """The id of the first trial that shares its training."""
        return self.id if self.training is None else self.training

    @property
    def trained_values(self) -> dict[str, Any]:
        """The values that training knows."""
        afterwards = self.pair.afterwards()
        return {key: value for key, value in self.values.items() if key not in afterwards}


@dataclass(frozen=True)
class Run:
    """What trains at once: trainings of one kind for one budget, as one population where there are several.

    `trials` are those of every training, next to each other; `pair` is that of the first. The budget of a run that goes on
    with what another one, its `origin`, has trained covers that too; `full` is the budget that learning rates and phases are
    laid out in.
    """

    round: int
    rung: int
    pair: Pair
    trials: tuple[Trial, ...]
    budget: int
    full: int
    origin: Run | None = None

    @property
    def course(self) -> list[Run]:
        """The runs that it goes on with, the first one first, and itself."""
        return [*(self.origin.course if self.origin is not None else ()), self]

    @property
    def spends(self) -> int:
        """What of the budget is spent in this run itself."""
        return self.budget - (self.origin.budget if self.origin is not None else 0)

    @property
    def trainings(self) -> list[tuple[Trial, ...]]:
        """The trials by training, in their order."""
        return trainings(self.trials)

    @property
    def keys(self) -> tuple[Key, ...]:
        """What its results belong to, in the order of its trials."""
        return tuple((self.round, self.rung, trial.id) for trial in self.trials)

    @property
    def name(self) -> str:
        """How it is called on disk and in logs."""
        count = len(self.trainings)
        others = f"-and-{count - 1}" if count > 1 else ""
        return f"round{self.round}-rung{self.rung}-trial{self.trials[0].id}{others}"


@dataclass(frozen=True)
class Result:
    """What became of a trial on one rung: its metrics on validation rows, or the error.

    `stopped` is how much of its budget it had spent when the time of the search was up; None if it had all of it. `note`
    is what a user should hear although no harm was done; it is no part of the record.
    """

    metrics: dict[str, float | None] | None
    error: str | None = None
    stopped: int | None = None
    note: str | None = None


@dataclass(frozen=True)
class Terms:
    """Everything that decides the course of a search. `budgets` is the full budget of each learner.

    `trials` is the number of trainings, None in a search that the clock limits. `sizes` says how many trainings one
    population may hold, by the name of their family. Trainings with the learners in `going_on` go on from rung to rung; the
    others begin anew on each.
    """

    pairs: tuple[Pair, ...]
    trials: int | None
    rounds: int
    halving: int
    rungs: int
    goal: Goal
    seed: int
    budgets: Mapping[str, int]
    sizes: Sizes = field(default_factory=Sizes)
    going_on: frozenset[str] = frozenset()

    @functools.cached_property
    def families(self) -> tuple[Family, ...]:
        """The pairs by what they train."""
        return families(self.pairs)


@dataclass
class Record:
    """A trial and all that became of it."""

    trial: Trial
    rungs: list[tuple[int, Result]] = field(default_factory=list)
    status: str = "halved"

    @property
    def last(self) -> Result:
        """The result with the largest budget that it got."""
        return self.rungs[-1][1] if self.rungs else Result(None)

    @property
    def standing(self) -> Standing:
        """What it is compared by."""
        return Standing(self.trial.id, self.trial.protected, self.last.metrics)


@dataclass
class Course:
    """A finished search."""

    records: list[Record]
    limited: bool

    def candidates(self) -> list[Record]:
        """The trials that may be chosen: those that got the full budget, or all of it that the clock left them.

        If there are none of either, those that came furthest.
        """
        alive = [r for r in self.records if r.last.metrics is not None]
        finished = [r for r in alive if r.status in ("finished", "stopped")]
        if finished:
            return finished
        furthest = max((len(r.rungs) for r in alive), default=0)
        return [r for r in alive if len(r.rungs) == furthest]


def round_sizes(terms: Terms) -> Iterator[int]:
    """How many trainings each round holds: every family once, then the rest in equal parts; without end if the clock limits it."""
    if terms.trials is None:
        yield len(terms.families)
        while True:
            yield ROUND
    first = min(len(terms.families), terms.trials)
    rest, later = terms.trials - first, terms.rounds - 1
    if later == 0:
        yield terms.trials
        return
    yield first
    yield from (rest // later + (1 if i < rest % later else 0) for i in range(later))


def course(terms: Terms, over: Callable[[], bool]) -> Generator[list[Run], Mapping[Key, Result], Course]:
    """Yields what to train, all of which can run at once, and is sent the results; returns the finished search.

    A training stands on a rung as the best of its trials does, and goes on with all of them or with none: in the end one
    trial is chosen, so a training is worth what the best of its trials is, and fitting the others to it costs next to nothing.
    `over` says whether the time is up; it is asked before each stage but the first. What then has no result was not begun.
    """
    records: list[Record] = []
    limited = False
    for round_, size in enumerate(round_sizes(terms)):
        if limited or (round_ and over()):
            limited = True
            break
        trials = _trials(terms, round_, size, records)
        mine = {trial.id: Record(trial) for trial in trials}
        records.extend(mine.values())
        running, runs = trainings(trials), list[Run]()
        for rung in range(terms.rungs):
            if rung and over():
                limited = True
                break
            runs = _runs(terms, running, round_, rung, runs)
            if not runs:
                break
            results = yield runs
            for run in runs:
                for trial, key in zip(run.trials, run.keys, strict=True):
                    if key not in results:
                        limited = True
                        continue
                    record = mine[trial.id]
                    record.rungs.append((run.budget, results[key]))
                    record.status = _status(terms, run, results[key])
                    limited = limited or results[key].stopped is not None
            if limited:
                break
            contest = [_standing([mine[t.id] for t in own], terms.goal) for own in running if not _protected(own)]
            going_on = set(survivors(contest, terms.halving, terms.goal)) if contest else set()
            running = [own for own in running if own[0].trained_as in going_on]
        records = [record for record in records if record.rungs]
        if all(record.last.metrics is None for record in records):
            raise AllFailedError(_all_failed(records))
    return Course(records, limited)


def _trials(terms: Terms, round_: int, size: int, before: Sequence[Record]) -> list[Trial]:
    """The trials of a round's trainings: first every family with its default values, then what follows from the results."""
    chosen: list[tuple[list[tuple[Pair, dict[str, Any]]], bool]] = []
    if round_ == 0:
        chosen = [([(pair, pair.defaults()) for pair in family.pairs], True) for family in terms.families[:size]]
    if size > len(chosen):
        seed = derive_seed(terms.seed, "suggestions", round_)
        suggested = suggest(terms.families, _told(terms.goal, before), size - len(chosen), seed)
        chosen.extend((trials, False) for trials in suggested)
    found: list[Trial] = []
    for configurations, by_default in chosen:
        first = len(before) + len(found)
        seed = derive_seed(terms.seed, "trial", first)
        found += [
            Trial(first + i, pair, values, seed, round_, by_default and pair.baseline, first)
            for i, (pair, values) in enumerate(configurations)
        ]
    return found


def trainings(trials: Sequence[Trial]) -> list[tuple[Trial, ...]]:
    """The trials, those of one training next to each other, by training."""
    return [tuple(own) for _, own in itertools.groupby(trials, lambda trial: trial.trained_as)]


def _protected(training: Sequence[Trial]) -> bool:
    """Whether it gets the full budget at once, for a baseline among its trials."""
    return any(trial.protected for trial in training)


def _standing(records: Sequence[Record], goal: Goal) -> Standing:
    """A training as it stands: the best of its trials, under the id of the first."""
    best = min((r.standing for r in records), key=lambda s: (s.metrics is None, goal.rank(s)))
    return replace(best, trial=records[0].trial.trained_as)


def _told(goal: Goal, records: Sequence[Record]) -> list[Told]:
    told = []
    for record in records:
        metrics = record.last.metrics
        objective = None if metrics is None else goal.merit(metrics)
        if metrics is not None and objective is not None:
            trial = record.trial
            told.append(Told(trial.pair, trial.values, objective, goal.excesses(metrics), trial.trained_as))
    return told


def _runs(
    terms: Terms, running: Sequence[tuple[Trial, ...]], round_: int, rung: int, before: Sequence[Run]
) -> list[Run]:
    """The populations of a stage, in the order of their first trainings; `before` are those of the rung before.

    A training that begins anew on every rung has all of its learning rate and phases in the rung's own budget: what a
    recipe does last (deferred weights, a classifier trained anew) is then part of what it is judged by, on the first rung
    as on the last. One that goes on has them in the full budget, and stays with those of its population that are left.
    Protected trainings get the full budget at once, so that they never wait.
    """

    def spent(training: Sequence[Trial]) -> int:
        full = terms.budgets[training[0].pair.learner]
        return full if _protected(training) else budget(full, terms.halving, terms.rungs, rung)

    def full(training: Sequence[Trial]) -> int:
        learner = training[0].pair.learner
        return terms.budgets[learner] if learner in terms.going_on else spent(training)

    left, found = {own[0].trained_as: own for own in running}, []
    for run in before:
        if run.full == run.budget:
            continue
        own = [left.pop(t[0].trained_as) for t in run.trainings if t[0].trained_as in left]
        if own:
            trials = tuple(trial for training in own for trial in training)
            found.append(Run(round_, rung, own[0][0].pair, trials, spent(own[0]), run.full, run))
    anew = list(left.values())
    for positions in populations([(own[0].pair, own[0].trained_values, spent(own)) for own in anew], terms.sizes):
        first, trials = anew[positions[0]], tuple(trial for p in positions for trial in anew[p])
        found.append(Run(round_, rung, first[0].pair, trials, spent(first), full(first)))
    return sorted(found, key=lambda run: run.trials[0].id)


def _status(terms: Terms, run: Run, result: Result) -> str:
    if result.metrics is None:
        return "failed"
    if run.budget < terms.budgets[run.pair.learner]:
        return "halved"
    return "finished" if result.stopped is None else "stopped"


def _all_failed(records: Sequence[Record]) -> str:
    reasons = dict.fromkeys(record.last.error or "no reason given" for record in records)
    listed = "\n".join(f"- {reason}" for reason in list(reasons)[:10])
    return f"tune: every trial failed, so there is nothing to choose from. The reasons:\n{listed}"
