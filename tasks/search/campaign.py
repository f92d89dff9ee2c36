"""The course of a search, as data in and data out: rounds of suggestions, each halved in rungs, until one is chosen.

What is trained next follows from the results so far in the order of the trials, never from when they came in; so the
same results give the same search, whatever ran at once and however often it was interrupted.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from models.errors import EquipoiseError
from models.seeds import derive_seed
from tasks.search.choice import Goal, Standing
from tasks.search.halving import budget, survivors
from tasks.search.populations import Sizes, populations
from tasks.search.space import Pair
from tasks.search.suggestions import Told, suggest

Key = tuple[int, int, int]
"""Round, rung and trial: what a result belongs to."""

ROUND = 24
"""Trials in each round but the first of a search that the clock limits."""


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
    """One training: trials of one pair for one budget, which train as one population where there are several."""

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
        others = f"-and-{len(self.trials) - 1}" if len(self.trials) > 1 else ""
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

    `trials` is None in a search that the clock limits. `sizes` says how many trials of a pair one population may hold.
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
    """How many trials each round holds: every pair once, then the rest in equal parts; without end if the clock limits it."""
    if terms.trials is None:
        yield len(terms.pairs)
        while True:
            yield ROUND
    first = min(len(terms.pairs), terms.trials)
    rest, later = terms.trials - first, terms.rounds - 1
    if later == 0:
        yield terms.trials
        return
    yield first
    yield from (rest // later + (1 if i < rest % later else 0) for i in range(later))


def course(terms: Terms, over: Callable[[], bool]) -> Generator[list[Run], Mapping[Key, Result], Course]:
    """Yields what to train, all of which can run at once, and is sent the results; returns the finished search.

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
        running = list(trials)
        for rung in range(terms.rungs):
            if rung and over():
                limited = True
                break
            runs = _runs(terms, running, round_, rung)
            if not runs:
                break
            results = yield runs
            contest = []
            for run in runs:
                for trial, key in zip(run.trials, run.keys, strict=True):
                    if key not in results:
                        limited = True
                        continue
                    record = mine[trial.id]
                    record.rungs.append((run.budget, results[key]))
                    record.status = _status(terms, run, results[key])
                    limited = limited or results[key].stopped is not None
                    if not trial.protected:
                        contest.append(record.standing)
            if limited:
                break
            going_on = set(survivors(contest, terms.halving, terms.goal)) if contest else set()
            running = [t for t in running if t.id in going_on]
        records = [record for record in records if record.rungs]
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
        objective = None if metrics is None else goal.merit(metrics)
        if metrics is not None and objective is not None:
            told.append(Told(record.trial.pair, record.trial.values, objective, goal.excesses(metrics)))
    return told


def _runs(terms: Terms, running: Sequence[Trial], round_: int, rung: int) -> list[Run]:
    """The populations of a stage, in the order of their first trials.

    Every rung trains from the start, with all of its learning rate and phases in its own budget: what a recipe does last
    (deferred weights, a classifier trained anew) is then part of what it is judged by, on the first rung as on the last.
    Protected trials get the full budget at once, so that they never wait.
    """

    def spent(trial: Trial) -> int:
        full = terms.budgets[trial.pair.learner]
        return full if trial.protected else budget(full, terms.halving, terms.rungs, rung)

    together = populations([(trial.pair, trial.values, spent(trial)) for trial in running], terms.sizes)
    return [
        Run(
            round_, rung, running[positions[0]].pair, tuple(running[p] for p in positions), spent(running[positions[0]])
        )
        for positions in together
    ]


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
