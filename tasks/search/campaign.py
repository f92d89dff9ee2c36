"""The course of a search, as data in and data out: rounds of suggestions, each halved in rungs, until one is chosen.

What is trained next follows from the results so far in the order of the trials, never from when they came in; so the
same results give the same search, whatever ran at once and however often it was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.errors import EquipoiseError
from models.seeds import derive_seed
from tasks.search.choice import Goal, Standing
from tasks.search.halving import budget, survivors
from tasks.search.space import Pair
from tasks.search.suggestions import Told, suggest

Key = tuple[int, int, int]
"""Round, rung and trial: what a result belongs to."""


@dataclass(frozen=True)
class Trial:
    """One configuration. A baseline that stands for itself, with default values, always gets the full budget."""

    id: int
    pair: Pair
    values: Mapping[str, Any]
    seed: int
    round: int
    protected: bool


@dataclass(frozen=True)
class Run:
    """One training: some trials of one pair, for one budget. They share the recipe, so that a population can hold them."""

    round: int
    rung: int
    pair: Pair
    trials: tuple[Trial, ...]
    budget: int

    @property
    def keys(self) -> tuple[Key, ...]:
        """What its results belong to, in the order of its trials."""
        return tuple((self.round, self.rung, trial.id) for trial in self.trials)

    @property
    def name(self) -> str:
        """How it is called on disk and in logs."""
        return f"round{self.round}-rung{self.rung}-trial{'-'.join(str(t.id) for t in self.trials)}"


@dataclass(frozen=True)
class Result:
    """What became of a trial on one rung: its metrics on validation rows, or the error."""

    metrics: dict[str, float | None] | None
    error: str | None = None


@dataclass(frozen=True)
class Terms:
    """Everything that decides the course of a search. `budgets` is the full budget of each learner."""

    pairs: tuple[Pair, ...]
    trials: int
    rounds: int
    halving: int
    rungs: int
    goal: Goal
    seed: int
    budgets: Mapping[str, int]


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
        """The trials that may be chosen: those with the full budget; if the clock left none, those that came furthest."""
        alive = [r for r in self.records if r.last.metrics is not None]
        finished = [r for r in alive if r.status == "finished"]
        if finished:
            return finished
        furthest = max((len(r.rungs) for r in alive), default=0)
        return [r for r in alive if len(r.rungs) == furthest]


def round_sizes(terms: Terms) -> list[int]:
    """How many trials each round holds: every pair once, then the rest in equal parts."""
    first = min(len(terms.pairs), terms.trials)
    rest, later = terms.trials - first, terms.rounds - 1
    if later == 0:
        return [terms.trials]
    return [first, *(rest // later + (1 if i < rest % later else 0) for i in range(later))]


def course(terms: Terms, over: Callable[[], bool]) -> Generator[list[Run], Mapping[Key, Result], Course]:
    """Yields what to train, all of which can run at once, and is sent the results; returns the finished search.

    `over` says whether the time is up; it is asked before each stage but the first.
    """
    records: list[Record] = []
    limited = False
    for round_, size in enumerate(round_sizes(terms)):
        if limited or size == 0:
            continue
        trials = _trials(terms, round_, size, records)
        mine = {trial.id: Record(trial) for trial in trials}
        records.extend(mine.values())
        running = list(trials)
        for rung in range(terms.rungs):
            if (round_ or rung) and over():
                limited = True
                break
            runs = _runs(terms, running, round_, rung)
            if not runs:
                break
            results = yield runs
            contest = []
            for run in runs:
                for trial, key in zip(run.trials, run.keys, strict=True):
                    record = mine[trial.id]
                    record.rungs.append((run.budget, results[key]))
                    record.status = _status(terms, run, results[key])
                    if not trial.protected:
                        contest.append(record.standing)
            going_on = set(survivors(contest, terms.halving, terms.goal)) if contest else set()
            running = [t for t in running if t.id in going_on]
        if all(record.last.metrics is None for record in records):
            raise EquipoiseError(_all_failed(records))
    return Course(records, limited)


def _trials(terms: Terms, round_: int, size: int, before: Sequence[Record]) -> list[Trial]:
    """The configurations of a round: first every pair with its default values, then what follows from the results."""
    start = len(before)
    chosen: list[tuple[Pair, Mapping[str, Any], bool]] = []
    if round_ == 0:
        chosen = [(pair, pair.defaults(), pair.baseline) for pair in terms.pairs[:size]]
    if size > len(chosen):
        seed = derive_seed(terms.seed, "suggestions", round_)
        suggested = suggest(terms.pairs, _told(terms.goal, before), size - len(chosen), seed)
        chosen.extend((pair, values, False) for pair, values in suggested)
    return [
        Trial(start + i, pair, values, derive_seed(terms.seed, "trial", start + i), round_, protected)
        for i, (pair, values, protected) in enumerate(chosen)
    ]


def _told(goal: Goal, records: Sequence[Record]) -> list[Told]:
    told = []
    for record in records:
        metrics = record.last.metrics
        objective = None if metrics is None else metrics.get(goal.maximize)
        if metrics is not None and objective is not None:
            told.append(Told(record.trial.pair, record.trial.values, objective, goal.excesses(metrics)))
    return told


def _runs(terms: Terms, running: Sequence[Trial], round_: int, rung: int) -> list[Run]:
    """One run per trial, in their order. Protected trials get the full budget at once, so that they never wait."""
    runs = []
    for trial in running:
        full = terms.budgets[trial.pair.learner]
        spent = full if trial.protected else budget(full, terms.halving, terms.rungs, rung)
        runs.append(Run(round_, rung, trial.pair, (trial,), spent))
    return runs


def _status(terms: Terms, run: Run, result: Result) -> str:
    if result.metrics is None:
        return "failed"
    return "finished" if run.budget == terms.budgets[run.pair.learner] else "halved"


def _all_failed(records: Sequence[Record]) -> str:
    reasons = dict.fromkeys(record.last.error or "no reason given" for record in records)
    listed = "\n".join(f"- {reason}" for reason in list(reasons)[:10])
    return f"tune: every trial failed, so there is nothing to choose from. The reasons:\n{listed}"
