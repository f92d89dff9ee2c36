"""How far a long piece of work is: the work reports here, and whoever drives it shows it, as a bar or in plain lines."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal, Protocol

if TYPE_CHECKING:
    from rich.progress import Progress

log = logging.getLogger("equipoise")

SECONDS_BETWEEN_LINES = 4.0
"""A line at least every five seconds is promised, so a little less."""

Unit = Literal["bytes", "trials", "steps", "seconds"]


@dataclass
class Meter:
    """One piece of work: what it is, how much of `total` is done (None: nobody knows how much there is), and a note."""

    what: str
    total: float | None
    unit: Unit
    show: Display
    done: float = 0.0
    note: str = ""
    began: float = field(default_factory=time.monotonic)
    handle: Any = None

    def advance(self, by: float = 1.0, note: str | None = None) -> None:
        """So much more is done."""
        self.update(self.done + by, note=note)

    def update(self, done: float, total: float | None = None, note: str | None = None) -> None:
        """So much is done in all; `note` stands beside it until the next one, as 'best 0.71'."""
        self.done = done
        self.total = self.total if total is None else total
        self.note = self.note if note is None else note
        self.show.update(self)

    @property
    def seconds_left(self) -> float | None:
        """What is left at the pace so far; None before there is one."""
        if not self.total or not self.done:
            return None
        return (time.monotonic() - self.began) / self.done * max(0.0, self.total - self.done)

    @property
    def text(self) -> str:
        """`searching: 5 of 24 trials, best 0.71, 40 s left`."""
        if self.unit == "bytes":
            amount = f"{self.done / 1e6:.1f}{f' of {self.total / 1e6:.1f}' if self.total else ''} MB"
        else:
            amount = f"{self.done:,.0f}{f' of {self.total:,.0f}' if self.total else ''} {self.unit}"
        left = self.seconds_left
        parts = [f"{self.what}: {amount}", self.note, f"{duration(left)} left" if left else ""]
        return ", ".join(part for part in parts if part)


class Display(Protocol):
    """Shows meters."""

    def begin(self, meter: Meter) -> None:
        """A piece of work begins."""

    def update(self, meter: Meter) -> None:
        """It got further."""

    def end(self, meter: Meter) -> None:
        """It is over, in one way or another."""


class Lines:
    """Plain log lines, not too many of them."""

    def __init__(self) -> None:
        self._last = time.monotonic()

    def begin(self, meter: Meter) -> None:
        """A line comes with the first seconds that pass."""
        self._last = time.monotonic()

    def update(self, meter: Meter) -> None:
        """A line, if the last one was some seconds ago."""
        if time.monotonic() - self._last >= SECONDS_BETWEEN_LINES:
            self._last = time.monotonic()
            log.info("%s", meter.text)

    def end(self, meter: Meter) -> None:
        """Nothing more: the work itself says what came out."""


class Bars:
    """Bars of rich, as long as there is something to show."""

    def __init__(self, bars: Progress | None = None) -> None:
        self._bars = bars
        self._own = bars is None

    def begin(self, meter: Meter) -> None:
        """A new bar."""
        if self._bars is None:
            from rich.console import Console

            self._bars = new_bars(Console(stderr=True))
            self._bars.start()
        meter.handle = self._bars.add_task(meter.what, total=meter.total, text="")

    def update(self, meter: Meter) -> None:
        """Move its bar."""
        if self._bars is not None:
            text = meter.text.removeprefix(f"{meter.what}: ")
            self._bars.update(meter.handle, completed=meter.done, total=meter.total, text=text)

    def end(self, meter: Meter) -> None:
        """Take the bar away, and with the last one the display, if it is our own."""
        if self._bars is None:
            return
        self._bars.remove_task(meter.handle)
        if self._own and not self._bars.task_ids:
            self._bars.stop()
            self._bars = None


def new_bars(console: Any) -> Progress:
    """The columns that every bar has; they vanish when the work is done."""
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(bar_width=24),
        TextColumn("{task.fields[text]}"),
    )
    return Progress(*columns, console=console, transient=True)


def duration(seconds: float) -> str:
    """`0.4 s`, `18 s`, `3 min 20 s`, `2 h 5 min`."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


_display: Display | None = None


def display() -> Display:
    """What shows the work that is reported now."""
    return _display or (Bars() if sys.stderr.isatty() else Lines())


@contextlib.contextmanager
def shown_by(display: Display) -> Iterator[None]:
    """For as long as the block lasts, this display shows what is reported, in place of the usual one."""
    global _display
    before, _display = _display, display
    try:
        yield
    finally:
        _display = before


@contextlib.contextmanager
def measured(what: str, total: float | None, unit: Unit) -> Iterator[Meter]:
    """Report one piece of work: a bar on a terminal, plain lines elsewhere, or whatever the driver shows it by."""
    show = display()
    meter = Meter(what, total, unit, show)
    show.begin(meter)
    try:
        yield meter
    finally:
        show.end(meter)
