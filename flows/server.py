"""Prefect's own server for one run: it outlives a run that is killed, so the next run ends it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import psutil

from models.errors import InputError
from tasks.stage import read_json, write_json

FILE = Path(".equipoise") / "server.json"
MARK = "prefect.server.api.server"
"""Stands in the command line of the server that Prefect starts where none is set up."""


def note(root: Path) -> None:
    """Write down which server was started for this process, if one was."""
    for child in psutil.Process(os.getpid()).children():
        with contextlib.suppress(psutil.Error):
            if any(MARK in word for word in child.cmdline()):
                write_json(root / FILE, {"pid": child.pid, "created": child.create_time()})


def end_orphan(root: Path) -> None:
    """End the server of a run that was killed. A process that merely has the same number is left alone."""
    try:
        noted = read_json(root / FILE)
    except InputError:
        return
    with contextlib.suppress(psutil.Error):
        server = psutil.Process(noted["pid"])
        if server.create_time() == noted["created"]:
            server.terminate()
    (root / FILE).unlink(missing_ok=True)
