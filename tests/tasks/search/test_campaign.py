"""The course of a search: rounds and rungs follow from the results, not from when they come in."""

import dataclasses
import errno
import itertools
import random

import pytest

from models.errors import EquipoiseError
from models.recipe import competitors
from tasks.progress import Lines, Meter
from tasks.search.board import Board
from tasks.search.campaign import Result, round_sizes
from tasks.search.checkpoints import identity
from tasks.search.choice import Goal
from tasks.search.halving import budget, survivors
from tasks.search.ledger import Ledger
from tasks.search.populations import Sizes, populations
from tasks.search.progress import Progress
from tasks.search.space import families, pairs
from tasks.search.work import Job
from tests.tasks.search.courses import PAIRS, Clock, board_of, carry_out, outcome, terms, timed


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
    victims = sorted((tmp_path / "results").glob("*.json"))
    victims[0].write_text(victims[0].read_text()[:20])
    assert len(Ledger(tmp_path).load()) == len(victims) - 1


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
    seeds = {r.trial.trained_as: r.trial.seed for r in board.finished.records}
    assert len(set(seeds.values())) == len(seeds)
    assert all(r.trial.seed == seeds[r.trial.trained_as] for r in board.finished.records)


@pytest.mark.parametrize(("full", "expected"), [(20, [2, 7, 20]), (1, [1, 1, 1])])
def test_budgets_grow_by_the_halving_factor_up_to_the_full_one(full, expected):
    assert [budget(full, 3, 3, rung) for rung in range(3)] == expected


def test_failed_trials_never_go_on():
    from tasks.search.choice import Standing

    standings = [Standing(i, False, None) for i in range(8)] + [Standing(8, False, {"accuracy": 0.1})]
    assert survivors(standings, 3, Goal("accuracy", {})) == [8]


@pytest.mark.parametrize(
    ("trials", "rounds", "expected"),
    [(8, 1, [8]), (8, 3, [8, 0, 0]), (4, 2, [4, 0]), (13, 3, [8, 3, 2]), (20, 1, [20])],
)
def test_rounds_hold_every_training_once_and_then_equal_parts(trials, rounds, expected):
    assert (len(PAIRS), len(families(PAIRS))) == (10, 8)
    assert list(round_sizes(terms(trials=trials, rounds=rounds))) == expected


def test_trials_that_can_train_together_do_and_the_rest_trains_one_by_one(tmp_path):
    board = board_of(tmp_path, trials=60, rounds=2, rungs=2)
    carry_out(board)
    sizes = [len(run.trainings) for run in board.runs if run.pair.learner == "mlp"]
    assert max(sizes) > 2
    assert all(len(run.trainings) == 1 for run in board.runs if run.pair.learner == "trees")
    for run in board.runs:
        full = board.terms.budgets[run.pair.learner]
        family = next(f for f in families(PAIRS) if run.pair in f.pairs)
        assert all([trial.pair for trial in own] == list(family.pairs) for own in run.trainings)
        assert all((run.budget == full) or not trial.protected for trial in run.trials)
    keys = [key for run in board.runs for key in run.keys]
    assert len(keys) == len(set(keys))
    assert len({run.name for run in board.runs}) == len(board.runs)


ADJUSTED = pairs(
    competitors(["temperature_prior_threshold", "logit_adjustment", "focal_prior_threshold", "focal"]), ("mlp",), False
)


def test_recipes_that_differ_only_after_training_are_trials_of_one_training(tmp_path):
    board = board_of(tmp_path, pairs=ADJUSTED, trials=12, sizes=Sizes({}))
    carry_out(board)
    assert [[pair.name.partition("|")[0] for pair in family.pairs] for family in families(ADJUSTED)] == [
        ["none", "prior_threshold", "temperature_prior_threshold", "logit_adjustment"],
        ["focal_prior_threshold", "focal"],
    ]
    by_training: dict[int, list] = {}
    for record in board.finished.records:
        by_training.setdefault(record.trial.trained_as, []).append(record)
    assert len(by_training) == 12
    for first, records in by_training.items():
        assert [r.trial.id for r in records] == list(range(first, first + len(records)))
        assert len(records) in (2, 4)
        trained = [(r.trial.trained_values, r.trial.seed, [spent for spent, _ in r.rungs]) for r in records]
        assert all(one == trained[0] for one in trained)
        metrics = [r.last.metrics["accuracy"] for r in records if r.last.metrics]
        assert len(set(metrics)) == len(metrics)
    suggested = {r.trial.values["adjust.logit_adjustment.tau"] for r in board.finished.records
                 if r.trial.round and r.trial.pair.recipe.name == "logit_adjustment"}  # fmt: skip
    assert len(suggested) > 1


