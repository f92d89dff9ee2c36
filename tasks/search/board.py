"""A search while it runs: what is to be trained next, what is being trained, and what came out."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterable

from tasks.search.campaign import Course, Key, Result, Run, Terms, course, round_sizes
from tasks.search.ledger import Ledger


class Board:
    """Hands out runs in order, at most `at_once` of them, and takes their results in any order.

    Results that the ledger has are taken from there. `runs` are all that were due so far, those of the present stage
    among them.
    """

    def __init__(self, terms: Terms, ledger: Ledger, minutes: float | None = None) -> None:
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
        self._minutes = minutes
        self._began = time.monotonic() - ledger.seconds()
        self._course = course(terms, self._over)
        self._go(functools.partial(next, self._course))
        self._proceed()

    def next(self) -> Run | None:
        """A run that may start now, or None."""
        if len(self.under_way) >= self.at_once:
            return None
        for run in self.stage:
            if run.name not in self.under_way and not self.has(run):
                self.under_way.add(run.name)
                return run
        return None

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
        rounds = sum(size > 0 for size in round_sizes(self.terms))
        return not self.stage or (self.stage[0].round, self.stage[0].rung) == (rounds - 1, self.terms.rungs - 1)

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
        try:
            for key, result in zip(run.keys, results, strict=True):
                self.ledger.write(key, result)
                self.known[key] = result
            self.ledger.spent(time.monotonic() - self._began)
            self._proceed()
        except Exception as error:  # noqa: BLE001 - raised by whoever runs the search, once Tune has ended
            self.error, self.stage = error, []

    def fail(self, name: str, reason: str) -> None:
        """A run that failed more often than it may: all its trials have failed."""
        run = next((r for r in self.stage if r.name == name), None)
        self.record(name, [Result(None, reason) for _ in (run.trials if run else ())])

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
            results: dict[Key, Result] = {key: self.known[key] for run in self.stage for key in run.keys}
            self._go(functools.partial(self._course.send, results))

    def _over(self) -> bool:
        return self._minutes is not None and time.monotonic() - self._began > 60 * self._minutes
