"""The product as a person uses it, for benchmarks: a fresh clone, its command with every line timed, a Prefect server."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).parents[1]
SERVER_SECONDS = 300.0

COMMAND = """
import json, sys, time
from pathlib import Path
from tasks.stage import Stage

execute, seconds = Stage.execute, {}

def timed(self, *arguments):
    began = time.perf_counter()
    try:
        execute(self, *arguments)
    finally:
        seconds[self.name] = seconds.get(self.name, 0.0) + time.perf_counter() - began

Stage.execute = timed
record = Path(sys.argv.pop(1))
from flows.command import main
try:
    main()
finally:
    record.write_text(json.dumps(seconds))
"""
"""The `equipoise` command that also writes down for how long each stage worked, by the stage's own clock."""


@dataclass(frozen=True)
class Timed:
    """A command that has ended: exit code, seconds from its start to its end, the stages' own seconds, and its lines.

    `lines` are pairs of the second at which a line came and the line.
    """

    code: int
    seconds: float
    stages: dict[str, float]
    lines: tuple[tuple[float, str], ...]

    @property
    def outside(self) -> float:
        """Seconds that no stage worked: imports, orchestration, DVC, the end of the process."""
        return self.seconds - sum(self.stages.values())

    @property
    def silence(self) -> float:
        """The longest time without a new line, from the start to the end."""
        moments = [0.0, *(at for at, _ in self.lines), self.seconds]
        return max(after - before for before, after in itertools.pairwise(moments))


@dataclass(frozen=True)
class Clone:
    """A clone at `root`, run by this interpreter, with a Prefect database of its own."""

    root: Path
    environment: dict[str, str]

    def equipoise(self, *words: str, api: str | None = None) -> Timed:
        """`equipoise …` to its end; `api` is the URL of a running Prefect server. What it prints is shown."""
        with tempfile.TemporaryDirectory() as folder:
            record = Path(folder) / "stages.json"
            began = time.perf_counter()
            process = subprocess.Popen(
                [sys.executable, "-c", COMMAND, record, *words],
                cwd=self.root,
                env=self.environment | ({"PREFECT_API_URL": api} if api else {}),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            assert process.stdout is not None
            lines = []
            for line in process.stdout:
                lines.append((time.perf_counter() - began, line.rstrip("\n")))
                print(f"{lines[-1][0]:7.1f} s  {lines[-1][1]}", flush=True)
            code = process.wait()
            taken = time.perf_counter() - began
            stages = json.loads(record.read_text()) if record.exists() else {}
        return Timed(code, taken, stages, tuple(lines))

    def forget(self) -> None:
        """Remove all that runs have left: everything that git does not track, but for byte code."""
        for words in (["checkout", "--quiet", "."], ["clean", "-ffdxq", "-e", "__pycache__"]):
            subprocess.run(["git", *words], cwd=self.root, check=True)


@contextlib.contextmanager
def cloned(mirror: bool = False) -> Iterator[Clone]:
    """A clone of what is committed. `mirror` tells its runs where the real data sets are."""
    with tempfile.TemporaryDirectory(prefix="equipoise-benchmark-") as folder:
        root = Path(folder) / "equipoise"
        subprocess.run(["git", "clone", "--quiet", REPOSITORY, root], check=True)
        own = ("PREFECT_", "RAY_", "PYTHONDONTWRITEBYTECODE", *(() if mirror else ("EQUIPOISE_",)))
        environment = {name: value for name, value in os.environ.items() if not name.startswith(own)}
        environment |= {
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{environment.get('PATH', os.defpath)}",
            "PYTHONPATH": str(root),
            "PREFECT_HOME": str(Path(folder) / "prefect"),
            "CI": "true",
        }
        yield Clone(root, environment)


@contextlib.contextmanager
def prefect_server(environment: dict[str, str]) -> Iterator[str]:
    """A Prefect server on this machine, and the URL of its API."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    quiet = {"PREFECT_SERVER_ANALYTICS_ENABLED": "false", "DO_NOT_TRACK": "1"}
    process = subprocess.Popen(
        [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)],
        env=environment | quiet,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        url = f"http://127.0.0.1:{port}/api"
        _wait_for(f"{url}/health", process)
        yield url
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    end = time.monotonic() + SERVER_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            if process.poll() is not None or time.monotonic() > end:
                raise RuntimeError(f"the Prefect server did not answer at {url}") from None
            time.sleep(0.2)


def as_settings(settings: Sequence[str]) -> list[str]:
    """`--set` before each."""
    return [word for setting in settings for word in ("--set", setting)]
