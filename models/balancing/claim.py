"""What a method is said to be good for, as data: a figure, and the kind of problem on which it shows.

A method declares its claim in one line beside its source; `make bench-claims` makes the problem, sets the method against
the same training without it, and prints whether the claim holds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from models.balancing.base import Component

Problem = Literal[
    "long_tail", "separable_tail", "rare_positive", "rare_positive_fitted", "image_tail", "spurious", "group_gap", "rare_in_group", "noisy_labels", "overconfident", "overconfident_tail",
    "subclasses", "rare_values", "multilabel_tail", "ordered_tail", "unlabelled", "hidden_positives",
    "lowered_values", "missing_labels", "shown_group", "group_gap_large_batches",
    "whole_batch", "ordered_few", "few_rows", "more_rows", "overfitted", "one_side", "learned_by_heart",
]  # fmt: skip
PROBLEMS: Mapping[Problem, str] = {
    "long_tail": "overlapping classes whose rows fall from many to few by a constant factor",
    "separable_tail": "long-tailed classes of several clusters, and a net that fits every row of them",
    "rare_positive": "two overlapping classes, a few percent of the rows positive",
    "rare_positive_fitted": "the rows of `rare_positive`, from which a net learns four times as long",
    "image_tail": "small images of long-tailed classes",
    "spurious": "a strong feature that follows the class in most rows and points the other way in a small group",
    "group_gap": "two groups whose labels and features differ, so that a plain model treats them unequally",
    "group_gap_large_batches": "the rows of `group_gap`, a third of which every step sees",
    "shown_group": "two groups as in `group_gap`, and a column that says which one a row is of",
    "rare_in_group": "two groups, in one of which positives are rare, so that one threshold misses them there",
    "noisy_labels": "a third of the training labels is wrong, and a wide net trains until it has learned them by heart",
    "overconfident": "few training rows and a net that learns them by heart",
    "overconfident_tail": "long-tailed classes, and rows to judge that are noisier than those that a net learned from",
    "subclasses": "classes made of common and rare clusters that nobody names",
    "rare_values": "a numeric target with few rows at its far end",
    "multilabel_tail": "several labels per row, some of them rare",
    "ordered_tail": "ordered classes, the outer ones rare",
    "ordered_few": "the same, and few rows of them",
    "unlabelled": "few labelled rows and many without a label",
    "hidden_positives": "positives of which many are not noted, in one group more than in the other",
    "lowered_values": "a numeric target of which many training labels are too low",
    "missing_labels": "several labels per row, some of them rare, of which half are not noted in training",
    "whole_batch": "the rows of `long_tail`, all of which every step sees",
    "few_rows": "few training rows and a net of several hidden layers",
    "more_rows": "few new rows, after a champion has learned from many",
    "one_side": "new rows of one half of each class, after a champion has learned from both halves, by which all are judged",
    "overfitted": "few rows of many columns, on which a net trains to the end",
    "learned_by_heart": "rows of which a champion has learned the first half by heart, some wrong labels with it",
}

Measure = Literal[
    "accuracy", "balanced_accuracy", "tail_recall", "macro_f1", "g_mean", "mcc", "f1", "f2", "f0.5", "roc_auc", "average_precision",
    "worst_class_recall", "worst_group_accuracy", "largest_group_accuracy", "log_loss", "brier", "ece", "demographic_parity_difference",
    "equalized_odds_difference", "equal_opportunity_difference", "balanced_error_difference", "worst_group_log_loss", "ece_worst_group", "mae",
    "balanced_mae", "rare_mae", "worst_group_mae", "macro_average_precision", "macro_label_f1", "cost",
]  # fmt: skip
"""Figures on fresh rows of the problem; `tail_recall` is the mean recall of the rarest third of the classes, `largest_group_accuracy` the
accuracy in the group with the most rows, and `balanced_error_difference` the largest less the smallest mean of false
positive and false negative rate of the groups. `f2` and `f0.5` are F-beta of the positive class: at 2 recall counts twice as much
as precision, at 0.5 half as much."""

LESS_IS_BETTER = frozenset(
    {
        "log_loss", "brier", "ece", "demographic_parity_difference", "equalized_odds_difference",
        "equal_opportunity_difference", "balanced_error_difference", "worst_group_log_loss", "ece_worst_group", "mae", "balanced_mae", "rare_mae",
        "worst_group_mae", "cost",
    }
)  # fmt: skip


@dataclass(frozen=True)
class Claim:
    """A clause that says what the method does, the problem on which it shows, and the figure that it moves.

    `values` are hyperparameters to hold the method at where its defaults are made for another scale than a small
    problem's. `beside` are methods, by slot, that act with it and without it: what it is published together with. Of a
    method that is only a part of others the claim is that by itself it `changes_nothing`. `models` are averaged, with the
    method and without it: several where the claim is about an ensemble. `remark` is why it does not hold here, where that
    is known.
    """

    text: str
    problem: Problem
    measure: Measure
    values: Mapping[str, Any] = field(default_factory=dict)
    beside: Mapping[str, Any] = field(default_factory=dict)
    changes_nothing: bool = False
    models: int = 1
    remark: str = ""

    @property
    def less_is_better(self) -> bool:
        """The direction of the figure."""
        return self.measure in LESS_IS_BETTER


def claim_of(method: type[Component]) -> Claim:
    """The method's own claim; without one, what is usually claimed of methods that need what it needs."""
    if method.claim is not None:
        return method.claim
    if "unlabelled" in method.needs:
        return Claim("learns from rows without a label", "unlabelled", "balanced_accuracy")
    if "ordered_classes" in method.needs:
        return Claim("serves the rare ordered classes", "ordered_tail", "balanced_mae")
    if "groups" in method.needs:
        return Claim("serves the worst group", "spurious", "worst_group_accuracy")
    if method.tasks == {"regression"}:
        return Claim("serves the rare values", "rare_values", "rare_mae")
    if method.tasks == {"multilabel"}:
        return Claim("serves the rare labels", "multilabel_tail", "macro_average_precision")
    if "image" in method.needs:
        return Claim("serves the rare classes", "image_tail", "balanced_accuracy")
    if "multiclass" not in method.tasks:
        return Claim("serves the rare class", "rare_positive", "balanced_accuracy")
    return Claim("serves the rare classes", "long_tail", "balanced_accuracy")
