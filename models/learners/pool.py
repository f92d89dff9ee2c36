"""The rows that one phase of training draws its batches from, and the labels that are guessed for them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor

from models.balancing.component import State
from models.balancing.stages import Phase, Rows
from models.data import Split, Statistics
from models.errors import InputError
from models.recipe import Recipe

if TYPE_CHECKING:
    from models.learners.population import Population


class Pool(NamedTuple):
    """Rows of the training table: `positions` [m] (None: all of them), the rows themselves, and their counts.

    `guesses` are the labels and the weights [P, n] that each member takes for those of the whole table, where a phase
    guesses labels.
    """

    positions: Tensor | None
    split: Split
    statistics: Statistics
    guesses: State

    def candidates(self, position: int) -> Tensor | None:
        """The rows of the table that a member may draw, on the host; None: all of them."""
        if self.guesses:
            return torch.nonzero(self.guesses["weights"][position] > 0).squeeze(1).cpu()
        return None if self.positions is None else self.positions.cpu()

    def epoch_rows(self) -> int:
        """How many rows an epoch passes: where members have chosen rows of their own, as many as the one with most."""
        if not self.guesses:
            return len(self.split)
        return int((self.guesses["weights"] > 0).sum(1).max())


def wanted(train: Split, rows: Rows) -> Tensor:
    """Whether each row of the training table is of this kind [n]."""
    labelled = train.labels >= 0
    return {
        "labelled": labelled, "all": torch.ones_like(labelled), "real": labelled & ~train.synthetic,
        "synthetic": labelled & train.synthetic,
    }[rows]  # fmt: skip


def ended_on(recipe: Recipe, train: Split) -> Split:
    """The labelled rows that a recipe's last phase trains on: those whose frequencies its models know."""
    rows = recipe.phases[-1].rows
    chosen = wanted(train, "labelled" if rows == "all" else rows)
    return train if bool(chosen.all()) else train.take(torch.nonzero(chosen).squeeze(1))


def pool_of(population: Population, phase: Phase, guess: bool) -> Pool:
    """The rows of a phase; InputError where there are none. `guess` says whether to guess labels, if the phase does."""
    train = population.train
    chosen = wanted(train, phase.rows)
    if not bool(chosen.any()):
        raise InputError(f"a phase of training learns from {phase.rows} rows, and the training table has none.")
    positions = None if bool(chosen.all()) else torch.nonzero(chosen).squeeze(1)
    split = train if positions is None else train.take(positions)
    statistics = Statistics.of(split)
    return Pool(positions, split, statistics, _guesses(population, phase, statistics) if guess else {})


@torch.no_grad()
def _guesses(population: Population, phase: Phase, statistics: Statistics) -> State:
    """Labels and weights [P, n] of the whole table: guessed for the rows without a label, by each member's best model."""
    p = population
    unlabelled = torch.nonzero(p.train.labels < 0).squeeze(1)
    if phase.guess is None or not len(unlabelled):
        return {}
    rows, labels, weights = p.train.take(unlabelled), [], []
    for position in range(len(p.alive)):
        probabilities = torch.softmax(p.best_model(position).logits(rows), -1)
        guessed, weight = phase.guess(probabilities, statistics)
        labels.append(p.train.labels.index_copy(0, unlabelled, guessed))
        weights.append(p.train.weights.index_copy(0, unlabelled, weight.to(p.train.weights.dtype) * rows.weights))
    return {"labels": torch.stack(labels), "weights": torch.stack(weights)}
