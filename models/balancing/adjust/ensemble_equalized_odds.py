"""Equalized odds for an ensemble of models: the derived predictor of least error from the models' decisions and the group.

A derived predictor decides 'positive' with a probability that depends on nothing but what the models decide and on the
group; the probabilities are the solution of a linear program, as Hardt, Price and Srebro have it for one model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.balancing.adjust.coins import SOURCE as DETERMINISTIC
from models.balancing.adjust.coins import coins, tossed
from models.balancing.component import Adjuster, Claim, Decision, Need, Scores, Source, State, Task, hyper
from models.data import Statistics

MEMBERS = 10
"""Models whose decisions are told apart one by one; of more, the joint form looks at the first ones."""


def derived(
    positives: NDArray[np.float64], negatives: NDArray[np.float64], balanced: bool = False
) -> NDArray[np.float64]:
    """The probability of deciding 'positive' [G, K] in each group and for each pattern of decisions, by a linear program.

    `positives` and `negatives` [G, K] are the weight of the rows of both classes. It minimizes the error (`balanced`: the
    mean of the classes' errors) subject to equal true and equal false positive rates of all groups; every group has rows
    of both classes.
    """
    groups, patterns = positives.shape
    rates = [part / part.sum(1, keepdims=True) for part in (positives, negatives)]
    equal = []
    for rate in rates:
        for group in range(1, groups):
            row = np.zeros((groups, patterns))
            row[0], row[group] = rate[0], -rate[group]
            equal.append(row.ravel())
    from scipy.optimize import linprog

    scales = (negatives.sum(), positives.sum()) if balanced else (1.0, 1.0)
    cost = negatives.ravel() / scales[0] - positives.ravel() / scales[1]
    found = linprog(
        cost, A_eq=np.array(equal) if equal else None, b_eq=np.zeros(len(equal)) if equal else None, bounds=(0, 1)
    )
    solution: NDArray[np.float64] = found.x.reshape(groups, patterns)
    return solution.clip(0, 1)


class Rows(NamedTuple):
    """Calibration rows [n]: their labels, groups and weights."""

    labels: Tensor
    groups: Tensor
    weights: Tensor


def fitted_table(pattern: Tensor, default: Tensor, rows: Rows, group_count: int, balanced: bool) -> Tensor:
    """The derived predictor [G, K] of rows with these patterns [n]; where there is no evidence, `default` [K] decides.

    That is for groups that lack a class, and for patterns that no row of a group shows.
    """
    labels, groups, weights = rows
    patterns = len(default)
    cells = (labels * group_count + groups) * patterns + pattern
    counts = torch.zeros(2 * group_count * patterns, dtype=torch.float64, device=labels.device)
    table = counts.index_add(0, cells, weights.double()).reshape(2, group_count, patterns)
    chosen = default.double().expand(group_count, patterns).clone()
    usable = (table.sum(-1) > 0).all(0)
    if bool(usable.any()):
        negatives, positives = table[:, usable].cpu().numpy()
        solved = torch.from_numpy(derived(positives, negatives, balanced)).to(labels.device)
        chosen[usable] = torch.where(table[:, usable].sum(0) > 0, solved, chosen[usable])
    return chosen


def majority(votes: Tensor, together: Tensor) -> Tensor:
    """Votes of M models [M, n] -> whether most decide 'positive' [n]; where as many say no, `together` [n] decides."""
    balance = 2 * votes.sum(0) - len(votes)
    return (balance > 0) | ((balance == 0) & together)


def patterns_of(votes: Tensor) -> Tensor:
    """Votes [M, n] -> which of the 2^M patterns they are [n]."""
    found = torch.zeros_like(votes[0], dtype=torch.int64)
    for m in range(len(votes)):
        found = found + votes[m].long() * 2**m
    return found


def looked_up(table: Tensor, groups: Tensor, pattern: Tensor) -> Tensor:
    """The entry of each row's group and pattern [n] in a table [G, K]; an unknown group counts as the nearest."""
    mine = groups.clamp(0, table.shape[0] - 1)
    return table.reshape(-1)[mine * table.shape[1] + pattern]


@dataclass(frozen=True)
class EnsembleEqualizedOdds(Adjuster):
    """Base of FairSISA's three variants; with one model they are all the derived predictor of that model.

    The models are those that the refit makes with several seeds. A row's own scores toss its coin, so that it is always
    decided alike. A group whose calibration rows lack a class keeps the models' majority.
    """

    objective: str = hyper("balanced_accuracy", choices=("balanced_accuracy", "accuracy"))

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    decides: ClassVar[Decision] = "shifted"
    source: ClassVar[Source] = Source(
        "FairSISA: Ensemble Post-Processing to Improve Fairness of Unlearning in LLMs",
        "S. R. Kadhe, A. Halimi, A. Rawat, N. Baracaldo",
        2023,
        "arXiv:2312.07420",
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Equality of Opportunity in Supervised Learning", "M. Hardt, E. Price, N. Srebro", 2016, "arXiv:1610.02413"
        ),
        DETERMINISTIC,
    )
    claim: ClassVar[Claim] = Claim(
        "makes the error rates of the groups agree", "group_gap", "equalized_odds_difference", models=3
    )

    @property
    def _balanced(self) -> bool:
        return self.objective == "balanced_accuracy"

    def _votes(self, scores: Scores) -> tuple[Tensor, Tensor]:
        """What each model decides [M, n], and what all decide together [n]."""
        decisions = scores.member_decisions
        return decisions[..., 1] > decisions[..., 0], scores.decision[:, 1] > scores.decision[:, 0]


