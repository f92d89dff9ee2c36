"""Clones of the repository, in which the whole pipeline runs as a person would run it: real data, real training, DVC and Prefect.

What is cloned is the working copy as it is, changes that are not committed included.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from tasks.stage import read_json

PATIENCE_SECONDS = 600.0
"""For one command on a machine that does other things too; it is there to end what hangs."""

COMMAND = (sys.executable, "-c", "from flows.command import main; main()")

SMALL = """
data: {rows: 4000}
checks:
  - {check: rows_per_class, at_least: 20, severity: error}
model: {hidden: [32], epochs: 3, iterations: 20, refits: 2}
search: {recipes: [none, smote], budget: {trials: 8}, rounds: 2, rungs: 1}
evaluate: {bootstrap: 100}
gates:
  rules:
    - {metric: roc_auc, at_least: 0.55}
    - {metric: balanced_accuracy, worse_by_at_most: 0.5}
"""
"""A run that takes seconds instead of minutes, with a policy that its model can pass."""


@dataclass
class Running:
    """A command at work; `lines` are what it has printed so far, both streams in their order."""

    process: subprocess.Popen[str]
    lines: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._more = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            with self._more:
                self.lines.append(line.rstrip("\n"))
                self._more.notify_all()
        with self._more:
            self.lines.append("")
            self._more.notify_all()

    def wait_for_line(self, beginning: str) -> None:
        """Wait until it prints a line that begins so."""
        end = time.monotonic() + PATIENCE_SECONDS
        seen = 0
        with self._more:
            while True:
                if any(line.startswith(beginning) for line in self.lines[seen:]):
                    return
                seen = len(self.lines)
                assert self._reader.is_alive(), f"it ended without '{beginning}':\n{self.output}"
                assert time.monotonic() < end, f"no '{beginning}' came:\n{self.output}"
                self._more.wait(1.0)

    def wait_until(self, what: str, holds: Callable[[], bool]) -> None:
        """Wait until something holds while it is at work."""
        end = time.monotonic() + PATIENCE_SECONDS
        while not holds():
            assert self.process.poll() is None, f"it ended before {what}:\n{self.output}"
            assert time.monotonic() < end, f"{what} did not come about:\n{self.output}"
            time.sleep(0.02)

    @property
    def output(self) -> str:
        """All it has printed."""
        return "\n".join(self.lines)

    def kill(self) -> None:
        """As `kill -9`: the process itself, not its children."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)

    def press_ctrl_c(self) -> None:
        """As a terminal does: to the process and all that it has started."""
        os.killpg(self.process.pid, signal.SIGINT)

    def finish(self) -> int:
        """Wait for its end; the exit code."""
        code = self.process.wait(PATIENCE_SECONDS)
        self._reader.join(10)
        return code

    def wait_until_gone(self, *names: str) -> None:
        """Wait until no process that it has started has one of these words in its command."""
        end = time.monotonic() + PATIENCE_SECONDS
        while left := [command for command in self.left_behind() if any(name in command for name in names)]:
            assert time.monotonic() < end, "still there: " + "; ".join(left)
            time.sleep(0.2)

    def left_behind(self) -> list[str]:
        """The commands of processes that it has started and that are still there."""
        listed = subprocess.run(["ps", "-eo", "sid=,pid=,stat=,args="], capture_output=True, text=True, check=True)
        rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
        own = str(self.process.pid)
        return [row[3] for row in rows if row[0] == own and row[1] != own and not row[2].startswith("Z")]

    def end(self) -> None:
        """Whatever is left of it goes."""
        with_children = self.process.poll() is None or self.left_behind()
        if with_children:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(PATIENCE_SECONDS)


