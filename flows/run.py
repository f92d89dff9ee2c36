"""One run of the pipeline in one working copy: what it works with, which stages are due, and how each is brought up to date."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import replace
from pathlib import Path

from flows.ledger import Done, Ledger
from flows.lock import working_copy
from flows.pipeline import PIPELINE, STEPS
from flows.unseen import lost_version, stale_data, stale_start, stale_verdict
from models.errors import InputError
from tasks.overrides import Effective, Settings, effective, write
from tasks.params import check_recipes
from tasks.sources.catalog import find_entry

log = logging.getLogger("equipoise")


class Run:
    """A run that holds its working copy. `due` names the stages that are not up to date, each with the reason."""

    def __init__(self, root: Path, chosen: Effective, ledger: Ledger, due: dict[str, str]) -> None:
        self.root = root
        self.chosen = chosen
        self.ledger = ledger
        self.due = due

    def check(self) -> None:
        """What parsing could not check without importing the methods: that every recipe can be built."""
        try:
            check_recipes(self.chosen.params)
        except InputError:
            # Nothing has run: the file goes back to what its owner wrote.
            write(self.root, replace(self.chosen, text=self.chosen.base))
            raise

    def bring_up_to_date(self, name: str) -> Done:
        """One stage: left alone, taken from DVC's cache, or executed here; and recorded with DVC."""
        reason = self._unseen(name)
        if reason is not None:
            log.info("%s: %s", name, reason)
        done = self.ledger.run(name, lambda: self._execute(name), force=reason is not None)
        if done == "restored" and (reason := self._unseen(name)) is not None:
            # It was known what came of these inputs once; what lies outside of the working copy has changed since.
            log.info("%s: %s", name, reason)
            done = self.ledger.run(name, lambda: self._execute(name), force=True)
        return done

    def _execute(self, name: str) -> None:
        STEPS[name].stage().execute(self.chosen.params, self.root)

    def _unseen(self, name: str) -> str | None:
        """Why a stage must be executed although DVC sees no change."""
        params = self.chosen.params
        if name == "ingest":
            return stale_data(self.root, params)
        if name == "start":
            return stale_start(self.root, params)
        if name == "register":
            return lost_version(self.root, params)
        if name == "gate" and (lost_version(self.root, params) or self.ledger.is_due("register")):
            # A verdict about another champion would be refused when it comes to registering.
            return stale_verdict(self.root, params)
        return None


_HELD: ContextVar[Run | None] = ContextVar("held", default=None)


@contextlib.contextmanager
def held(run: Run) -> Iterator[None]:
    """While the block lasts, `opened` gives this run to the flow that is called in it."""
    token = _HELD.set(run)
    try:
        yield
    finally:
        _HELD.reset(token)


@contextlib.contextmanager
def opened(root: Path, settings: Settings = (), params_file: Path | None = None, wait: bool = False) -> Iterator[Run]:
    """Take the working copy, make params.yaml say what the run works with, and find out what is due.

    Raises BusyError when another run, or DVC, is at work here, and InputError for what is wrong with the parameters;
    nothing has been changed then. A run that the caller holds already is the one.
    """
    run = _HELD.get()
    if run is not None:
        yield run
        return
    with working_copy(root, wait) as killed:
        chosen = effective(root, settings, params_file)
        if chosen.params.data.name is not None and chosen.params.data.path is None:
            find_entry(chosen.params.data.name)
        ledger = Ledger(root)
        with ledger.held(killed):
            write(root, chosen)
            due = ledger.outdated()
            for name, reason in (
                ("ingest", stale_data(root, chosen.params)),
                ("start", stale_start(root, chosen.params)),
                ("register", lost_version(root, chosen.params)),
            ):
                if reason is not None:
                    due.setdefault(name, reason)
            order = [step.name for step in PIPELINE]
            yield Run(root, chosen, ledger, {name: due[name] for name in order if name in due})
