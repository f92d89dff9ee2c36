"""How far a search has come, in trials' worth of training, and what is best so far."""

from __future__ import annotations

import time

from tasks.progress import Meter
from tasks.search.board import Board
from tasks.search.campaign import round_sizes
from tasks.search.choice import Standing

EVERY = 1.0
"""Seconds between two reports while nothing finishes."""


class Progress:
    """Brings a board's state to a meter. Rungs that are still to come are estimated, as if no trial failed."""

    def __init__(self, board: Board, meter: Meter) -> None:
        self._board = board
        self._meter = meter
        self._last = 0.0
        self.tell()

    def tell_now_and_then(self) -> None:
        """Say how far it is, unless that was said just now."""
        if time.monotonic() - self._last >= EVERY:
            self.tell()

    def tell(self) -> None:
        """Say how far it is: the training done in all trials together, as a number of trials; or the time that has passed."""
        self._last = time.monotonic()
        board, (words, value) = self._board, self._best()
        best = f"best {board.terms.goal.metric} {value:.4f} ({words})" if value is not None else ""
        running = f"{len(board.under_way)} running" if board.under_way else ""
        tried = f"{len({key[2] for key in board.known})} tried" if board.limit is not None else ""
        note = ", ".join(part for part in (running, tried, best) if part)
        if board.limit is not None:
            self._meter.update(min(board.spent, board.limit), note=note)
        else:
            self._meter.update(self.share() * (board.terms.trials or 0), note=note)

    def share(self) -> float:
        """How much of all training is over, counted in budgets."""
        board = self._board
        if board.finished is not None:
            return 1.0
        due = [(run, len(run.trainings) * run.budget / board.terms.budgets[run.pair.learner]) for run in board.runs]
        ahead = sum(count * share for count, share in self._ahead())
        return sum(share for run, share in due if board.has(run)) / (sum(share for _, share in due) + ahead)

    def _ahead(self) -> list[tuple[int, float]]:
        """The rungs that are still to come: how many trainings, and for which share of the full budget."""
        board, terms = self._board, self._board.terms
        if not board.stage:
            return []
        present = (board.stage[0].round, board.stage[0].rung)
        protected = sum(any(t.protected for t in own) for run in board.runs for own in run.trainings)
        found = []
        for round_, size in enumerate(round_sizes(terms)):
            running = size - protected if round_ == 0 else size
            for rung in range(terms.rungs):
                if (round_, rung) > present and running:
                    found.append((running, terms.halving ** (rung + 1 - terms.rungs)))
                running = max(1, running // terms.halving) if running else 0
        return found

    def _best(self) -> tuple[str, float | None]:
        """The best trial so far, of those with the largest share of the budget, and its objective."""
        board, goal = self._board, self._board.terms.goal
        found: dict[float, list[tuple[Standing, str]]] = {}
        for run in filter(board.has, board.runs):
            share = run.budget / board.terms.budgets[run.pair.learner]
            for key, trial in zip(run.keys, run.trials, strict=True):
                standing = Standing(trial.id, trial.protected, board.known[key].metrics)
                if standing.metrics is not None:
                    found.setdefault(round(share, 2), []).append(
                        (standing, f"{trial.pair.recipe.name}, {trial.pair.learner}")
                    )
        if not found:
            return "", None
        best, words = min(found[max(found)], key=lambda pair: goal.rank(pair[0]))
        return words, (best.metrics or {}).get(goal.metric)
