"""The course of a search: rounds and rungs follow from the results, not from when they come in."""

import errno
import itertools
import random

import pytest

from models.errors import EquipoiseError
from models.recipe import competitors
from models.seeds import derive_seed
from tasks.progress import Lines, Meter
from tasks.search.board import Board
from tasks.search.campaign import Result, Terms, round_sizes
from tasks.search.choice import Goal
from tasks.search.halving import budget, survivors
from tasks.search.ledger import Ledger, identity
from tasks.search.progress import Progress
from tasks.search.space import pairs

PAIRS = pairs(
    competitors(["weighted_ce", "focal", "ldam_drw", "mixup", "balanced_softmax"]), ("mlp", "trees"), image=False
)


def terms(**changes):
    usual = {
        "pairs": PAIRS, "trials": 24, "rounds": 3, "halving": 3, "rungs": 2, "goal": Goal("accuracy", {"ece": 0.5}),
        "seed": 7, "budgets": {"mlp": 9, "trees": 90},
    }  # fmt: skip
    return Terms(**{**usual, **changes})


def outcome(run, trial):
    """A made-up result that depends on the configuration and the budget alone."""
    value = derive_seed(0, str(sorted(trial.values.items())), run.pair.name, run.budget) / 2**31
    return Result({"accuracy": value, "ece": value / 2}) if value > 0.05 else Result(None, f"{run.name} broke")


def carry_out(board, rng=None, until=None):
    """Work through a board as Tune would, with results in an order of their own; returns the names in that order."""
    under_way, done = [], []
    while board.finished is None and (until is None or len(done) < until):
        while (run := board.next()) is not None:
            under_way.append(run)
        run = under_way.pop(rng.randrange(len(under_way)) if rng else 0)
        board.record(run.name, [outcome(run, trial) for trial in run.trials])
        done.append(run.name)
    return done


def board_of(path, at_once=1, **changes):
    board = Board(terms(**changes), Ledger(path))
    board.at_once = at_once
    return board


def shape(course):
    return [
        (r.trial.id, r.trial.pair.name, dict(r.trial.values), r.trial.seed, r.status, r.rungs) for r in course.records
    ]


def test_the_course_does_not_depend_on_how_many_run_at_once_or_who_is_first(tmp_path):
    alone = board_of(tmp_path / "alone")
    carry_out(alone)
    for i in range(5):
        many = board_of(tmp_path / str(i), at_once=4)
        carry_out(many, random.Random(i))
        assert shape(many.finished) == shape(alone.finished)