@dataclass
class Clone:
    """A clone at `root`, and the commands of a person who works in it."""

    root: Path
    environment: dict[str, str]
    started: list[Running] = field(default_factory=list)

    def command(self, *words: str) -> Running:
        """`equipoise …` to its end."""
        running = self.begin(*words)
        running.finish()
        return running

    def dvc(self, *words: str) -> Running:
        """`dvc …` to its end."""
        running = self._begin(sys.executable, "-m", "dvc", *words)
        running.finish()
        return running

    def begin(self, *words: str) -> Running:
        """`equipoise …` without waiting for its end."""
        return self._begin(*COMMAND, *words)

    def json(self, *words: str) -> Any:
        """What `equipoise … --json` says."""
        import json

        running = self.command(*words, "--json")
        assert running.process.returncode == 0, running.output
        return json.loads(running.output)

    def read(self, path: str) -> Any:
        """A JSON file of the clone."""
        return read_json(self.root / path)

    def versions(self, name: str) -> list[str]:
        """The versions registered under a name."""
        return (
            [row["version"] for row in self.json("registry", "list", name)] if (self.root / "registry").exists() else []
        )

    def is_clean(self) -> bool:
        """Whether DVC finds everything up to date."""
        return "up to date" in self.dvc("status").output

    def copy(self, root: Path) -> Clone:
        """The same working copy once more, with all that has run in it."""
        shutil.copytree(self.root, root, symlinks=True)
        return Clone(root, {**self.environment, "PYTHONPATH": str(root)})

    def _begin(self, *words: str) -> Running:
        process = subprocess.Popen(
            words, cwd=self.root, env=self.environment, text=True, start_new_session=True,
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        self.started.append(Running(process))
        return self.started[-1]

    def end(self) -> None:
        """Nothing goes on when the test is over."""
        for running in self.started:
            running.end()


Cloner = Callable[[], Clone]


@pytest.fixture(scope="session")
def prefect_home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prefect's database, made once for all tests."""
    return tmp_path_factory.mktemp("prefect")


@pytest.fixture(scope="session")
def environment(prefect_home: Path) -> dict[str, str]:
    """A person's environment, without what would lead to this person's own servers and data."""
    own = ("PREFECT_", "EQUIPOISE_", "RAY_", "PYTHONPATH", "PYTHONDONTWRITEBYTECODE")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(own)}
    return kept | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{kept.get('PATH', os.defpath)}",
        "PREFECT_HOME": str(prefect_home),
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "300",
        "CI": "true",
    }


@pytest.fixture(scope="session")
def cloner(repository: Path, environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloner]:
    """Makes clones in which nothing has run."""
    made: list[Clone] = []

    def make() -> Clone:
        root = tmp_path_factory.mktemp("clone") / "equipoise"
        subprocess.run(["git", "clone", "--quiet", repository, root], check=True)
        _bring_uncommitted(repository, root)
        made.append(Clone(root, {**environment, "PYTHONPATH": str(root)}))
        return made[-1]

    yield make
    for clone in made:
        clone.end()


@pytest.fixture
def clone(cloner: Cloner, server: str) -> Iterator[Clone]:
    """A clone of one test's own, whose runs use a running Prefect server: that saves them starting one each."""
    made = cloner()
    made.environment["PREFECT_API_URL"] = server
    yield made
    made.end()


@pytest.fixture(scope="session")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file for --params."""
    path = tmp_path_factory.mktemp("params") / "small.yaml"
    path.write_text(SMALL, encoding="utf-8")
    return path


@dataclass(frozen=True)
class Finished:
    """A clone in which a run has come to its end."""

    clone: Clone
    run: Running


@pytest.fixture(scope="session")
def finished(cloner: Cloner, small: Path) -> Finished:
    """The small run on the embedded data, with no server set up. For tests that change nothing."""
    clone = cloner()
    run = clone.command("run", "--params", str(small))
    assert run.process.returncode == 0, run.output
    return Finished(clone, run)


@pytest.fixture(scope="session")
def server(environment: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Prefect server on this machine."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    home = tmp_path_factory.mktemp("server")
    words = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1", "PREFECT_HOME": str(home)}
    with (home / "server.log").open("w") as log:
        process = subprocess.Popen(
            words, env=environment | quiet, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
        )
    url = f"http://127.0.0.1:{port}/api"
    try:
        _wait_for_server(url, process, home / "server.log")
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for_server(url: str, process: subprocess.Popen[bytes], log: Path) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while True:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=5):
                return
        except OSError:
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < end, log.read_text()
            time.sleep(0.2)


def _bring_uncommitted(repository: Path, root: Path) -> None:
    """Make the clone's files those of the working copy, and commit them there, so that it is as clean as any."""

    def git(*words: str, where: Path, **more: str) -> str:
        done = subprocess.run(
            ["git", *words], cwd=where, env=os.environ | more, check=True, capture_output=True, text=True
        )
        return done.stdout

    listed = git("ls-files", "-z", "--modified", "--deleted", "--others", "--exclude-standard", where=repository)
    listed += git("diff", "-z", "--cached", "--name-only", "--no-renames", where=repository)
    for name in filter(None, set(listed.split("\0"))):
        source, target = repository / name, root / name
        if source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(source, target)
        else:
            target.unlink(missing_ok=True)
    git("add", "--all", where=root)
    if git("status", "--porcelain", where=root):
        when = "2026-01-01T00:00:00Z"  # of all clones: the report names the commit, which must be the same in all
        who = {f"GIT_{role}_{what}": value for role in ("AUTHOR", "COMMITTER")
               for what, value in (("NAME", "t"), ("EMAIL", "t@t"), ("DATE", when))}  # fmt: skip
        git("commit", "--quiet", "-m", "as it is", where=root, **who)
