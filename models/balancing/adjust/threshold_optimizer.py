"""Randomized thresholds per group that meet a fairness constraint exactly, as fairlearn finds them, with fixed coins."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from models.balancing.adjust.coins import SOURCE as DETERMINISTIC
from models.balancing.adjust.coins import coins, tossed
from models.balancing.component import Adjuster, Claim, Decision, Need, Scores, Source, State, Task, hyper
from models.data import Statistics

CONSTRAINTS = ("equalized_odds", "demographic_parity", "true_positive_rate_parity", "false_positive_rate_parity")
OBJECTIVES = ("balanced_accuracy_score", "accuracy_score")
COLUMNS = ("ignore", "constant", "first", "first_share", "second", "second_share")


def _given() -> Any:
    """A model whose prediction is its only input: fairlearn asks for a model, and the scores are there already."""
    from sklearn.base import BaseEstimator

    class Given(BaseEstimator):
        fitted_ = True

        def fit(self, rows: NDArray[Any], labels: NDArray[Any]) -> Given:
            return self

        def predict(self, rows: NDArray[Any]) -> NDArray[Any]:
            column: NDArray[Any] = np.asarray(rows)[:, 0]
            return column

    return Given()


def interpolated(
    margins: NDArray[np.float64], labels: NDArray[np.int64], groups: NDArray[np.int64], constraint: str, objective: str
) -> dict[int, tuple[float, ...]]:
    """What fairlearn's ThresholdOptimizer learns of rows [n], by group: the values of COLUMNS."""
    from fairlearn.postprocessing import ThresholdOptimizer

    found = {}
    optimizer = ThresholdOptimizer(
        estimator=_given(), constraints=constraint, objective=objective, prefit=True, predict_method="predict"
    )
    with warnings.catch_warnings():
        # fairlearn 0.15 speaks to an older pandas; what it warns of changes nothing here.
        warnings.simplefilter("ignore")
        optimizer.fit(margins[:, None], labels, sensitive_features=groups)
    for group, one in optimizer.interpolated_thresholder_.interpolation_dict.items():
        mixed = ("p_ignore" in one, one.operation0.threshold, one.p0, one.operation1.threshold, one.p1)
        found[int(group)] = (
            *((float(one.p_ignore), float(one.prediction_constant)) if mixed[0] else (0.0, 0.0)),
            *(float(value) for value in mixed[1:]),
        )
    return found


def positive_probability(margins: Tensor, table: Tensor) -> Tensor:
    """Margins [n] and each row's values of COLUMNS [n, 6] -> the probability of deciding 'positive' [n]."""
    ignore, constant, first, first_share, second, second_share = (table[:, i] for i in range(len(COLUMNS)))
    above = first_share * (margins > first) + second_share * (margins > second)
    return ignore * constant + (1 - ignore) * above


@dataclass(frozen=True)
class ThresholdOptimizer(Adjuster):
    """Fairlearn's ThresholdOptimizer; a row's own scores toss the coin, so that the same row is always decided alike.

    Unlike `equalized_odds` it meets the constraint exactly in expectation over the coins, at the price of rows that differ
    little and are decided differently. A group whose calibration rows lack a class keeps the decision as it was, and
    rows count alike.
    """

    constraint: str = hyper("equalized_odds", choices=CONSTRAINTS)
    objective: str = hyper("balanced_accuracy_score", choices=OBJECTIVES)

    name: ClassVar[str] = "threshold_optimizer"
    formula: ClassVar[str] = (
        "P(positive | z, g) = ignore_g c + (1 - ignore_g) (p_g [z > a_g] + (1 - p_g) [z > b_g]), "
        "best by the objective subject to the constraint"
    )
    tasks: ClassVar[frozenset[Task]] = frozenset({"binary"})
    needs: ClassVar[frozenset[Need]] = frozenset({"groups"})
    decides: ClassVar[Decision] = "shifted"
    source: ClassVar[Source] = Source(
        "Equality of Opportunity in Supervised Learning", "M. Hardt, E. Price, N. Srebro", 2016, "arXiv:1610.02413"
    )
    also: ClassVar[tuple[Source, ...]] = (
        Source(
            "Fairlearn: Assessing and Improving Fairness of AI Systems", "H. Weerts et al.", 2023, "arXiv:2303.16626"
        ),
        DETERMINISTIC,
    )
    claim: ClassVar[Claim] = Claim(
        "makes the error rates of the groups agree", "group_gap", "equalized_odds_difference"
    )

    def fit(self, scores: Scores, labels: Tensor, groups: Tensor, weights: Tensor, statistics: Statistics) -> State:
        """The values of COLUMNS for each group [G, 6], and whether it has them [G]."""
        margins = (scores.decision[:, 1] - scores.decision[:, 0]).cpu().numpy()
        y, ids = labels.cpu().numpy(), groups.cpu().numpy()
        usable = [g for g in range(statistics.groups) if len(np.unique(y[ids == g])) == 2]
        table, known = torch.zeros(statistics.groups, len(COLUMNS), dtype=torch.float64), torch.zeros(statistics.groups)
        if usable:
            inside = np.isin(ids, usable)
            for group, values in interpolated(
                margins[inside], y[inside], ids[inside], self.constraint, self.objective
            ).items():
                table[group], known[group] = torch.tensor(values, dtype=torch.float64), 1.0
        return {"table": table.to(labels.device), "known": known.to(labels.device)}

    def adjust(self, state: State, scores: Scores, groups: Tensor) -> Scores:
        """Scores with the decision of each row tossed."""
        mine = groups.clamp(0, len(state["known"]) - 1)
        margins = scores.decision[:, 1] - scores.decision[:, 0]
        positive = positive_probability(margins, state["table"][mine])
        decided = tossed(positive, coins(scores.decision))
        return scores._replace(decision=torch.where(state["known"][mine][:, None] > 0, decided, scores.decision))
