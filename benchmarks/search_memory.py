"""Whether the rows are held once, however many trials read them: memory of every process while a search runs.

Run it: `python -m benchmarks.search_memory`. It reads /proc several times a second. The tables lie in the object store,
a mapping that all trials share: a page that n processes have mapped counts 1/n in the proportional share (PSS) of each.
"""

from __future__ import annotations

import logging
import sys
import threading
from collections import defaultdict
from dataclasses import dataclass, field
from statistics import fmean, median

import psutil

from benchmarks.encoded import encoded_data
from benchmarks.searched import prepared
from benchmarks.table import Row, publish
from tasks.search.tables import Table

MEBIBYTE = 1 << 20
STORE = "plasma"
"""What the object store's mapping is called."""

SETTINGS = (
    "search.recipes=[weighted_ce,balanced_softmax]", "model.learners=[mlp]", "search.budget.trials=4", "search.rounds=1",
    "search.rungs=1", "search.subject_to={}", "model.epochs=1", "model.hidden=[32]", "model.batch_size=4096",
)  # fmt: skip


@dataclass
class Seen:
    """What was seen, in MiB: the most that each trial's process had mapped and had of its own; and the store.

    The store is counted over all processes, listed by how many trials had tables mapped at that moment. The processes
    are read one after the other, so that a single count may be off while one of them is still mapping.
    """

    mapped: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    own: dict[int, float] = field(default_factory=lambda: defaultdict(float))
    store: dict[int, list[float]] = field(default_factory=lambda: defaultdict(list))

    def look(self) -> None:
        """Add up the maps of this process and of all that descend from it."""
        me, together, trials = psutil.Process(), 0.0, 0
        for process in (me, *me.children(recursive=True)):
            try:
                name, maps = process.name(), process.memory_maps(grouped=False)
            except (psutil.Error, FileNotFoundError):
                continue
            shared = [m for m in maps if STORE in m.path]
            together += sum(m.pss for m in shared) / MEBIBYTE
            mapped = sum(m.rss for m in shared) / MEBIBYTE
            if name.startswith("ray::") and mapped > 1:
                trials += 1
                own = sum(m.private_clean + m.private_dirty for m in maps if STORE not in m.path) / MEBIBYTE
                self.mapped[process.pid] = max(self.mapped[process.pid], mapped)
                self.own[process.pid] = max(self.own[process.pid], own)
        self.store[trials].append(together)


def main() -> None:
    """Search with one and with two trials at once, and with two on a tenth of the rows."""
    logging.basicConfig(level=logging.INFO, format="%(message)s", stream=sys.stderr)
    one, two = _searched("resources.concurrent_trials=1"), _searched("resources.concurrent_trials=2")
    tenth = _searched("resources.concurrent_trials=2", "data.rows=66580")
    rows = [
        Row("the tables that a trial reads", [_size()], "MiB"),
        Row("mapped by each of two trials at once", [fmean(two.mapped.values())], "MiB"),
        Row("object store, one trial at a time", [median(one.store[1])], "MiB"),
        Row("object store, two trials at once", [median(two.store[2])], "MiB", at_most=1.1 * median(one.store[1])),
        Row("a trial's own memory", [fmean(two.own.values())], "MiB"),
        Row("a trial's own memory with a tenth of the rows", [fmean(tenth.own.values())], "MiB"),
    ]
    publish(
        "search_memory",
        "Rows of acsincome in memory while the search trains on them",
        rows,
        notes=["The object store is counted over all processes, each page once, however many have it mapped."],
    )


def _searched(*settings: str) -> Seen:
    """What was seen of a search, from another thread."""
    seen, over = Seen(), threading.Event()

    def look() -> None:
        while not over.wait(0.2):
            seen.look()

    with prepared("acsincome", *SETTINGS, *settings) as ready:
        watching = threading.Thread(target=look)
        watching.start()
        try:
            ready.search()
        finally:
            over.set()
            watching.join()
    return seen


def _size() -> float:
    """MiB of the encoded parts."""
    data = encoded_data("acsincome", *SETTINGS)
    return sum(Table.of(part).size for part in (data.train, data.valid, data.calib)) / MEBIBYTE


if __name__ == "__main__":
    main()
