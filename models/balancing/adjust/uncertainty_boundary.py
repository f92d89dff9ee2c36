"""A decision boundary over score and uncertainty: a threshold on the score for every level of the models' disagreement."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.balancing.component import Adjuster, Claim, Decision, Scores, Source, State, Task, hyper
from models.data import Statistics

LEVELS, BINS = 4, 64
"""Levels of uncertainty, and bins of the score within a level; with few rows a bin is a row, and there are fewer."""

Floats = NDArray[np.float64]


def uncertainty(scores: Scores) -> Tensor:
    """The standard deviation of the models' probabilities of the positive class [n]; 0 for one model."""
    probabilities = torch.softmax(scores.member_decisions, -1)[..., 1]
    # By hand, as torch warns of a deviation over no rows.
    return (probabilities - probabilities.mean(0)).square().mean(0).sqrt()


def levels_of(spread: Tensor, edges: Tensor) -> Tensor:
    """The level of each row's uncertainty [n], for inner edges [L - 1]: the number of edges that it reaches."""
    return (spread[:, None] >= edges).long().sum(-1)


def dynamic_program(gained: Sequence[Floats], bound: float) -> NDArray[np.int64]:
    """How many of the highest score bins of each level [L] to call positive, for the largest recall at this precision.

    `gained` are, by level, the positive rows in its highest 0, 1, … bins, which are of equally many rows, the same for all
    levels, in units of a bin's rows; -inf where no threshold can lie. The best count of positives for every total of chosen
    bins is found level by level; if no choice reaches the precision, the most precise one is taken.
    """
    levels = len(gained)
    best, choice = np.zeros(1), []
    for own in gained:
        total = np.full(len(best) + len(own) - 1, -np.inf)
        taken = np.zeros(len(total), dtype=np.int64)
        for count, hits in enumerate(own):
            reached = total[count : count + len(best)]
            better = best + hits > reached
            taken[count : count + len(best)][better] = count
            reached[better] = (best + hits)[better]
        best = total
        choice.append(taken)
    sizes = np.arange(len(best))
    precision = best[1:] / sizes[1:]
    allowed = np.flatnonzero(precision >= bound - 1e-12) + 1
    chosen = allowed[np.argmax(best[allowed])] if len(allowed) else 1 + int(np.argmax(precision))
    counts = np.zeros(levels, dtype=np.int64)
    for level in reversed(range(levels)):
        counts[level] = choice[level][chosen]
        chosen -= counts[level]
    return counts


def best_cut(values: Floats, positive: Floats, weights: Floats, bound: float) -> float:
    """The smallest value [n] above or at which the precision is at least `bound`; else the one of largest precision."""
    order = np.argsort(-values, kind="stable")
    hit, all_ = (positive * weights)[order].cumsum(), weights[order].cumsum()
    last = np.append(np.diff(values[order]) != 0, True)
    precision = np.where(last, hit / np.maximum(all_, 1e-300), -1.0)
    allowed = np.flatnonzero(precision >= bound - 1e-12)
    chosen = allowed[-1] if len(allowed) else int(np.argmax(precision))
    return float(values[order][chosen])


