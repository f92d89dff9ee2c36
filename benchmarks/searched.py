"""The search stage in a working copy of its own, for benchmarks that watch it from outside."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.encoded import mirror_has
from tasks import ingest, resample, split, start, tune
from tasks.overrides import effective, parse_settings
from tasks.params import Params

if TYPE_CHECKING:
    from tasks.search.tuner import Trained


@dataclass(frozen=True)
class Prepared:
    """A working copy in which everything before the search has run."""

    name: str
    root: Path
    params: Params

    def search(self) -> None:
        """Run the stage."""
        tune.STAGE.execute(self.params, self.root)

    def watched(self, address: str | None = None) -> list[Trained]:
        """Run the stage, on the cluster at the address if there is one, and say of every training where and when it was."""
        from tasks.search import cluster

        cluster.prepare_environment(address)
        from tasks.search import tuner

        found: list[Trained] = []
        tuner.watchers.append(found.append)
        try:
            self.search()
        finally:
            tuner.watchers.remove(found.append)
        return found


@contextmanager
def prepared(name: str, *settings: str) -> Iterator[Prepared]:
    """The data set of the catalogue, or the embedded one where its files are absent; `settings` as with --set."""
    chosen = name if mirror_has(name) else "lending"
    params = effective(Path(__file__).parents[1], parse_settings([f"data.name={chosen}", *settings])).params
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        ingest.STAGE.execute(params, root)
        (root / "data/validate").mkdir(parents=True)
        (root / "data/validate/results.json").write_text("{}")
        for stage in (split, start, resample):
            stage.STAGE.execute(params, root)
        yield Prepared(chosen, root, params)
