"""What a person sees of a run: bars and a running line on a terminal, plain lines elsewhere, never silent for long."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.progress import Progress, TaskID

from tasks.progress import SECONDS_BETWEEN_LINES, Bars, Lines, Meter, duration, new_bars, shown_by

LOGGER = logging.getLogger("equipoise")
TICK_SECONDS = 0.25
MARKS = {"ran": "[green]✓[/green]", "restored": "[cyan]↺[/cyan]", "up to date": "[dim]=[/dim]"}


def is_plain() -> bool:
    """Whether to print lines in place of bars: not a terminal, or continuous integration."""
    return not sys.stdout.isatty() or bool(os.environ.get("CI")) or os.environ.get("TERM") == "dumb"


@contextlib.contextmanager
def shown(says: str) -> Iterator[Console]:
    """Show what the stages say while the block lasts; `says` is what is going on before the first of them."""
    console = Console(highlight=False, soft_wrap=True)
    view: _Plain | _Live = _Plain(console, says) if is_plain() else _Live(console, says)
    handler = _Handler(view)
    level, propagate = LOGGER.level, LOGGER.propagate
    LOGGER.addHandler(handler)
    LOGGER.setLevel(logging.INFO)
    LOGGER.propagate = False
    try:
        with view, shown_by(view):
            yield console
    finally:
        LOGGER.removeHandler(handler)
        LOGGER.setLevel(level)
        LOGGER.propagate = propagate


class _Handler(logging.Handler):
    """Hands log records of the stages, and the flow's marks of their beginning and end, to the view."""

    def __init__(self, view: _Plain | _Live) -> None:
        super().__init__(logging.INFO)
        self._view = view

    def emit(self, record: logging.LogRecord) -> None:
        event, step = getattr(record, "event", None), getattr(record, "step", "")
        if event == "begins":
            self._view.begin_step(step, record.getMessage())
        elif event == "ends":
            self._view.end_step(step, record.getMessage(), getattr(record, "done", "ran"))
        elif record.module != "progress" or self._view.wants_progress:
            self._view.line(record.getMessage(), record.levelno)


class _View:
    """What both views keep: the step that runs, and since when."""

    def __init__(self, console: Console, says: str) -> None:
        self.console = console
        self.step = ""
        self.says = says
        self.began = time.monotonic()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="equipoise-console", daemon=True)

    def __enter__(self) -> Any:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _beat(self) -> None:
        while not self._over.wait(TICK_SECONDS):
            self.tick()

    def tick(self) -> None:
        """Called several times a second."""

    def now(self) -> str:
        """The running step and for how long it has run."""
        label = f"{self.step}: {self.says}" if self.step else self.says
        return f"{label}, {duration(time.monotonic() - self.began)}"

    wants_progress = True
    """Whether lines that say how far something is are wanted; where there are bars, these say it."""

    def begin_step(self, step: str, says: str) -> None:
        """A step begins."""
        self.step, self.says, self.began = step, says, time.monotonic()


class _Plain(_View, Lines):
    """One line per event, and one whenever nothing was said for some seconds."""

    def __init__(self, console: Console, says: str) -> None:
        _View.__init__(self, console, says)
        Lines.__init__(self)
        self._said = time.monotonic()
        self._meters: list[Meter] = []

    def begin(self, meter: Meter) -> None:
        Lines.begin(self, meter)
        self._meters.append(meter)

    def end(self, meter: Meter) -> None:
        self._meters.remove(meter)

    def update(self, meter: Meter) -> None:
        """The heartbeat tells."""

    def tick(self) -> None:
        if time.monotonic() - self._said >= SECONDS_BETWEEN_LINES:
            self.line(self._meters[-1].text if self._meters else self.now(), logging.INFO)

    def begin_step(self, step: str, says: str) -> None:
        super().begin_step(step, says)
        self._print(f"{step}: {says}")

    def end_step(self, step: str, message: str, done: str) -> None:
        """A step is over; the next may follow, or nothing more."""
        self._print(f"{step}: {'done in ' if done == 'ran' else ''}{message}")
        self.step, self.says, self.began = "", "finishing", time.monotonic()

    def line(self, text: str, level: int) -> None:
        """A line of the step that runs."""
        sign = "! " if level >= logging.WARNING else ""
        self._print(f"  {sign}{text}")

    def _print(self, text: str) -> None:
        self._said = time.monotonic()
        self.console.print(escape(text))


class _Live(_View, Bars):
    """A spinner for the step that runs, bars below it, and everything said above it."""

    wants_progress = False

    def __init__(self, console: Console, says: str) -> None:
        _View.__init__(self, console, says)
        self._progress: Progress = new_bars(console)
        Bars.__init__(self, self._progress)
        self._running: TaskID = self._progress.add_task(says, total=None, text="")

    def __enter__(self) -> Any:
        self._progress.start()
        return super().__enter__()

    def __exit__(self, *_: object) -> None:
        super().__exit__()
        self._progress.stop()

    def tick(self) -> None:
        self._progress.update(self._running, description=escape(self.now()))

    def end_step(self, step: str, message: str, done: str) -> None:
        """A step is over."""
        self.console.print(f"{MARKS[done]} {step:<9} [dim]{escape(message)}[/dim]")
        self.step, self.says, self.began = "", "finishing", time.monotonic()

    def line(self, text: str, level: int) -> None:
        """A line of the step that runs."""
        style = "yellow" if level >= logging.WARNING else "dim"
        self.console.print(f"  [{style}]{escape(text)}[/{style}]")
