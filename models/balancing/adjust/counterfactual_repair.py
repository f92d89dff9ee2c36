"""Repair of a fixed model's inputs: rows of a group that it treats worse are moved to a distribution that it treats alike."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from models.balancing.component import Claim, ModelAdjuster, Need, Source, State, Task, hyper
from models.data import Split, Statistics

if TYPE_CHECKING:
    from models.learners.learner import Model

POINTS = 300
"""Rows of a group that stand for its distribution."""
STEPS, RATE = 500, 0.1
"""Steps of the descent at most, and the largest change of a weight in one of them, as a share of it."""

Floats = NDArray[np.float64]


class Influence(NamedTuple):
    """How far a group's figure is from the other's, and how each point's weight moves that distance [n]; mean 0."""

    gap: float
    values: Floats


Figure = Callable[[Floats, Floats, Floats, float], Influence]
"""The model's probabilities p [n], those of class 1 given the row q [n], weights that sum to 1 [n], the other group's figure."""


def rate_of(p: Floats, q: Floats, w: Floats) -> float:
    """The mean probability of deciding for class 1 over the rows that q weighs."""
    return float((w * q * p).sum() / max((w * q).sum(), 1e-12))


def parity(p: Floats, q: Floats, w: Floats, other: float) -> Influence:
    """KL(a || b) of the mean probabilities a here and b there: psi = log(a (1 - b) / ((1 - a) b)) (p - a)."""
    a, b = float(np.clip((w * p).sum(), 1e-9, 1 - 1e-9)), float(np.clip(other, 1e-9, 1 - 1e-9))
    divergence = a * np.log(a / b) + (1 - a) * np.log((1 - a) / (1 - b))
    return Influence(float(divergence), np.log(a * (1 - b) / ((1 - a) * b)) * (p - a))


def rate(p: Floats, q: Floats, w: Floats, other: float) -> Influence:
    """|r - b| of the rates r = E[q p] / E[q] here and b there: psi = sign(r - b) q (p - r) / E[q]."""
    found = rate_of(p, q, w)
    return Influence(abs(found - other), np.sign(found - other) * q * (p - found) / max((w * q).sum(), 1e-12))


def counterfactual_weights(figure: Figure, p: Floats, q: Floats, w: Floats, other: float, repair: float) -> Floats:
    """Weights [n] under which the share `repair` of the gap is gone: the descent w <- w (1 - step psi), as long as it helps."""
    now, step = figure(p, q, w, other), RATE
    target = (1 - repair) * now.gap
    for _ in range(STEPS):
        largest = float(np.abs(now.values).max())
        if now.gap <= target + 1e-9 or largest == 0 or step < 1e-6:
            break
        moved = w * (1 - step * now.values / largest)
        moved = moved / moved.sum()
        after = figure(p, q, moved, other)
        if after.gap < now.gap:
            w, now = moved, after
        else:
            step /= 2
    return w


def transport(distances: Floats, surplus: Floats, deficit: Floats) -> Floats:
    """The cheapest way to move surplus [a] to deficit [b] over these distances [a, b]: a plan [a, b] with those sums."""
    from scipy.optimize import linprog
    from scipy.sparse import csr_array, eye_array, kron

    a, b = distances.shape
    rows = csr_array(kron(eye_array(a), np.ones((1, b))))
    columns = csr_array(kron(np.ones((1, a)), eye_array(b)))[:-1]
    from scipy.sparse import vstack

    found = linprog(
        distances.reshape(-1),
        A_eq=vstack([rows, columns]),
        b_eq=np.concatenate([surplus, deficit[:-1]]),
        method="highs",
    )
    if found.x is None:
        raise RuntimeError(f"the transport problem was not solved: {found.message}")
    plan: Floats = np.asarray(found.x).reshape(a, b)
    return plan


def moves(distances: Floats, p: Floats, before: Floats, after: Floats) -> tuple[Floats, Floats]:
    """What stays of each point [n], and the sum of share times p over where the rest of it goes [n].

    Where distances obey the triangle inequality, a cheapest plan moves nothing that both distributions have; so only the
    surplus of points that lose weight goes, to those that gain.
    """
    stays, moved = np.minimum(after / before, 1.0), np.zeros_like(p)
    sources, sinks = np.flatnonzero(after < before - 1e-12), np.flatnonzero(after > before + 1e-12)
    if not (len(sources) and len(sinks)):
        return np.ones_like(p), moved
    surplus, deficit = (before - after)[sources], (after - before)[sinks]
    plan = transport(distances[np.ix_(sources, sinks)], surplus / surplus.sum(), deficit / deficit.sum())
    moved[sources] = surplus.sum() * plan @ p[sinks] / before[sources]
    return stays, moved


