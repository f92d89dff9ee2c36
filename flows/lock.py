"""One run at a time in one working copy: the second waits, or is refused and told who is there."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import sys
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import IO, Any

from models.errors import BusyError

FILE = Path(".equipoise") / "lock"
POLL_SECONDS = 0.5


@contextlib.contextmanager
def working_copy(root: Path, wait: bool = False) -> Iterator[int | None]:
    """Hold the working copy; a second holder is a BusyError, or waits. Yields the process that was killed here, if one was.

    The lock is the kernel's (flock), so it ends with the process however that ends; what the file says is for people.
    """
    path = root / FILE
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+", encoding="utf-8") as file:
        _acquire(file, root, wait)
        try:
            killed = _read(file).get("pid")
            _write(file, {"pid": os.getpid(), "since": _now(), "command": " ".join(sys.argv)})
            yield killed
        finally:
            _write(file, None)


def _acquire(file: IO[str], root: Path, wait: bool) -> None:
    said = False
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise BusyError(
                    f"{_holder(file, root)} Wait for it, run again with --wait, or work in another clone."
                ) from None
            if not said:
                print(f"{_holder(file, root)} Waiting for it.", file=sys.stderr, flush=True)
                said = True
            time.sleep(POLL_SECONDS)
        else:
            return


def _holder(file: IO[str], root: Path) -> str:
    """Who is there, in a sentence."""
    found = _read(file)
    who = f"process {found['pid']} since {found['since']}: {found['command']}" if found else "it has just started"
    return f"Another run works in {root.resolve()} ({who})."


def _read(file: IO[str]) -> dict[str, Any]:
    """What the holder, or the last one that was killed, has written; nothing while one is writing."""
    file.seek(0)
    try:
        found = json.loads(file.read())
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _write(file: IO[str], content: dict[str, object] | None) -> None:
    file.seek(0)
    file.truncate()
    if content is not None:
        file.write(json.dumps(content))
    file.flush()


def _now() -> str:
    return datetime.now().astimezone().isoformat(sep=" ", timespec="seconds")
