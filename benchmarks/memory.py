"""The most memory that this process and all that descend from it had at once, seen from a thread of its own."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from dataclasses import dataclass

import psutil

MEBIBYTE = 1 << 20
EVERY = 0.2
"""Seconds between two looks."""


@dataclass
class Peak:
    """MiB: of all processes together, pages that several have mapped counted once (PSS), and of the largest one."""

    together: float = 0.0
    largest: float = 0.0

    def look(self) -> None:
        """Add up the processes as they are now."""
        me, together = psutil.Process(), 0.0
        for process in (me, *me.children(recursive=True)):
            with contextlib.suppress(psutil.Error, FileNotFoundError):
                own = process.memory_full_info().pss / MEBIBYTE
                together += own
                self.largest = max(self.largest, own)
        self.together = max(self.together, together)


@contextlib.contextmanager
def peak_memory() -> Iterator[Peak]:
    """What the block took at most."""
    peak, over = Peak(), threading.Event()

    def watch() -> None:
        while not over.wait(EVERY):
            peak.look()

    watching = threading.Thread(target=watch)
    watching.start()
    try:
        yield peak
    finally:
        over.set()
        watching.join()