@dataclass(frozen=True)
class CounterfactualRepair(ModelAdjuster):
    """Base of the repairs: each group is moved towards the one with the best figure, by training rows of it."""

    repair: float = hyper(1.0, 0.3, 1.0, minimum=0.0, maximum=1.0)

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    needs: ClassVar[frozenset[Need]] = frozenset({"groups", "table"})
    source: ClassVar[Source] = Source(
        "Repairing without Retraining: Avoiding Disparate Impact with Counterfactual Distributions",
        "H. Wang, B. Ustun, F. P. Calmon",
        2019,
        "arXiv:1901.10501",
    )
    figure: ClassVar[Figure]
    of: ClassVar[int | None] = None
    """The class whose rows the rate is about; None: of all rows."""

    @staticmethod
    @abstractmethod
    def best(rates: list[float]) -> int:
        """Which group's rate of deciding for class 1 the others are moved to."""

    def replaced(self, model: Model, train: Split, statistics: Statistics, generator: torch.Generator) -> Model:
        """The model behind the repair; itself where there is nothing to repair."""
        from models.learners.repaired_model import RepairedModel, distances

        drawn = [rows for g in range(train.group_count) if len(rows := some(train, g, generator))]
        groups = [train.take(rows) for rows in drawn]
        if len(groups) < 2:
            return model
        scores = [torch.softmax(model.logits(own).double(), -1)[:, 1].cpu().numpy() for own in groups]
        bases = [own.weights.double().cpu().numpy() / float(own.weights.sum()) for own in groups]
        chances = [np.ones(len(own)) if self.of is None else chance(own, self.of) for own in groups]
        rates = [rate_of(p, q, w) for p, q, w in zip(scores, chances, bases, strict=True)]
        best = self.best(rates)
        pieces: list[State] = []
        for i, (own, p, q, w) in enumerate(zip(groups, scores, chances, bases, strict=True)):
            if i == best:
                continue
            after = counterfactual_weights(type(self).figure, p, q, w, rates[best], float(self.repair))
            numeric = own.numeric.nan_to_num(0.0)
            point = {"numeric": numeric, "categorical": own.categorical, "group": own.groups}
            stays, moved = moves(distances(own, point).cpu().numpy(), p, w, after)
            pieces.append({**point, "stays": torch.from_numpy(stays), "moved": torch.from_numpy(moved)})
        return RepairedModel(model, {k: torch.cat([piece[k].cpu() for piece in pieces]) for k in pieces[0]})


def some(train: Split, group: int, generator: torch.Generator) -> torch.Tensor:
    """Positions of the group's rows that count, of more than POINTS so many drawn at random."""
    rows = torch.nonzero((train.groups == group) & (train.weights > 0)).squeeze(1)
    return rows[torch.randperm(len(rows), generator=generator)[:POINTS].to(rows.device)]


def chance(rows: Split, label: int) -> Floats:
    """The probability of the class given each row [n], by a logistic regression on the rows themselves."""
    from sklearn.linear_model import LogisticRegression

    from models.learners.forest_model import design, indicators

    labels = rows.labels.cpu().numpy()
    if len(np.unique(labels)) < 2:
        return np.full(len(labels), float(labels[0] == label))
    categories = [int(c) + 1 for c in rows.categorical.amax(0)] if rows.categorical.shape[1] else []
    columns = design(rows, indicators(rows.categorical, categories)).double().cpu().numpy()
    model = LogisticRegression(max_iter=1000).fit(columns, labels, sample_weight=rows.weights.cpu().numpy())
    found: Floats = model.predict_proba(columns)[:, list(model.classes_).index(label)]
    return found


FORMULA = (
    "w <- w (1 - step psi) until the gap is gone, psi the influence of a row on {gap}; then p'(x) = sum over x' of T(x' | x) "
    "p(x'), T the cheapest transport of the group's rows to w"
)


@dataclass(frozen=True)
class RepairedParity(CounterfactualRepair):
    """Rows of groups that are selected less often are scored as rows that are moved as little as makes up for it.

    The transport is random in the paper; here the model's probabilities are averaged over where a row may go, which says
    the same of every row twice. Up to 300 training rows stand for a group, and a row is moved as the nearest of them.
    """

    name: ClassVar[str] = "repaired_parity"
    formula: ClassVar[str] = FORMULA.format(gap="KL(E p | g || E p | best)")
    claim: ClassVar[Claim] = Claim(
        "brings the groups' shares of positive decisions together without training anew",
        "group_gap",
        "demographic_parity_difference",
    )
    figure: ClassVar[Figure] = staticmethod(parity)

    @staticmethod
    def best(rates: list[float]) -> int:
        """The group that is selected most."""
        return int(np.argmax(rates))


@dataclass(frozen=True)
class RepairedMisses(CounterfactualRepair):
    """The same for the positives that are missed: the chance that a row is positive comes from a logistic regression."""

    name: ClassVar[str] = "repaired_misses"
    formula: ClassVar[str] = FORMULA.format(gap="|E[q p] / E[q] | g - that of the best|, q = P(y = 1 | x, g)")
    claim: ClassVar[Claim] = Claim(
        "brings the groups' true positive rates together without training anew",
        "group_gap",
        "equal_opportunity_difference",
    )
    figure: ClassVar[Figure] = staticmethod(rate)
    of: ClassVar[int | None] = 1

    @staticmethod
    def best(rates: list[float]) -> int:
        """The group whose positives are found most."""
        return int(np.argmax(rates))