def test_a_training_goes_on_if_its_best_trial_does(tmp_path):
    board = board_of(tmp_path, pairs=ADJUSTED, trials=12, rounds=2, sizes=Sizes({}))
    carry_out(board)
    second: dict[int, list] = {}
    for record in board.finished.records:
        if record.trial.round == 1:
            second.setdefault(record.trial.trained_as, []).append(record)
    goal = board.terms.goal

    def best(records):
        return min(goal.rank(dataclasses.replace(r.standing, metrics=r.rungs[0][1].metrics))[:2] for r in records)

    on = [own for own in second.values() if len(own[0].rungs) == 2]
    assert len(on) == len(second) // 3
    assert max(best(own) for own in on) < min(best(own) for own in second.values() if own not in on)


def kinds(*words):
    """Trials by pair and budget, as `mlp:3` or `trees:90`, of one recipe; a value that is no number after another colon."""
    found = []
    for word in words:
        learner, budget, *kind = word.split(":")
        pair = next(p for p in PAIRS if p.learner == learner)
        found.append((pair, {"loss.kind": kind[0]} if kind else {}, int(budget)))
    return found


@pytest.mark.parametrize(
    ("trials", "sizes", "expected"),
    [
        (["mlp:3"] * 5, Sizes({}, 1, 1), [1, 1, 1, 1, 1]),
        (["mlp:3"] * 20, Sizes({"none|mlp": 16}, 4, 1), [10, 10]),
        (["mlp:3"] * 20, Sizes({"none|mlp": 16}, 4, 4), [5, 5, 5, 5]),
        (["mlp:3"] * 6, Sizes({"none|mlp": 16}, 4, 4), [3, 3]),
        (["mlp:3"] * 3 + ["mlp:9"] * 2, Sizes({"none|mlp": 16}, 4, 1), [3, 2]),
        (["mlp:3:a", "mlp:3:b", "mlp:3:a"], Sizes({"none|mlp": 16}, 4, 1), [2, 1]),
        (["mlp:3", "trees:3", "mlp:3"], Sizes({"none|mlp": 16, "none|trees": 1}, 4, 1), [2, 1]),
        ([], Sizes({"none|mlp": 16}, 4, 1), []),
    ],
)
def test_populations_share_recipe_budget_and_what_is_no_number_and_are_cut_evenly(trials, sizes, expected):
    found = populations(kinds(*trials), sizes)
    assert [len(own) for own in found] == expected
    assert sorted(p for own in found for p in own) == list(range(len(trials)))


def test_a_search_by_time_goes_on_until_it_is_up_and_keeps_it(tmp_path):
    board, spent = timed(tmp_path, minutes=2)
    assert 0.95 * 120 <= spent <= 1.05 * 120
    assert board.finished.limited
    assert max(r.trial.round for r in board.finished.records) > 3
    assert all(record.rungs for record in board.finished.records)
    assert {r.trial.pair.name for r in board.finished.records} == {pair.name for pair in PAIRS}


def test_time_that_is_up_in_the_middle_of_training_leaves_results_that_compete(tmp_path):
    board, spent = timed(tmp_path, minutes=0.5, seconds=20.0, rungs=1)
    assert spent <= 1.05 * 30
    stopped = [r for r in board.finished.records if r.status == "stopped"]
    assert stopped
    assert all(record in board.finished.candidates() for record in stopped if record.last.metrics)
    assert board.finished.records[0].trial.protected


def test_however_short_the_time_a_baseline_is_tried(tmp_path):
    board, _ = timed(tmp_path, minutes=1e-9)
    assert board.finished.limited
    assert [r.trial.pair.name for r in board.finished.records] == ["none|mlp", "prior_threshold|mlp"]
    assert board.finished.candidates()


def test_a_resumed_search_has_no_more_time_than_one_that_was_not_interrupted(tmp_path):
    ledger = Ledger(tmp_path)
    ledger.spent(25)
    board = Board(terms(trials=None), ledger, minutes=0.5, clock=Clock())
    assert board.seconds_to_end == pytest.approx(3)
    assert board.seconds_left == pytest.approx(3 - 0.02 * 30)
    _, spent = timed(tmp_path, minutes=0.5)
    assert spent <= 1.05 * 5


