"""Finished results on disk, one file each, so that a search that was killed goes on where it was.

Where there is a remote, they go there as well, and a search in another clone goes on from there.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import shutil
import threading
import time
from pathlib import Path

from models.errors import EquipoiseError
from tasks.remote import Remote
from tasks.search.campaign import Key, Result
from tasks.stage import replacing, write_json

log = logging.getLogger("equipoise")

FORGOTTEN_AFTER = 7 * 24 * 3600
"""Seconds after which an interrupted search is given up: its params, data or code have changed since."""


AGAIN_SECONDS = 30.0
"""Pause after which a remote that did not take a result is asked again."""

POLL_SECONDS = 0.05

_RESULT = re.compile(r"round\d+-rung\d+-trial\d+\.json")


class Ledger:
    """The results of one search, in a directory that nothing else writes to, and in a remote if there is one.

    The directory is called by the identity of the search, which is also what the remote calls it by.
    """

    def __init__(self, directory: Path, remote: Remote | None = None) -> None:
        self.directory = directory
        self._sender = None if remote is None else _Sender(remote, f"search/{directory.name}")
        self._results = directory / "results"
        self._clock = directory / "seconds.json"
        self._results.mkdir(parents=True, exist_ok=True)

    def load(self) -> dict[Key, Result]:
        """Every result that was written; a file that was not finished is left out, and so is trained again."""
        found = {}
        if self._sender is not None:
            self._sender.bring(self._results)
        for path in sorted(self._results.glob("*.json")):
            try:
                value = json.loads(path.read_text(encoding="utf-8"))
                result = Result(value["metrics"], value["error"], value["stopped"])
                found[(value["round"], value["rung"], value["trial"])] = result
            except (ValueError, KeyError, TypeError):
                path.unlink()
        return found

    def write(self, key: Key, result: Result) -> None:
        """Add a result, whole or not at all. What failed here may succeed on another machine, and stays here."""
        round_, rung, trial = key
        value = {
            "round": round_, "rung": rung, "trial": trial, "metrics": result.metrics, "error": result.error,
            "stopped": result.stopped,
        }  # fmt: skip
        path = self._results / f"round{round_}-rung{rung}-trial{trial}.json"
        write_json(path, value)
        if self._sender is not None and result.metrics is not None:
            self._sender.send(path)

    def settled(self, seconds: float) -> bool:
        """Wait, but not for longer, until the remote has everything; whether it has."""
        return self._sender is None or self._sender.settled(seconds)

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


class _Sender:
    """Brings results to and from the remote; sending is done by a thread, so that no training waits for it."""

    def __init__(self, remote: Remote, folder: str) -> None:
        self._remote = remote
        self._folder = folder
        self._waiting: queue.Queue[Path] = queue.Queue()
        self._thread: threading.Thread | None = None

    def bring(self, results: Path) -> None:
        """Write to `results` what is known elsewhere and not here."""
        try:
            for name in self._remote.names(self._folder):
                if _RESULT.fullmatch(name) and not (results / name).exists():
                    with replacing(results / name) as temporary:
                        self._remote.fetch(f"{self._folder}/{name}", temporary)
        except (EquipoiseError, OSError) as error:
            log.warning("search: what other clones have trained is not known: %s", error)

    def send(self, path: Path) -> None:
        """Have it sent soon."""
        self._waiting.put(path)
        if self._thread is None:
            self._thread = threading.Thread(target=self._work, name="results-to-remote", daemon=True)
            self._thread.start()

    def _work(self) -> None:
        said = False
        while True:
            path = self._waiting.get()
            while path.exists():  # they go when the search is over: then its outputs are what is kept
                try:
                    self._remote.put(f"{self._folder}/{path.name}", path)
                    break
                except (EquipoiseError, OSError) as error:
                    if not said:
                        log.warning("search: results are not stored for other clones at present: %s", error)
                        said = True
                    time.sleep(AGAIN_SECONDS)
            self._waiting.task_done()

    def settled(self, seconds: float) -> bool:
        """Wait until nothing waits to be sent."""
        end = time.monotonic() + seconds
        while self._waiting.unfinished_tasks and time.monotonic() < end:
            time.sleep(POLL_SECONDS)
        return not self._waiting.unfinished_tasks