@dataclass(frozen=True)
class AggregateThenPostprocess(EnsembleEqualizedOdds):
    """The majority of the models is taken first, and post-processed as one model."""

    name: ClassVar[str] = "aggregate_then_postprocess"
    formula: ClassVar[str] = "P(positive | y, g), y the majority of y_1 … y_M, of least loss under equal TPR and FPR"

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """P(positive) by group and majority [G, 2]."""
        one = majority(*self._votes(scores)).long()
        default = torch.arange(2.0, device=labels.device)
        return {"table": fitted_table(one, default, Rows(labels, groups, weights), statistics.groups, self._balanced)}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision tossed by group and majority."""
        one = majority(*self._votes(scores)).long()
        positive = looked_up(state["table"], groups, one)
        return scores._replace(decision=tossed(positive, coins(scores.decision)))


@dataclass(frozen=True)
class PostprocessThenAggregate(EnsembleEqualizedOdds):
    """Every model is post-processed for itself, with coins of its own, and the majority of these decides."""

    name: ClassVar[str] = "postprocess_then_aggregate"
    formula: ClassVar[str] = (
        "the majority over m of a draw from P_m(positive | y_m, g), each of least loss under equal TPR and FPR"
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """P(positive) by model, group and the model's decision [M, G, 2]."""
        votes, _ = self._votes(scores)
        default = torch.arange(2.0, device=labels.device)
        rows = Rows(labels, groups, weights)
        tables = [fitted_table(v.long(), default, rows, statistics.groups, self._balanced) for v in votes]
        return {"table": torch.stack(tables)}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision that most of the tossed models take."""
        decisions = scores.member_decisions
        votes, together = self._votes(scores)
        drawn = [
            looked_up(state["table"][m], groups, votes[m].long()) > coins(decisions[m], salt=m)
            for m in range(state["table"].shape[0])
        ]
        positive = majority(torch.stack(drawn), together).double()
        return scores._replace(decision=torch.stack([1 - positive, positive], -1))


@dataclass(frozen=True)
class EnsemblePostprocess(EnsembleEqualizedOdds):
    """All models are post-processed together: the least error that any predictor derived from their decisions can have.

    Where the majority decides for want of rows and the models are divided evenly, the row's coin does.
    """

    name: ClassVar[str] = "ensemble_postprocess"
    formula: ClassVar[str] = "P(positive | y_1 … y_M, g) of least loss under equal TPR and FPR"

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """P(positive) by group and pattern of decisions [G, 2^M]."""
        votes, _ = self._votes(scores)
        votes = votes[:MEMBERS]
        count = 2 ** len(votes)
        every = torch.arange(count, device=labels.device)
        shown = torch.stack([(every >> m) & 1 for m in range(len(votes))]).double()
        default = (shown.mean(0) - 0.5).sign() / 2 + 0.5
        rows = Rows(labels, groups, weights)
        return {"table": fitted_table(patterns_of(votes), default, rows, statistics.groups, self._balanced)}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision tossed by group and pattern."""
        votes, _ = self._votes(scores)
        pattern = patterns_of(votes[: state["table"].shape[1].bit_length() - 1])
        positive = looked_up(state["table"], groups, pattern)
        return scores._replace(decision=tossed(positive, coins(scores.decision)))
