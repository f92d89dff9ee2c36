"""A search while it runs: what is to be trained next, what is being trained, and what came out."""

from __future__ import annotations

import functools
import logging
import math
import time
from collections.abc import Callable, Iterable

from tasks.search.campaign import Course, Key, Result, Run, Terms, course, round_sizes
from tasks.search.checkpoints import Rungs
from tasks.search.ledger import Ledger

log = logging.getLogger("equipoise")

CLOSE = 0.02
"""Share of the time limit that is left to trainings that end later than they thought they would."""

ENDING = 2.0
"""Seconds that a search needs at least to stop its processes and to write its record."""

STOPPING = 0.2
"""About the time that stopping its processes takes, as a share of the time that starting them took."""

MOST_FOR_ENDING = 0.1
"""Share of the limit that is set aside for the end at most."""


class Board:
    """Hands out runs, at most `at_once` of them, and takes their results in any order.

    Without a limit of time what will take longest comes first, by what its learner took so far, so that no process waits
    long for another at the end of a stage; with one, runs come in order. What is trained and chosen is the same.

    Results that the ledger has are taken from there. `runs` are all that were due so far, those of the present stage
    among them.

    With `minutes` the search has a limit. It counts from `began`, the first line of the stage, and covers all up to the
    written record: reading and encoding the rows, the start of Ray and its processes, training, scoring, and the end of
    the processes, for which `ending` is set aside by how long the start took. An interrupted search has what was left.
    Trainings are asked to end a little before that (`seconds_left`), with the best models so far; what was not begun by
    then is left out, and so is what goes on regardless (`give_up`), unless there is nothing else to choose from.
    """

    def __init__(
        self,
        terms: Terms,
        ledger: Ledger,
        minutes: float | None = None,
        began: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.terms = terms
        self.ledger = ledger
        self.at_once = 1
        self.known = ledger.load()
        self.finished: Course | None = None
        self.error: Exception | None = None
        self.runs: list[Run] = []
        self.stage: list[Run] = []
        self.under_way: set[str] = set()
        self.stages = 0
        self.on_stage: Callable[[], None] = lambda: None
        self.limit = None if minutes is None else 60 * minutes
        self.started_in = 0.0
        self._handed_out: dict[str, float] = {}
        self._pace: dict[str, float] = {}  # seconds of a training for one of its budget, by learner
        self._clock = clock
        self._began = (clock() if began is None else began) - ledger.seconds()
        self._course = course(terms, lambda: self.late)
        self._go(functools.partial(next, self._course))
        self._proceed()

    def next(self) -> Run | None:
        """A run that may start now, or None."""
        self.close_if_late()
        if len(self.under_way) >= self.at_once or (self.late and self.under_way):
            return None
        waiting = [run for run in self.stage if run.name not in self.under_way and not self.has(run)]
        if not waiting:
            return None
        run = waiting[0] if self.limit is not None else max(waiting, key=self._expected)
        self.under_way.add(run.name)
        self._handed_out[run.name] = self._clock()
        return run

    def _expected(self, run: Run) -> float:
        """Seconds that a run will take, by the last of its learner; endless where there was none."""
        if not run.spends:
            return 0.0
        return self._pace.get(run.pair.learner, math.inf) * len(run.trainings) * run.spends

    def has(self, run: Run) -> bool:
        """Whether its results are known."""
        return all(key in self.known for key in run.keys)

    @property
    def over(self) -> bool:
        """Whether there is nothing more to train, for good or for bad."""
        return self.finished is not None or self.error is not None

    @property
    def in_last_stage(self) -> bool:
        """Whether nothing comes after the present stage."""
        if not self.stage or self.terms.trials is None:
            return not self.stage
        rounds = sum(size > 0 for size in round_sizes(self.terms))
        return (self.stage[0].round, self.stage[0].rung) == (rounds - 1, self.terms.rungs - 1)

    @property
    def ending(self) -> float:
        """Seconds set aside for the end; `started_in` is how long the start of the processes took."""
        return max(ENDING, min(STOPPING * self.started_in, MOST_FOR_ENDING * (self.limit or 0.0)))

    @property
    def seconds_to_end(self) -> float | None:
        """How long until the search ends without what is still under way; None without a limit."""
        return None if self.limit is None else self.limit - self.ending - self.spent

    @property
    def seconds_left(self) -> float | None:
        """How long training may go on, so that the search ends in time; None without a limit."""
        return None if self.limit is None else (1 - CLOSE) * self.limit - self.ending - self.spent

    @property
    def late(self) -> bool:
        """Whether the time is up, or about to be."""
        return self.seconds_left is not None and self.seconds_left <= 0

    @property
    def spent(self) -> float:
        """Seconds that this search has taken so far, over all its starts."""
        return self._clock() - self._began

    def close_if_late(self) -> None:
        """Once the time is up and nothing is under way any more, end the stage without what was not begun."""
        if not self.late or not self.stage or self.under_way or not self.any_sound:
            return
        left = sum(len(run.trials) for run in self.stage if not self.has(run))
        if left:
            log.info("search: the time is up; %d more configurations were not begun, or not brought to an end", left)
        self._guarded(self._step_with_what_is_known)

    def give_up(self) -> None:
        """Once the search has to end, do so without what is still under way, if there is something to choose from."""
        if self.seconds_to_end is not None and self.seconds_to_end <= 0 and self.any_sound:
            self.under_way.clear()
            self.close_if_late()

    def adopt(self, names: Iterable[str]) -> None:
        """These runs are under way already: a restored search goes on with them."""
        self.under_way.update({run.name for run in self.stage if not self.has(run)}.intersection(names))

    def record(self, name: str, results: list[Result]) -> None:
        """The results of a run, in the order of its trials. A run whose results are known changes nothing.

        What goes wrong here ends the search; it is kept in `error`, as Tune would take an exception for the trial's.
        """
        self.under_way.discard(name)
        run = next((r for r in self.stage if r.name == name), None)
        if run is None or self.has(run):
            return
        self._guarded(functools.partial(self._take, run, results))
        self.close_if_late()

    def fail(self, name: str, reason: str) -> None:
        """A run that failed more often than it may: all its trials have failed, unless it is given up anyway."""
        self.give_up()
        run = next((r for r in self.stage if r.name == name), None)
        self.record(name, [Result(None, reason) for _ in (run.trials if run else ())])

    def end(self, error: Exception) -> None:
        """Hand out nothing more, for this reason; what is known stays known."""
        self.error, self.stage = error, []

    def _guarded(self, step: Callable[[], None]) -> None:
        try:
            step()
        except Exception as error:  # noqa: BLE001 - raised by whoever runs the search, once Tune has ended
            self.end(error)

    def _take(self, run: Run, results: list[Result]) -> None:
        for note in dict.fromkeys(result.note for result in results if result.note):
            log.warning("search: %s on %s: %s", run.pair.recipe.name, run.pair.learner, note)
        if run.name in self._handed_out:
            took = self._clock() - self._handed_out.pop(run.name)
            if run.spends:
                self._pace[run.pair.learner] = took / (len(run.trainings) * run.spends)
        for key, result in zip(run.keys, results, strict=True):
            if key not in self.known:
                self.ledger.write(key, result)
                self.known[key] = result
        if run.origin is not None:
            Rungs(self.ledger.directory).forget(run.origin.name)
        self.ledger.spent(self.spent)
        self._proceed()

    @property
    def any_sound(self) -> bool:
        """Whether there is something to choose from."""
        return any(self.known[key].metrics is not None for run in self.runs for key in run.keys if key in self.known)

    def _go(self, step: Callable[[], list[Run]]) -> None:
        """Take one step of the course."""
        try:
            self.stage = step()
            self.runs.extend(self.stage)
        except StopIteration as end:
            self.finished, self.stage = end.value, []
        self.stages += 1
        self.on_stage()

    def _proceed(self) -> None:
        """Go on as far as the results are known."""
        while self.finished is None and all(self.has(run) for run in self.stage):
            self._step_with_what_is_known()

    def _step_with_what_is_known(self) -> None:
        known: dict[Key, Result] = {key: self.known[key] for run in self.stage for key in run.keys if key in self.known}
        self._go(functools.partial(self._course.send, known))