def test_an_interrupted_search_goes_on_and_runs_nothing_twice(tmp_path):
    whole = board_of(tmp_path / "whole")
    every = carry_out(whole)
    for stop in (1, len(every) // 2, len(every) - 1):
        first = carry_out(board_of(tmp_path / f"stop{stop}", at_once=3), random.Random(stop), until=stop)
        again = board_of(tmp_path / f"stop{stop}", at_once=2)
        rest = carry_out(again)
        assert sorted(first + rest) == sorted(every)
        assert shape(again.finished) == shape(whole.finished)


def test_a_result_file_that_was_not_finished_is_no_result(tmp_path):
    board = board_of(tmp_path)
    carry_out(board, until=3)
    victim = sorted((tmp_path / "results").glob("*.json"))[0]
    victim.write_text(victim.read_text()[:20])
    assert len(Ledger(tmp_path).load()) == 2


def test_baselines_get_the_full_budget_at_once_and_are_never_halved(tmp_path):
    board = board_of(tmp_path)
    carry_out(board)
    protected = [r for r in board.finished.records if r.trial.protected]
    assert [r.trial.pair.name for r in protected] == [
        "none|mlp",
        "prior_threshold|mlp",
        "none|trees",
        "prior_threshold|trees",
    ]
    assert all([spent for spent, _ in r.rungs] == [board.terms.budgets[r.trial.pair.learner]] for r in protected)
    assert all(r.status in ("finished", "failed") for r in protected)


def test_each_rung_keeps_the_best_share_of_those_that_compete(tmp_path):
    board = board_of(tmp_path, trials=len(PAIRS), rounds=1)
    carry_out(board)
    contest = [r for r in board.finished.records if not r.trial.protected]
    on = {r.trial.id for r in contest if len(r.rungs) == 2}
    assert len(on) == len(contest) // 3
    standings = {r.trial.id: r.rungs[0][1] for r in contest if r.rungs[0][1].metrics}
    worst_on = min(standings[i].metrics["accuracy"] for i in on)
    feasible = {i: s.metrics["accuracy"] for i, s in standings.items() if s.metrics["ece"] <= 0.5}
    assert all(value <= worst_on for i, value in feasible.items() if i not in on)
    first = [(r.rungs[0][0], board.terms.budgets[r.trial.pair.learner]) for r in contest]
    assert all(spent == budget(full, 3, 2, 0) for spent, full in first)


def test_a_rung_starts_over_with_the_seed_of_the_trial(tmp_path):
    board = board_of(tmp_path)
    carry_out(board)
    seeds = [r.trial.seed for r in board.finished.records]
    assert len(set(seeds)) == len(seeds)


@pytest.mark.parametrize(("full", "expected"), [(20, [2, 7, 20]), (1, [1, 1, 1])])
def test_budgets_grow_by_the_halving_factor_up_to_the_full_one(full, expected):
    assert [budget(full, 3, 3, rung) for rung in range(3)] == expected


def test_failed_trials_never_go_on():
    from tasks.search.choice import Standing

    standings = [Standing(i, False, None) for i in range(8)] + [Standing(8, False, {"accuracy": 0.1})]
    assert survivors(standings, 3, Goal("accuracy", {})) == [8]


@pytest.mark.parametrize(
    ("trials", "rounds", "expected"),
    [(10, 1, [10]), (10, 3, [10, 0, 0]), (4, 2, [4, 0]), (15, 3, [10, 3, 2]), (20, 1, [20])],
)
def test_rounds_hold_every_pair_once_and_then_equal_parts(trials, rounds, expected):
    assert len(PAIRS) == 10
    assert round_sizes(terms(trials=trials, rounds=rounds)) == expected


def test_time_that_is_up_ends_the_search_between_stages_and_is_on_record(tmp_path):
    board = Board(terms(), Ledger(tmp_path), minutes=1e-9)
    carry_out(board)
    assert board.finished.limited
    assert {r.trial.round for r in board.finished.records} == {0}
    assert all(r.status == "finished" for r in board.finished.candidates())


def test_a_resumed_search_has_no_more_time_than_one_that_was_not_interrupted(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.spent(3600)
    board = Board(terms(), ledger, minutes=30)
    carry_out(board)
    assert board.finished.limited


def test_a_search_in_which_everything_fails_says_why(tmp_path):
    board = board_of(tmp_path)
    while (run := board.next()) is not None:
        board.fail(run.name, "no memory")
    assert board.over
    assert isinstance(board.error, EquipoiseError)
    assert "every trial failed" in str(board.error)
    assert "- no memory" in str(board.error)


def test_a_disk_that_is_full_ends_the_search(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    board = board_of(tmp_path)
    monkeypatch.setattr(board.ledger, "write", full)
    run = board.next()
    board.record(run.name, [outcome(run, trial) for trial in run.trials])
    assert board.over
    assert board.next() is None
    assert isinstance(board.error, OSError)


def test_progress_rises_from_nothing_to_all_of_it(tmp_path):
    board = board_of(tmp_path)
    progress = Progress(board, Meter("search", board.terms.trials, "trials", Lines()))
    shares = [progress.share()]
    while board.finished is None:
        run = board.next()
        board.record(run.name, [outcome(run, trial) for trial in run.trials])
        shares.append(progress.share())
    assert shares[0] == 0
    assert shares[-1] == 1
    # The rungs to come are an estimate, so that a stage in which trials fail may take back a little.
    assert all(b - a > -0.05 for a, b in itertools.pairwise(shares))


def test_other_settings_data_or_code_are_another_search(tmp_path):
    data, code = tmp_path / "rows.parquet", tmp_path / "code"
    code.mkdir()
    data.write_bytes(b"1")
    (code / "a.py").write_text("x = 1")
    names = [identity({"seed": 0}, [data], [code]), identity({"seed": 1}, [data], [code])]
    data.write_bytes(b"2")
    names.append(identity({"seed": 0}, [data], [code]))
    (code / "a.py").write_text("x = 2")
    names.append(identity({"seed": 0}, [data], [code]))
    (code / "__pycache__").mkdir()
    (code / "__pycache__" / "a.pyc").write_bytes(b"")
    assert len(set(names)) == 4
    assert identity({"seed": 0}, [data], [code]) == names[-1]
