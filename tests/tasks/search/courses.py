"""Searches on paper: boards whose runs give made-up results, by a clock that is set."""

import dataclasses

from models.recipe import competitors
from models.seeds import derive_seed
from tasks.search.board import Board
from tasks.search.campaign import Result, Terms
from tasks.search.choice import Goal
from tasks.search.ledger import Ledger
from tasks.search.populations import Sizes
from tasks.search.space import pairs

PAIRS = pairs(
    competitors(["weighted_ce", "focal", "ldam_drw", "mixup", "balanced_softmax"]), ("mlp", "trees"), image=False
)


def terms(**changes):
    usual = {
        "pairs": PAIRS, "trials": 24, "rounds": 3, "halving": 3, "rungs": 2, "goal": Goal("accuracy", {"ece": 0.5}),
        "seed": 7, "budgets": {"mlp": 9, "trees": 90},
        "sizes": Sizes({pair.name: 8 for pair in PAIRS if pair.learner == "mlp"}, 2, 2),
    }  # fmt: skip
    return Terms(**{**usual, **changes})


def outcome(run, trial):
    """A made-up result that depends on the configuration and the budget alone."""
    value = derive_seed(0, str(sorted(trial.values.items())), trial.pair.name, run.budget) / 2**31
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


class Clock:
    """A clock that stands until it is set."""

    now = 100.0

    def __call__(self):
        return self.now


def timed(path, minutes, seconds=1.0, **changes):
    """A search by time with a clock of its own: two processes at once, whose runs take `seconds` each, or what is left."""
    clock = Clock()
    board = Board(terms(trials=None, **changes), Ledger(path), minutes, clock=clock)
    board.at_once, under_way = 2, []
    while not board.over:
        while (run := board.next()) is not None:
            left = max(board.seconds_left, 0.1)
            under_way.append((clock.now + min(seconds, left), run, None if seconds <= left else 1))
        if under_way:
            under_way.sort(key=lambda entry: entry[0])
            clock.now, run, stopped = under_way.pop(0)
            board.record(run.name, [dataclasses.replace(outcome(run, t), stopped=stopped) for t in run.trials])
    return board, clock.now - 100
