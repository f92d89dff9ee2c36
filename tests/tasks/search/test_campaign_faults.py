"""What becomes of a search in which trainings, files or machines fail."""

import dataclasses
from collections.abc import Callable

from tasks import tune
from tasks.remote import Folder
from tasks.search import tuner
from tasks.search.board import Board
from tasks.search.campaign import Result
from tasks.search.cluster import Shares
from tasks.search.ledger import Ledger
from tests.tasks.search.courses import Clock, board_of, carry_out, terms


def test_what_breaks_when_there_is_no_time_for_processes_has_failed(tmp_path, monkeypatch):
    """They would take longer to start than there is time left, so that the search would not end in time."""
    clock, done = Clock(), []
    board = Board(terms(trials=None), Ledger(tmp_path), minutes=0.3, clock=clock)

    def carried_out(job, setting, table, resume, on_epoch, deadline, on_pause):
        done.append(job.name)
        clock.now += 4.0
        if len(done) == 2:
            raise RuntimeError("seven is not a number")
        return [Result({"accuracy": 0.5, "ece": 0.1}) for own in job.trials for _ in own]

    monkeypatch.setattr(tune, "carry_out", carried_out)
    tune._first(board, None, {})
    assert board.over
    assert len(done) == 4
    assert {r.last.error for r in board.finished.records if r.status == "failed"} == {"seven is not a number"}
    assert board.finished.candidates()


@dataclasses.dataclass
class Fit:
    """In the place of a Tuner: does what it is told."""

    fit: Callable[[], None]


def test_a_state_that_cannot_be_gone_on_from_is_no_end(tmp_path, monkeypatch):
    """A Tuner that is restored from half a file brings no result; a fresh one does what is left, all of it."""
    board = board_of(tmp_path, trials=8, rounds=1)

    def broken():
        board.adopt([run.name for run in board.stage])

    monkeypatch.setattr(tuner, "_trainable", lambda *_: None)
    monkeypatch.setattr(tuner, "_restored", lambda *_: Fit(broken))
    monkeypatch.setattr(tuner, "_fresh", lambda *_: Fit(lambda: carry_out(board)))
    monkeypatch.setattr(tuner.ray, "cluster_resources", lambda: {"CPU": 4.0})
    tuner.search(board, None, {}, Shares(1.0, 0.0, 2), 0, None)
    assert board.finished.candidates()


def test_half_a_file_is_no_tuner(tmp_path):
    attempt = tmp_path / "tune/attempt-000"
    attempt.mkdir(parents=True)
    for name in ("tuner.pkl", "experiment_state-1.json", "search_gen_state-1.json"):
        (attempt / name).write_bytes(b"\x80\x05")
    assert tuner._restored(tmp_path, None) is None


def test_what_has_failed_on_one_machine_is_tried_again_on_another(tmp_path):
    remote = Folder(tmp_path / "remote")
    here, there = (Ledger(tmp_path / clone / "search", remote) for clone in ("here", "there"))
    here.write((0, 0, 0), Result({"accuracy": 0.5}))
    here.write((0, 0, 1), Result(None, "the trial's process died, as memory ran short"))
    assert here.settled(10.0)
    assert len(here.load()) == 2
    assert there.load() == {(0, 0, 0): Result({"accuracy": 0.5})}
