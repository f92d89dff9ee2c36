"""Ray's side of a search: what the process of a trial does with the run that it is given."""

from __future__ import annotations

import contextlib
import functools
import json
import os
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import ray
import torch
from ray import tune

from models.data import Split
from models.errors import DeviceLostError
from models.learners.learner import Checkpoint
from tasks.search.checkpoints import Rungs, load_checkpoint, save_checkpoint
from tasks.search.deadline import Deadline
from tasks.search.tables import Table
from tasks.search.work import Job, Setting, carry_out
from tasks.stage import write_json

JOB = "job"
"""Where a trial's configuration has its run."""

STAGE_FILE = "stage"
"""In the directory of the search: the stage that it is at."""

HOLD_SECONDS = 30.0
"""How long a process is held at most while there is nothing to train."""

START_SECONDS = 3.0
"""About the time that a process needs to start."""


@dataclass(frozen=True)
class Shared:
    """What Ray hands to every trial: the setting, and where the tables are. References are in a mapping, so they stay references.

    `deadline` is in seconds since 1970, by which training has to end, `cut` when a process that is still at it ends itself,
    as the search has ended without it; `pace` is how long scoring one trial takes. `session` names this start of the search.
    """

    setting: Setting
    tables: Mapping[str, Any]
    known: frozenset[str]
    checkpoint_seconds: float
    stage_file: str
    at_once: int
    deadline: float | None
    cut: float | None
    pace: float
    session: str


def trial(config: Mapping[str, Any], shared: Shared | None = None) -> None:
    """Ray's side of a trial: rows from the object store, checkpoints to its storage, results to the callback."""
    assert shared is not None
    torch.set_num_threads(1)
    plain = json.loads(config[JOB])
    if "stage" in plain:
        _hold(Path(shared.stage_file), plain["stage"])
        tune.report({"results": "[]"})
        return
    members = tuple((values, seed) for values, seed in plain["members"])
    job = Job(
        **{
            **plain,
            "members": members,
            "adjusted": tuple(tuple((r, v) for r, v in t) for t in plain["adjusted"]),
            "kept": tuple((epoch, tuple(own)) for epoch, own in plain["kept"]),
        }
    )
    if job.name in shared.known:
        _wait_for_others(shared.at_once)
        tune.report({"results": "[]"})
        return
    last = time.monotonic()

    def on_epoch(epoch: int, make: Any) -> None:
        nonlocal last
        if time.monotonic() - last >= shared.checkpoint_seconds:
            with tempfile.TemporaryDirectory() as directory:
                save_checkpoint(make(), Path(directory))
                tune.report({"epoch": epoch}, checkpoint=tune.Checkpoint.from_directory(directory))
            last = time.monotonic()

    directory = Path(shared.stage_file).parent
    rungs = Rungs(directory)
    alive = _alive(directory / "alive", job.name, shared.session)
    with _ending_itself(shared.cut), alive as deaths, _saying_why(_failure_file(directory, job.name, shared.session)):
        if deaths > 1:
            # Most likely it needs more memory than there is.
            going_on = sum(bool(own) for own in job.trials)
            job = replace(job, together=max(1, going_on >> (deaths - 1)))
        results = carry_out(
            job,
            shared.setting,
            lambda name: _split(shared, name),
            _resume() or rungs.load(job.after),
            on_epoch,
            _deadline(shared.deadline, shared.pace),
            functools.partial(rungs.keep, job.name),
        )
    tune.report({"results": json.dumps([asdict(result) for result in results])})


@functools.cache
def _deadline(at: float | None, pace: float) -> Deadline:
    """One per process, as it remembers the pace."""
    return Deadline(at, pace=pace)


@contextlib.contextmanager
def _ending_itself(at: float | None) -> Iterator[None]:
    """End the process if it is in here at that time: Tune would wait for the function that is running."""
    if at is None:
        yield
        return
    timer = threading.Timer(max(0.0, at - time.time()), os._exit, [1])
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()


@contextlib.contextmanager
def _alive(directory: Path, name: str, session: str) -> Iterator[int]:
    """Leaves a mark while a trial is alive; gives the number of processes that died in this trial since the search's start."""
    directory.mkdir(parents=True, exist_ok=True)
    deaths = list(directory.glob(f"{name}.{session}.*"))
    mark = directory / f"{name}.{session}.{os.getpid()}"
    mark.touch()
    try:
        yield len(deaths)
    finally:
        mark.unlink(missing_ok=True)


@dataclass(frozen=True)
class Failure:
    """Why a trial failed, in its own words, and whether its accelerator is gone."""

    reason: str
    device_lost: bool


def last_failure(directory: Path, name: str, session: str) -> Failure | None:
    """What the trial `name` of the search kept in `directory` failed of; None if its process had no time to say."""
    path = _failure_file(directory, name, session)
    return Failure(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def _failure_file(directory: Path, name: str, session: str) -> Path:
    return directory / "failed" / f"{name}.{session}.json"


@contextlib.contextmanager
def _saying_why(path: Path) -> Iterator[None]:
    """Leaves the reason if what is within fails; Ray has it too, but only as a pickle."""
    path.unlink(missing_ok=True)
    try:
        yield
    except Exception as error:
        lines = str(error).strip().splitlines()
        path.parent.mkdir(parents=True, exist_ok=True)
        reason = lines[-1] if lines else type(error).__name__
        write_json(path, asdict(Failure(reason, isinstance(error, DeviceLostError))))
        raise


def _hold(path: Path, stage: int) -> None:
    """Wait until the search has gone on to another stage; not for ever, as a trial may need the place."""
    until = time.monotonic() + HOLD_SECONDS
    while time.monotonic() < until and path.exists() and path.read_text(encoding="utf-8").strip() == str(stage):
        time.sleep(0.02)


@functools.cache
def _wait_for_others(at_once: int) -> None:
    """Once per process: a process that is free before the others are up takes their trials, and Tune calls them off."""
    if at_once > 1:
        time.sleep(START_SECONDS)


def _split(shared: Shared, name: str) -> Split:
    table: Table = ray.get(shared.tables[name])
    return table.split()


def _resume() -> Checkpoint | None:
    saved = tune.get_checkpoint()
    if saved is None:
        return None
    with saved.as_directory() as directory:
        return load_checkpoint(Path(directory))
