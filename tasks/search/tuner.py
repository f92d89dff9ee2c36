"""A search carried out by Ray Tune: each run is one trial of one Tuner, which can be restored when this process dies."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
import uuid
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.tune.search import Searcher

from models.errors import DeviceLostError
from models.learners import learner
from tasks.search.board import Board
from tasks.search.campaign import Result
from tasks.search.cluster import Shares
from tasks.search.deadline import SCORING_SECONDS
from tasks.search.progress import Progress
from tasks.search.tables import Table
from tasks.search.work import Job, Setting
from tasks.search.worker import JOB, STAGE_FILE, Shared, last_failure, trial
from tasks.stage import write_json

log = logging.getLogger("equipoise")

CHECKPOINT_SECONDS = 10.0
"""Seconds of training between two checkpoints of a trial. When they are made does not change the result."""

AFTER_THE_END = 0.3
"""Seconds after a search's end at which a process that still trains ends itself."""

GO_ON = (
    "The accelerator does not answer any more. What is finished is kept, and what was under way has a checkpoint: once the "
    "accelerator is back, the same command goes on from there."
)

STATE = ("tuner.pkl", "experiment_state-", "search_gen_state-")
"""The files that a Tuner needs to be restored."""


@dataclass
class Live:
    """A search under way in this process.

    Between two stages Tune keeps one idle process and ends the others, and starting one again takes longer than many
    a trial. So a process that has nothing to do is given a trial that only waits for the next stage.
    """

    board: Board
    progress: Progress
    session: str
    holds: bool
    holding: set[str] = field(default_factory=set)

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next run's configuration; that of a trial that waits; or None."""
        board = self.board
        run = board.next()
        if run is not None:
            return {JOB: json.dumps(asdict(Job.of(run)))}
        idle = board.at_once - len(board.under_way) - len(self.holding)
        if not self.holds or idle < 1 or board.in_last_stage:
            return None
        self.holding.add(trial_id)
        return {JOB: json.dumps({"name": f"hold{board.stages}", "stage": board.stages})}


@dataclass(frozen=True)
class Trained:
    """A training that has ended: in which process, and when it began and ended, in seconds since 1970."""

    process: int
    began: float
    ended: float


watchers: list[Callable[[Trained], None]] = []
"""Called with every training of every search in this process, as it ends; for those who measure."""

_searches: dict[str, Live] = {}
"""By name: Ray pickles searchers and callbacks, and must not take the search itself with them."""


def search(
    board: Board,
    setting: Setting,
    tables: dict[str, Table],
    shares: Shares,
    retries: int,
    progress: Progress,
    pace: float = SCORING_SECONDS,
) -> None:
    """Run the board's search to its end. `tables` is emptied: the object store has the rows from then on.

    `pace` is how long scoring one trial takes, as far as that is known.
    """
    references = {}
    while tables:
        name, table = tables.popitem()
        references[name] = ray.put(table)
    directory = board.ledger.directory.resolve()
    name = directory.name
    known = frozenset(run.name for run in board.runs if board.has(run))
    left, end = board.seconds_left, board.seconds_to_end
    shared = Shared(
        setting, references, known, CHECKPOINT_SECONDS, str(directory / STAGE_FILE), shares.at_once,
        None if left is None else time.time() + left,
        None if end is None or not board.any_sound else time.time() + end + AFTER_THE_END,
        pace, uuid.uuid4().hex,
    )  # fmt: skip
    trainable = _trainable(shared, shares)
    board.at_once = shares.at_once
    # By default Tune asks a searcher for one trial at a time, and starts the next process when the last one is up.
    os.environ["TUNE_MAX_PENDING_TRIALS_PG"] = str(shares.at_once)
    enough = shares.at_once * shares.cpus <= ray.cluster_resources().get("CPU", 0.0)
    _searches[name] = Live(board, progress, shared.session, holds=enough and not shares.gpus)
    board.on_stage = lambda: _announce(directory / STAGE_FILE, board)
    board.on_stage()
    try:
        tuner = _restored(directory, trainable)
        while not board.over:
            before, restored = len(board.known), tuner is not None
            with contextlib.suppress(TimedOut):
                (tuner or _fresh(directory, trainable, retries)).fit()
            tuner = None
            board.under_way.clear()
            if not board.over and len(board.known) == before and not restored:
                raise RuntimeError(f"Ray Tune stopped before the search was over; its state is in {directory}")
        if board.error is not None:
            raise board.error
    finally:
        del _searches[name]
        board.on_stage = lambda: None


def _announce(path: Path, board: Board) -> None:
    """Tell the trials that wait which stage it is."""
    write_json(path, board.stages)


def _trainable(shared: Shared, shares: Shares) -> Any:
    """The function of a trial with what it needs: cores, and a part of an accelerator if its learner can use one."""

    def resources(config: Mapping[str, Any]) -> tune.PlacementGroupFactory:
        name = json.loads(config[JOB]).get("learner")
        gpus = shares.gpus if name is not None and learner(name).accelerated else 0.0
        return tune.PlacementGroupFactory([{"CPU": shares.cpus, "GPU": gpus}])

    return tune.with_resources(tune.with_parameters(trial, shared=shared), resources)


