"""The prediction log: a line of JSON per prediction, in files that are finished by a rename and never changed after it."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import psutil

from models.errors import InputError
from models.schema import LABEL_SEPARATOR
from tasks.identity import redacted

SUFFIX, OPEN = ".jsonl", ".open"
FORMAT = 1
OWN = ("time", "prediction_id", "version", "role")
"""What every entry says of itself, besides the columns."""
SAID = ("decision", "prediction")
"""What an entry says of the row: a class or a list of labels, with probabilities, or a number."""


class PredictionLog:
    """Writes below `folder`/YYYY-MM-DD; a file is closed once it has so many bytes or seconds, and by `close`.

    Lines are written with one call each, so that a killed process leaves whole lines, but for the last one at most; what
    such a process left open is finished by the next one.
    """

    def __init__(self, folder: Path, most_bytes: int = 64 << 20, most_seconds: float = 600.0) -> None:
        self.folder = folder
        self._most_bytes, self._most_seconds = most_bytes, most_seconds
        self._lock = threading.Lock()
        self._path: Path | None = None
        self._file = -1
        self._bytes, self._begun, self._count = 0, 0.0, 0
        try:
            folder.mkdir(parents=True, exist_ok=True)
            finish_orphans(folder)
        except OSError as error:
            raise InputError(f"{folder} cannot hold a prediction log ({error.strerror}). Name another one.") from None

    def write(self, entries: Iterable[Mapping[str, Any]]) -> None:
        """Append entries; each gets the format's number. Values are cleaned of credentials."""
        lines = [
            (json.dumps(entry, ensure_ascii=False, allow_nan=False, default=str) + "\n").encode()
            for entry in redacted([{"format": FORMAT, **e} for e in entries])
        ]
        with self._lock:
            for line in lines:
                if self._path is not None and self._due(len(line)):
                    self._finish()
                if self._path is None:
                    self._begin()
                self._append(line)

    def close(self) -> None:
        """Finish the present file."""
        with self._lock:
            if self._path is not None:
                self._finish()

    def _due(self, more: int) -> bool:
        return self._bytes + more > self._most_bytes or time.monotonic() - self._begun > self._most_seconds

    def _begin(self) -> None:
        now = datetime.now(UTC)
        day = self.folder / now.strftime("%Y-%m-%d")
        day.mkdir(parents=True, exist_ok=True)
        self._count += 1
        self._path = day / f"{now.strftime('%H%M%S%f')}-{os.getpid()}-{self._count}{SUFFIX}{OPEN}"
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND, 0o640)
        self._bytes, self._begun = 0, time.monotonic()

    def _append(self, line: bytes) -> None:
        left = memoryview(line)
        try:
            while left:
                left = left[os.write(self._file, left) :]
        except OSError:
            # A disk that is full takes half a line: with the next one behind it, the file would be none of a log.
            with contextlib.suppress(OSError):
                os.ftruncate(self._file, self._bytes)
            raise
        self._bytes += len(line)

    def _finish(self) -> None:
        assert self._path is not None
        path, file = self._path, self._file
        # Whatever happens now, this file is not written to, or closed, once more: its number may be another's by then.
        self._path, self._file = None, -1
        try:
            os.fsync(file)
        finally:
            os.close(file)
            with contextlib.suppress(FileNotFoundError):  # somebody has tidied up
                os.replace(path, path.with_suffix(""))


def finish_orphans(folder: Path) -> None:
    """Finish the files of processes that are gone; half a line at the end is cut off."""
    for path in folder.glob(f"*/*{SUFFIX}{OPEN}"):
        process = path.name.split("-")[1]
        if process.isdigit() and int(process) != os.getpid() and psutil.pid_exists(int(process)):
            continue
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        if not whole:
            path.unlink()
            continue
        with path.open("r+b") as file:
            file.truncate(len(whole))
        with contextlib.suppress(FileNotFoundError):  # another process was faster
            os.replace(path, path.with_suffix(""))


def log_files(folder: Path) -> list[Path]:
    """The finished files below a folder, oldest first."""
    return sorted(folder.rglob(f"*{SUFFIX}"))


def entries_of(path: Path) -> Iterator[dict[str, Any]]:
    """The entries of one file; a line that is none is an InputError with its number."""
    with path.open(encoding="utf-8") as file:
        for number, line in enumerate(file, start=1):
            try:
                entry = json.loads(line)
            except ValueError as error:
                raise InputError(f"{path}, line {number}: not JSON ({error}). The file is no prediction log.") from None
            if not isinstance(entry, dict) or entry.get("format") != FORMAT:
                raise InputError(f"{path}, line {number}: no entry of a prediction log that this version reads.")
            yield entry


def read_log(paths: Iterable[Path], version: str | None = None) -> pd.DataFrame:
    """Entries as a table: time, prediction_id, version, role, decision and p_<class>, or prediction, then the logged columns.

    Several labels are joined by LABEL_SEPARATOR, as in a table of predictions.

    `version` keeps one version's. A column is named as it is in the data; one of the names above gets a leading dot.
    """
    rows = []
    for path in paths:
        for entry in entries_of(path):
            if not entry.keys() >= {*OWN, "columns"} or entry.keys().isdisjoint(SAID):
                raise InputError(f"{path}: an entry lacks {OWN[0]} or another key. The file is no prediction log.")
            if version is not None and entry["version"] != version:
                continue
            own = {k: entry[k] for k in (*OWN, *SAID) if k in entry}
            if isinstance(own.get("decision"), list):
                own["decision"] = LABEL_SEPARATOR.join(own["decision"])
            own |= {f"p_{name}": value for name, value in entry.get("probabilities", {}).items()}
            rows.append(own | {(f".{k}" if k in own else k): v for k, v in entry["columns"].items()})
    return pd.DataFrame(rows)
