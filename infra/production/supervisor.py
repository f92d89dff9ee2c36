"""Processes that are started in order, started again when they die, and ended in reverse; none outlives the supervisor."""

from __future__ import annotations

import ctypes
import os
import pwd
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from models.errors import EquipoiseError, InputError

POLL_SECONDS = 0.2
SECONDS_TO_STOP = 30.0
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 30.0
STEADY_SECONDS = 60.0
LOG_TAIL_BYTES = 2000
PR_SET_PDEATHSIG = 1


@dataclass(frozen=True)
class Program:
    """A process to keep alive: `ready` says when others may use it, `stop` is the signal that ends it in good order.

    `user` runs it where this process is root; `environment` is added to this process's own.
    """

    name: str
    words: tuple[str, ...]
    ready: Callable[[], bool]
    environment: Mapping[str, str] = field(default_factory=dict)
    folder: Path | None = None
    user: str | None = None
    stop: signal.Signals = signal.SIGTERM
    patience: float = 180.0


@dataclass
class _Kept:
    program: Program
    process: subprocess.Popen[bytes]
    since: float
    pause: float = FIRST_PAUSE
    again_at: float | None = None


class Supervisor:
    """Starts programs and looks after them; what they print goes to a file each in `logs`."""

    def __init__(self, logs: Path, say: Callable[[str], None]) -> None:
        self.logs = logs
        self._say = say
        self._kept: list[_Kept] = []
        logs.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Supervisor:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self, program: Program) -> None:
        """Start it and wait until it is ready. Raises EquipoiseError with the end of its log if it is not."""
        kept = _Kept(program, self._begin(program), time.monotonic())
        self._kept.append(kept)
        self._wait(kept)

    def start_again(self, name: str) -> None:
        """kill -9 a program, and start it at once, however often it has died."""
        kept = next(kept for kept in self._kept if kept.program.name == name)
        kept.process.kill()
        kept.process.wait()
        kept.process, kept.since, kept.again_at = self._begin(kept.program), time.monotonic(), None
        self._wait(kept)

    def forget(self, name: str) -> None:
        """A program that has died, or was killed, is not started again."""
        self._kept = [kept for kept in self._kept if kept.program.name != name or kept.process.poll() is None]

    def _wait(self, kept: _Kept) -> None:
        program, began = kept.program, kept.since
        while not program.ready():
            if kept.process.poll() is not None:
                raise EquipoiseError(
                    f"{program.name} ended with exit code {kept.process.returncode}.\n{self._tail(program)}"
                )
            if time.monotonic() > began + program.patience:
                raise EquipoiseError(
                    f"{program.name} was not ready after {program.patience:g} s.\n{self._tail(program)}"
                )
            time.sleep(POLL_SECONDS)
        self._say(f"{program.name}: up after {time.monotonic() - began:.1f} s")

    def watch(self, until: Callable[[], bool]) -> None:
        """Start again what dies, each time after a longer pause, until there is something else to do."""
        while not until():
            self.look()
            time.sleep(POLL_SECONDS)

    def look(self) -> None:
        """One look at every process."""
        for kept in self._kept:
            code, now = kept.process.poll(), time.monotonic()
            if code is None:
                continue
            if kept.again_at is None:
                kept.pause = FIRST_PAUSE if now - kept.since > STEADY_SECONDS else min(2 * kept.pause, LONGEST_PAUSE)
                kept.again_at = now + kept.pause
                self._say(f"{kept.program.name}: ended with exit code {code}; started again in {kept.pause:g} s")
            elif now >= kept.again_at:
                kept.process, kept.since, kept.again_at = self._begin(kept.program), now, None

    def process_of(self, name: str) -> subprocess.Popen[bytes]:
        """The present process of a program."""
        return next(kept.process for kept in self._kept if kept.program.name == name)

    def stop(self) -> None:
        """End everything, the newest first, and whatever each has started."""
        while self._kept:
            kept = self._kept.pop()
            family = _descendants(kept.process.pid)
            if kept.process.poll() is None:
                kept.process.send_signal(kept.program.stop)
            try:
                kept.process.wait(SECONDS_TO_STOP)
            except subprocess.TimeoutExpired:
                self._say(f"{kept.program.name}: did not end within {SECONDS_TO_STOP:g} s, killed")
                family += _descendants(kept.process.pid)
                kept.process.kill()
                kept.process.wait()
            end_all(family)
            self._say(f"{kept.program.name}: ended")

    def _begin(self, program: Program) -> subprocess.Popen[bytes]:
        with (self.logs / f"{program.name}.log").open("ab") as log:
            return subprocess.Popen(
                program.words, cwd=program.folder, env={**os.environ, **program.environment},
                stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,  # Ctrl-C is for the supervisor, which ends the others in their order
                preexec_fn=lambda: _end_with_parent(program.stop), **identity(program.user),
            )  # fmt: skip

    def _tail(self, program: Program) -> str:
        path = self.logs / f"{program.name}.log"
        return f"The end of {path}:\n" + path.read_bytes()[-LOG_TAIL_BYTES:].decode(errors="replace")


def identity(user: str | None) -> dict[str, Any]:
    """Options of subprocess that make a child somebody else, where this process is root. Raises InputError for nobody known."""
    if user is None or os.geteuid() != 0:
        return {}
    try:
        found = pwd.getpwnam(user)
    except KeyError:
        raise InputError(
            f"infra/production.yaml: postgres.user: there is no user '{user}'. Create it, or name another."
        ) from None
    return {"user": found.pw_uid, "group": found.pw_gid, "extra_groups": []}


def run(
    words: tuple[str, ...], environment: Mapping[str, str] | None = None, user: str | None = None,
    folder: Path | None = None, patience: float = 180.0,
) -> str:  # fmt: skip
    """A command to its end; what it printed. Raises EquipoiseError with its messages when it fails."""
    shown = f"`{shlex.join(words[:4])} …`"
    try:
        done = subprocess.run(
            words, env={**os.environ, **(environment or {})}, cwd=folder, capture_output=True, text=True, timeout=patience,
            check=False, stdin=subprocess.DEVNULL, **identity(user),
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        raise EquipoiseError(f"{shown} did not end within {patience:g} s") from None
    except FileNotFoundError:
        raise InputError(
            f"{shown} cannot be run: {words[0]} is not there. Install it, or correct its folder."
        ) from None
    if done.returncode:
        said = (done.stderr or done.stdout).strip()[-LOG_TAIL_BYTES:]
        raise EquipoiseError(f"{shown} ended with exit code {done.returncode}: {said}")
    return str(done.stdout)


def listens(host: str, port: int) -> bool:
    """Whether something answers there."""
    try:
        socket.create_connection((host, port), 1).close()
    except OSError:
        return False
    return True


def end_all(processes: list[psutil.Process]) -> None:
    """Ask, wait, kill."""
    for process in processes:
        _quietly(process.terminate)
    for process in psutil.wait_procs(processes, timeout=5)[1]:
        _quietly(process.kill)
    psutil.wait_procs(processes, timeout=5)


def _quietly(act: Callable[[], None]) -> None:
    try:
        act()
    except psutil.NoSuchProcess:
        return


def _descendants(pid: int) -> list[psutil.Process]:
    try:
        return list(psutil.Process(pid).children(recursive=True))
    except psutil.NoSuchProcess:
        return []


def _end_with_parent(stop: signal.Signals) -> None:
    """In the child: be told when the supervisor is killed, which then cannot tell anybody anything."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(stop))
