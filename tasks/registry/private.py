"""Private directories that end with their process: whatever kills it, the next one can tell and clean up.

A process works in `<area>/<id>/` while it holds a lock on `<area>/<id>.lock`. The kernel drops the lock with the process,
so a directory whose lock can be taken was left by one that was killed, and may be removed.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import uuid
from pathlib import Path

LOCK = ".lock"


class Private:
    """A directory below `area` that is this process's own until `end`. Making one may raise OSError."""

    def __init__(self, area: Path) -> None:
        area.mkdir(parents=True, exist_ok=True)
        self._process = os.getpid()
        self.directory = area / uuid.uuid4().hex
        self._lock = _claim(self._lock_file)
        try:
            self.directory.mkdir()
        except OSError:
            self.end()
            raise

    @property
    def _lock_file(self) -> Path:
        return self.directory.with_suffix(LOCK)

    def end(self) -> None:
        """Remove it. May be called again; a forked process leaves its parent's alone."""
        if self._lock < 0 or os.getpid() != self._process:
            return
        shutil.rmtree(self.directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            self._lock_file.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1


def remove_abandoned(area: Path) -> int:
    """Remove the directories of processes that are gone; the number of them. Raises OSError if `area` cannot be read."""
    removed = 0
    for lock in list(area.glob(f"*{LOCK}")) if area.is_dir() else []:
        with contextlib.suppress(OSError):
            held = os.open(lock, os.O_RDWR)
            try:
                fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
                shutil.rmtree(lock.with_suffix(""), ignore_errors=True)
                lock.unlink(missing_ok=True)
                removed += 1
            finally:
                os.close(held)
    return removed


def _claim(path: Path) -> int:
    """Create a lock file and hold its lock. A cleaner may have removed it in between: then another one is made."""
    while True:
        held = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        fcntl.flock(held, fcntl.LOCK_EX)
        with contextlib.suppress(FileNotFoundError):
            if os.stat(path).st_ino == os.fstat(held).st_ino:
                return held
        os.close(held)