@dataclass(frozen=True)
class UncertaintyBoundary(Adjuster):
    """Base of the boundaries over score and uncertainty, which is the spread of the refits' probabilities.

    One model alone is never uncertain, and gets one threshold.
    """

    precision: float | Tensor = hyper(0.7, 0.3, 0.95, minimum=0.0, maximum=1.0)

    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    decides: ClassVar[Decision] = "shifted"
    source: ClassVar[Source] = Source(
        "Leveraging Uncertainty Estimates To Improve Classifier Performance",
        "G. Arora, S. Merugu, A. Saladi, R. Rastogi",
        2023,
        "arXiv:2311.11723",
    )
    claim: ClassVar[Claim] = Claim(
        "raises F0.5 of the rare class by a threshold that falls with certainty", "rare_positive", "f0.5", models=3
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """Inner edges of the levels [L - 1] (infinite: not reached), and the threshold on the margin of each level [L]."""
        spread, margins = uncertainty(scores), scores.decision[:, 1] - scores.decision[:, 0]
        shares = torch.arange(1, LEVELS, dtype=spread.dtype, device=spread.device) / LEVELS
        edges = torch.unique(torch.quantile(spread, shares, interpolation="lower"))
        # Every edge is the lowest row of its level, so that no level is empty.
        edges = edges[edges > spread.min()]
        level = levels_of(spread, edges).cpu().numpy()
        y = (labels == 1).double().cpu().numpy()
        found = self._thresholds(margins.cpu().numpy(), level, len(edges) + 1, y, weights.double().cpu().numpy())
        thresholds, missing = torch.from_numpy(found).to(margins), LEVELS - len(found)
        return {
            "edges": torch.nn.functional.pad(edges, (0, missing), value=torch.inf),
            "thresholds": torch.nn.functional.pad(thresholds, (0, missing)),
        }

    @abstractmethod
    def _thresholds(self, margins: Floats, level: NDArray[np.int64], levels: int, y: Floats, w: Floats) -> Floats: ...

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the positive class's decision lowered by the threshold of the row's level."""
        mine = state["thresholds"][levels_of(uncertainty(scores), state["edges"])]
        return scores._replace(decision=scores.decision + torch.stack([torch.zeros_like(mine), -mine], -1))


@dataclass(frozen=True)
class UncertaintyDynamicProgram(UncertaintyBoundary):
    """The best thresholds of all levels at once, by dynamic programming over bins of equally many rows (EW-DPMT); rows count alike."""

    name: ClassVar[str] = "uncertainty_dynamic_program"
    formula: ClassVar[str] = "decide z_1 - z_0 > h_u, (h_1 … h_L) of largest recall with precision >= bound"

    def _thresholds(self, margins: Floats, level: NDArray[np.int64], levels: int, y: Floats, w: Floats) -> Floats:
        size = -(-len(margins) // (LEVELS * BINS))
        cells, orders = [], []
        for one in range(levels):
            rows = np.flatnonzero(level == one)
            rows = rows[np.argsort(-margins[rows], kind="stable")]
            pieces = [rows[at : at + size] for at in range(0, len(rows), size)]
            # A level's last bin may be short of rows; it has the lowest scores, and counts as a whole one.
            hits = np.cumsum([0.0, *(y[piece].sum() / size for piece in pieces)])
            # No threshold parts rows of one score.
            hits[1:-1][[margins[a[-1]] == margins[b[0]] for a, b in pairwise(pieces)]] = -np.inf
            cells.append(hits)
            orders.append(pieces)
        counts = dynamic_program(cells, float(self.precision))
        found = np.empty(levels)
        for one, count in enumerate(counts):
            above = np.concatenate([[np.inf], *(margins[p] for p in orders[one][:count])]).min()
            below = np.concatenate([*(margins[p] for p in orders[one][count:]), [-np.inf]]).max()
            found[one] = _between(above, below)
        return found


@dataclass(frozen=True)
class UncertaintyIsotonic(UncertaintyBoundary):
    """Each level's scores are calibrated by isotonic regression, and one threshold on what comes out serves all (MIST)."""

    name: ClassVar[str] = "uncertainty_isotonic"
    formula: ClassVar[str] = (
        "decide iso_u(z_1 - z_0) >= t, t of largest recall with precision >= bound, iso_u fitted per level u"
    )

    def _thresholds(self, margins: Floats, level: NDArray[np.int64], levels: int, y: Floats, w: Floats) -> Floats:
        calibrated = np.zeros(len(margins))
        from sklearn.isotonic import IsotonicRegression

        for one in range(levels):
            rows = level == one
            calibrated[rows] = IsotonicRegression().fit_transform(margins[rows], y[rows], sample_weight=w[rows])
        cut = best_cut(calibrated, y, w, float(self.precision))
        found = np.empty(levels)
        for one in range(levels):
            mine, chosen = margins[level == one], calibrated[level == one] >= cut
            found[one] = _between(mine[chosen].min(initial=np.inf), mine[~chosen].max(initial=-np.inf))
        return found


def _between(above: float, below: float) -> float:
    """A threshold between the lowest chosen and the highest other margin; one beyond all where a side is empty."""
    if np.isinf(above):
        return float(below + 1)
    return float((above + below) / 2) if np.isfinite(below) else float(above - 1)
