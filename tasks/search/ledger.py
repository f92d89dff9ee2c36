"""Finished results on disk, one file each, so that a search that was killed goes on where it was."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import shutil
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from tasks.search.campaign import Key, Result
from tasks.stage import write_json

LIBRARIES = ("numpy", "optuna", "ray", "scikit-learn", "torch")
"""Libraries whose version may change a result."""

FORGOTTEN_AFTER = 7 * 24 * 3600
"""Seconds after which an interrupted search is given up: its params, data or code have changed since."""


class Ledger:
    """The results of one search, in a directory that nothing else writes to."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self._results = directory / "results"
        self._clock = directory / "seconds.json"
        self._results.mkdir(parents=True, exist_ok=True)

    def load(self) -> dict[Key, Result]:
        """Every result that was written; a file that was not finished is left out, and so is trained again."""
        found = {}
        for path in sorted(self._results.glob("*.json")):
            try:
                value = json.loads(path.read_text(encoding="utf-8"))
                result = Result(value["metrics"], value["error"], value["stopped"])
                found[(value["round"], value["rung"], value["trial"])] = result
            except (ValueError, KeyError, TypeError):
                path.unlink()
        return found

    def write(self, key: Key, result: Result) -> None:
        """Add a result, whole or not at all."""
        round_, rung, trial = key
        value = {
            "round": round_, "rung": rung, "trial": trial, "metrics": result.metrics, "error": result.error,
            "stopped": result.stopped,
        }  # fmt: skip
        write_json(self._results / f"round{round_}-rung{rung}-trial{trial}.json", value)

    def seconds(self) -> float:
        """For how long this search has run so far, over all its starts."""
        try:
            return float(json.loads(self._clock.read_text(encoding="utf-8")))
        except (FileNotFoundError, ValueError):
            return 0.0

    def spent(self, seconds: float) -> None:
        """Write down for how long it has run."""
        write_json(self._clock, round(seconds, 1))

    def remove(self) -> None:
        """Forget the search, once its outputs are written; and others that nobody went on with for a long time."""
        shutil.rmtree(self.directory, ignore_errors=True)
        for other in self.directory.parent.iterdir():
            if other.is_dir() and time.time() - other.stat().st_mtime > FORGOTTEN_AFTER:
                shutil.rmtree(other, ignore_errors=True)


def identity(settings: Mapping[str, Any], inputs: Iterable[Path], code: Iterable[Path]) -> str:
    """A digest of all that a result follows from: the settings, the data, the code and the libraries."""
    digest = hashlib.sha256()
    versions = {name: importlib.metadata.version(name) for name in LIBRARIES}
    digest.update(json.dumps([settings, versions], sort_keys=True, default=str).encode())
    for root in (*inputs, *code):
        files = sorted(root.rglob("*")) if root.is_dir() else [root]
        for path in files:
            if path.is_file() and "__pycache__" not in path.parts:
                digest.update(path.relative_to(root.parent).as_posix().encode())
                with path.open("rb") as stream:
                    digest.update(hashlib.file_digest(stream, "sha256").digest())
    return digest.hexdigest()[:16]