def test_what_goes_on_after_the_end_is_given_up_if_there_is_something_to_choose_from(tmp_path):
    clock = Clock()
    board = Board(terms(trials=None), Ledger(tmp_path), minutes=1.0, clock=clock)
    board.started_in, board.at_once = 15.0, 2
    first, second = board.next(), board.next()
    clock.now = 100.0 + 55.9
    assert board.late
    assert board.next() is None
    clock.now = 100.0 + 57.1
    board.give_up()
    assert not board.over, "nothing is known yet"
    board.record(first.name, [Result({"accuracy": 0.5, "ece": 0.1}) for _ in first.trials])
    board.give_up()
    assert board.over
    assert board.finished.limited
    assert [r.trial for r in board.finished.records] == list(first.trials)
    board.fail(second.name, "its process has ended itself")
    assert board.error is None


def test_results_that_were_cut_short_are_kept_as_such(tmp_path):
    Ledger(tmp_path).write((0, 1, 2), Result({"accuracy": 0.5}, stopped=3))
    assert Ledger(tmp_path).load() == {(0, 1, 2): Result({"accuracy": 0.5}, stopped=3)}


def test_what_a_run_had_to_change_is_said_once_and_is_no_part_of_the_record(tmp_path, caplog):
    board = board_of(tmp_path, rounds=1, trials=40)
    run = next(run for run in board.stage if len(run.trials) > 1)
    board.adopt([run.name])
    with caplog.at_level("WARNING", "equipoise"):
        board.record(run.name, [Result({"accuracy": 0.5, "ece": 0.1}, note="memory was too short") for _ in run.trials])
    assert [r.getMessage() for r in caplog.records] == [
        f"search: {run.pair.recipe.name} on {run.pair.learner}: memory was too short"
    ]
    assert Ledger(tmp_path).load()[run.keys[0]] == Result({"accuracy": 0.5, "ece": 0.1})


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


def test_what_goes_on_stays_in_its_population_on_the_schedule_of_the_full_budget(tmp_path):
    board = board_of(tmp_path, rungs=3, going_on=frozenset({"mlp"}))
    carry_out(board)
    nets = [run for run in board.runs if run.pair.learner == "mlp"]
    assert {run.budget for run in nets} == {1, 3, 9}
    assert {run.full for run in nets} == {9}
    later = [run for run in nets if run.origin is not None]
    assert any(run.rung == 2 for run in later)
    for run in later:
        before = {own[0].trained_as for own in run.origin.trainings}
        assert {own[0].trained_as for own in run.trainings} <= before
        assert run.origin in board.runs
        assert (run.origin.round, run.origin.rung) == (run.round, run.rung - 1)
        assert run.spends == run.budget - run.origin.budget
    assert all(run.origin is None and run.full == run.budget for run in board.runs if run.pair.learner == "trees")
    # A member's record has the rungs that it came to, whether it was kept or not.
    for record in board.finished.records:
        full = board.terms.budgets[record.trial.pair.learner]
        spent = [budget(full, 3, 3, rung) for rung in range(len(record.rungs))]
        assert [b for b, _ in record.rungs] == ([full] if record.trial.protected else spent)


def test_a_job_that_goes_on_has_all_that_began_and_the_trials_of_those_that_are_left(tmp_path):
    board = board_of(tmp_path, rungs=3, going_on=frozenset({"mlp"}))
    carry_out(board)
    run = next(run for run in board.runs if run.rung == 2 and run.origin is not None)
    first, job = run.course[0], Job.of(run)
    assert [seed for _, seed in job.members] == [own[0].seed for own in first.trainings]
    assert (job.budget, job.until, job.after) == (9, 9, run.origin.name)
    assert [epoch for epoch, _ in job.kept] == [1, 3]
    left = {own[0].seed for own in run.trainings}
    assert {job.members[i][1] for i in job.kept[-1][1]} == left
    assert [seed in left for _, seed in job.members] == [bool(trials) for trials in job.trials]
    assert sum(map(len, job.trials)) == len(run.trials)
    alone = Job.of(first)
    assert (alone.until, alone.after, alone.kept) == (1, None, ())
