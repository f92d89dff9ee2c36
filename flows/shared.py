"""Finished stages in a remote: put there as they end, and brought from there where another clone has done them.

What a stage made is named by its content, and the note of what it made by all that it was made from (DVC's run cache). The
note goes last, and is looked at first: half of an upload is nothing.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import logging
import os
import re
import tempfile
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import Any

from models.errors import EquipoiseError
from tasks.params import read_yaml
from tasks.remote import Remote

log = logging.getLogger("equipoise")

AT_ONCE = 8
FOLDER = ".dir"
_SUM = re.compile(r"[0-9a-f]{32}(\.dir)?")
_NOTE = re.compile(r"[0-9a-f]{64}")


class Shared:
    """DVC's cache of one working copy and a remote. `place` is where the cache keeps an object, `notes` its run cache.

    What goes wrong in the remote is said, and is no reason to stop: the stage is then done here, or known here alone.
    """

    def __init__(self, remote: Remote, place: Callable[[str], Path], notes: Path) -> None:
        self._remote = remote
        self._place = place
        self._notes = notes

    def offer(self, key: str) -> None:
        """Put what the cache knows of a stage with these inputs into the remote."""
        try:
            for note in sorted((self._notes / key[:2] / key).glob("*")):
                name = _name_of(key, note.name)
                if _NOTE.fullmatch(note.name) and not self._remote.has(name):
                    self._put({str(out["md5"]) for out in read_yaml(note).get("outs") or ()})
                    self._remote.put(name, note)
        except (EquipoiseError, OSError) as error:
            log.warning("not stored for other clones: %s", error)

    def take(self, key: str, outputs: Collection[str]) -> bool:
        """Bring what the remote knows of a stage with these inputs and outputs into the cache. Whether there is anything."""
        try:
            return any(self._take(key, name, outputs) for name in self._remote.names(f"runs/{key[:2]}/{key}"))
        except (EquipoiseError, OSError) as error:
            log.warning("what other clones did is not known: %s", error)
            return False

    def _take(self, key: str, name: str, outputs: Collection[str]) -> bool:
        if not _NOTE.fullmatch(name):
            return False
        with self._fetched(_name_of(key, name), self._notes / key[:2] / key / name) as note:
            if note is None:
                return False
            made = _made(read_yaml(note))
            if set(made) != set(outputs):
                raise EquipoiseError(
                    f"{self._remote.url}: {_name_of(key, name)} names other outputs than the stage has"
                )
            if not all(self._bring(str(sum_)) for sum_ in made.values()):
                note.unlink()
                return False
        return True

    @contextlib.contextmanager
    def _fetched(self, name: str, target: Path) -> Iterator[Path | None]:
        """An object in a file of its own, which becomes `target` at the end of the block unless it is removed there."""
        target.parent.mkdir(parents=True, exist_ok=True)
        # Not beside the target: DVC takes whatever lies there for a note.
        with tempfile.TemporaryDirectory(dir=self._notes.parent, prefix=".") as folder:
            beside = Path(folder) / target.name
            yield beside if self._remote.fetch(name, beside) else None
            if beside.exists():
                os.replace(beside, target)

    def _put(self, sums: Iterable[str]) -> None:
        """Objects and, before a folder's list, what it lists."""

        def put(sum_: str) -> None:
            name = _object(sum_)
            if self._remote.has(name):
                return
            if sum_.endswith(FOLDER):
                self._put({entry["md5"] for entry in json.loads(self._place(sum_).read_bytes())})
            self._remote.put(name, self._place(sum_))

        _each(put, sums)

    def _bring(self, sum_: str) -> bool:
        """An object and, if it is a folder's list, what it lists; every one is held against its sum."""
        if not _SUM.fullmatch(sum_):
            return False
        place = self._place(sum_)
        if not place.exists():
            with self._fetched(_object(sum_), place) as content:
                if content is None:
                    return False
                if _sum(content) != sum_.removesuffix(FOLDER):
                    raise EquipoiseError(f"{self._remote.url}: {_object(sum_)} is damaged; it is not used")
                content.chmod(0o444)  # as DVC's own, which are not to be changed
        if not sum_.endswith(FOLDER):
            return True
        entries = json.loads(place.read_bytes())
        for entry in entries:
            path = PurePosixPath(entry["relpath"])
            if path.is_absolute() or ".." in path.parts:
                raise EquipoiseError(f"{self._remote.url}: {_object(sum_)} leads outside with {entry['relpath']!r}")
        return all(_each(self._bring, {str(entry["md5"]) for entry in entries}))


def _made(note: Any) -> dict[str, Any]:
    """What a note says that a stage made: path -> sum; nothing where it is no note."""
    outs = note.get("outs") if isinstance(note, dict) else None
    listed = outs if isinstance(outs, list) else []
    return {str(out["path"]): out.get("md5") for out in listed if isinstance(out, dict) and "path" in out}


def _name_of(key: str, note: str) -> str:
    return f"runs/{key[:2]}/{key}/{note}"


def _object(sum_: str) -> str:
    return f"files/md5/{sum_[:2]}/{sum_[2:]}"


def _sum(path: Path) -> str:
    with path.open("rb") as content:
        return hashlib.file_digest(content, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _each(act: Callable[[str], Any], names: Iterable[str]) -> list[Any]:
    chosen = sorted(names)
    if len(chosen) < 2:
        return [act(name) for name in chosen]
    with ThreadPoolExecutor(AT_ONCE) as threads:
        return list(threads.map(act, chosen))