def _attempts(directory: Path) -> list[Path]:
    return sorted((directory / "tune").glob("attempt-*"))


def _restored(directory: Path, trainable: Any) -> tune.Tuner | None:
    """The Tuner of an interrupted search, if there is one that can go on with what was under way.

    Should its state turn out to be broken, it ends without a result or cannot even be read, and a fresh one does the rest:
    what is finished is in the ledger all the same.
    """
    attempts = _attempts(directory)
    if not attempts or not all(any(attempts[-1].glob(f"{kind}*")) for kind in STATE):
        return None
    log.info("search: restoring the trials that were under way")
    try:
        return tune.Tuner.restore(str(attempts[-1]), trainable, resume_unfinished=True, resume_errored=True)
    except Exception as error:  # noqa: BLE001 - whatever half a file makes of reading it
        log.warning("search: they cannot be restored (%s), and are trained from the start", error)
        return None


def _fresh(directory: Path, trainable: Any, retries: int) -> tune.Tuner:
    name = directory.name
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            search_alg=Suggestions(name), num_samples=-1, reuse_actors=True, trial_dirname_creator=_directory
        ),
        run_config=tune.RunConfig(
            name=f"attempt-{len(_attempts(directory)):03d}",
            storage_path=str(directory / "tune"),
            stop=Ended(name),
            verbose=0,
            failure_config=tune.FailureConfig(max_failures=retries),
            checkpoint_config=tune.CheckpointConfig(num_to_keep=1),
            callbacks=[Results(name)],
        ),
    )


def _directory(ray_trial: Any) -> str:
    return f"{_name(ray_trial)}-{ray_trial.trial_id}"


class Suggestions(Searcher):
    """Tells Ray Tune what to train next: whatever the board hands out."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self._search = name

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """A run as a trial's configuration, None while results are waited for, FINISHED at the end."""
        live = _searches[self._search]
        return Searcher.FINISHED if live.board.over else live.suggest(trial_id)

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """A process is held no longer. Results reach the board by the callback, which knows which run they belong to."""
        _searches[self._search].holding.discard(trial_id)

    def save(self, checkpoint_path: str) -> None:
        """Nothing but the file that Tune looks for: the board follows from the ledger."""
        Path(checkpoint_path).write_text("{}", encoding="utf-8")

    def restore(self, checkpoint_path: str) -> None:
        """Nothing to restore."""


class TimedOut(BaseException):
    """A search by time is over. As no Exception, it leaves Tune at once, which else waits for what its trials are doing."""


class Ended(tune.Stopper):
    """Ends every trial once the board's search is over."""

    def __init__(self, name: str) -> None:
        self._search = name

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:
        """A trial ends by itself."""
        return False

    def stop_all(self) -> bool:
        """Whether the search is over."""
        live = _searches.get(self._search)
        return live is not None and live.board.over


class Results(tune.Callback):
    """Brings every trial's end to the board."""

    def __init__(self, name: str) -> None:
        self._search = name
        self._started = False

    def on_step_begin(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Before the first suggestion of a restored search: what it goes on with is under way."""
        if not self._started:
            self._started = True
            _searches[self._search].board.adopt(_name(t) for t in trials if not t.is_finished())

    def on_step_end(self, iteration: int, trials: list[Any], **info: Any) -> None:
        """Several times a second, whatever happens."""
        live = _searches[self._search]
        live.board.close_if_late()
        live.board.give_up()
        if live.board.limit is not None and live.board.over:
            raise TimedOut
        live.progress.tell_now_and_then()

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A run is over; a trial that only waited, and a restored one that was known already, say nothing."""
        found = json.loads((trial.last_result or {}).get("results", "[]"))
        if found:
            now = time.time()
            for watch in watchers:
                watch(Trained(trial.last_result["pid"], now - trial.last_result["time_total_s"], now))
            live = _searches[self._search]
            live.board.record(_name(trial), [Result(**r) for r in found])
            live.progress.tell()

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:
        """A run has failed more often than it may. Without its accelerator the whole search ends, to be gone on with."""
        live, name = _searches[self._search], _name(trial)
        failure = last_failure(live.board.ledger.directory, name, live.session)
        if failure is not None and failure.device_lost:
            live.board.end(DeviceLostError(f"tune: {failure.reason}. {GO_ON}"))
        else:
            live.board.fail(name, _reason(trial) if failure is None else failure.reason)
        live.progress.tell()

    def __getstate__(self) -> dict[str, Any]:
        return {"_search": self._search, "_started": False}


def _name(ray_trial: Any) -> str:
    return str(json.loads(ray_trial.config[JOB])["name"])


def _reason(ray_trial: Any) -> str:
    """Why a process died that could not say so itself; without ids and addresses, so that the same reads the same."""
    path = ray_trial.error_file
    said = Path(path).read_text(encoding="utf-8", errors="replace") if path and Path(path).is_file() else ""
    short = said.rpartition("Failure #")[2]
    return "the trial's process died" + (", as memory ran short" if "low on memory" in short else "")
