"""The metrics that a search may optimize or limit and a gate may judge: the one table of their names and directions."""

from typing import Literal, NamedTuple

from models.errors import InputError, nearest
from models.schema import CLASSES, Task

ORDINAL: frozenset[Task] = frozenset({"ordinal"})
LABELS: frozenset[Task] = frozenset({"multilabel"})
NUMBER: frozenset[Task] = frozenset({"regression"})
DECIDED = CLASSES | LABELS
"""The kinds of target of which something is decided, with a probability. Of labels each is one against none."""


class Metric(NamedTuple):
    """One metric: its name, which way is better, what it looks at, how a report calls it, and for which kinds of target.

    `over` says what the figure is made from: 'rows' a mean over rows, 'classes' a figure that needs rows of every
    class (label, bin of the number), 'groups' a comparison of the groups of one sensitive attribute. Values are
    fractions in [0, 1] (log loss: 0 and up; MCC, kappa: -1 to 1; R²: up to 1), but with `unit`: in the unit of the
    number, or in classes.
    """

    name: str
    better: Literal["higher", "lower"]
    over: Literal["rows", "classes", "groups"]
    title: str
    tasks: frozenset[Task] = CLASSES
    unit: bool = False


TABLE: tuple[Metric, ...] = (
    Metric("accuracy", "higher", "rows", "Accuracy"),
    Metric("balanced_accuracy", "higher", "classes", "Balanced accuracy", DECIDED),
    Metric("macro_f1", "higher", "classes", "Macro F1", DECIDED),
    Metric("f_beta", "higher", "classes", "F-beta", DECIDED),
    Metric("g_mean", "higher", "classes", "G-mean"),
    Metric("mcc", "higher", "classes", "Matthews correlation"),
    Metric("roc_auc", "higher", "classes", "ROC AUC", DECIDED),
    Metric("average_precision", "higher", "classes", "Average precision", DECIDED),
    Metric("worst_class_recall", "higher", "classes", "Worst-class recall", DECIDED),
    Metric("subset_accuracy", "higher", "rows", "Subset accuracy", LABELS),
    Metric("quadratic_weighted_kappa", "higher", "classes", "Quadratic weighted kappa", ORDINAL),
    Metric("r2", "higher", "rows", "R²", NUMBER),
    Metric("worst_group_accuracy", "higher", "groups", "Worst-group accuracy", DECIDED),
    Metric("demographic_parity_ratio", "higher", "groups", "Demographic parity ratio", DECIDED),
    Metric("equalized_odds_ratio", "higher", "groups", "Equalized odds ratio", DECIDED),
    Metric("log_loss", "lower", "rows", "Log loss", DECIDED),
    Metric("brier", "lower", "rows", "Brier score", DECIDED),
    Metric("ece", "lower", "rows", "Calibration error (ECE)", DECIDED),
    Metric("hamming_loss", "lower", "rows", "Hamming loss", LABELS),
    Metric("class_distance", "lower", "rows", "Mean class distance", ORDINAL, unit=True),
    Metric("balanced_class_distance", "lower", "classes", "Balanced class distance", ORDINAL, unit=True),
    Metric("mae", "lower", "rows", "Mean absolute error", NUMBER, unit=True),
    Metric("rmse", "lower", "rows", "Root mean squared error", NUMBER, unit=True),
    Metric("balanced_mae", "lower", "classes", "Balanced mean absolute error", NUMBER, unit=True),
    Metric("worst_bin_mae", "lower", "classes", "Worst-bin mean absolute error", NUMBER, unit=True),
    Metric("bias", "lower", "rows", "Bias", NUMBER, unit=True),
    Metric("calibration_slope_error", "lower", "rows", "Calibration slope error", NUMBER),
    Metric("demographic_parity_difference", "lower", "groups", "Demographic parity difference", DECIDED),
    Metric("equalized_odds_difference", "lower", "groups", "Equalized odds difference", DECIDED),
    Metric("equal_opportunity_difference", "lower", "groups", "Equal opportunity difference", DECIDED),
    Metric("ece_worst_group", "lower", "groups", "Worst-group calibration error"),
    Metric("worst_group_mae", "lower", "groups", "Worst-group mean absolute error", NUMBER, unit=True),
    Metric("mae_difference", "lower", "groups", "Difference of mean absolute errors", NUMBER, unit=True),
    Metric("mean_error_difference", "lower", "groups", "Difference of mean errors", NUMBER, unit=True),
)
BY_NAME = {metric.name: metric for metric in TABLE}
EVERY_UP = tuple(metric.name for metric in TABLE if metric.better == "higher")
EVERY_DOWN = tuple(metric.name for metric in TABLE if metric.better == "lower")
EVERY = EVERY_UP + EVERY_DOWN
BALANCED: dict[Task, str] = {
    "binary": "balanced_accuracy",
    "multiclass": "balanced_accuracy",
    "ordinal": "balanced_accuracy",
    "multilabel": "balanced_accuracy",
    "regression": "balanced_mae",
}
"""What a search optimizes unless it is told otherwise: a figure to which rare classes, labels and bins count as much as others."""
TELLS_MORE: dict[Task, str] = {
    "binary": "log_loss",
    "multiclass": "log_loss",
    "ordinal": "log_loss",
    "multilabel": "log_loss",
    "regression": "rmse",
}
"""What decides between models whose objectives are too close to tell apart."""


def names_for(task: Task) -> tuple[str, ...]:
    """The metrics of a kind of target, those of which more is better first."""
    return tuple(name for name in EVERY if task in BY_NAME[name].tasks)


def overall_for(task: Task) -> tuple[str, ...]:
    """The metrics over all rows of a kind of target, in the order of the table."""
    return tuple(m.name for m in TABLE if task in m.tasks and m.over != "groups")


def by_group_for(task: Task) -> tuple[str, ...]:
    """The comparisons between groups of a kind of target, in the order of the table."""
    return tuple(m.name for m in TABLE if task in m.tasks and m.over == "groups")


def compares_groups(name: str) -> bool:
    """Whether the metric compares groups."""
    return BY_NAME[name].over == "groups"


def objection(name: str, task: Task) -> str | None:
    """Why the metric does not suit the kind of target, with the nearest that does; None if it does."""
    if task in BY_NAME[name].tasks:
        return None
    kinds = ", ".join(sorted(BY_NAME[name].tasks))
    return f"{name} is for {kinds} targets, and the target is {task}. {nearest(name, names_for(task))}"


def require(name: str, task: Task, where: str) -> None:
    """Raise InputError unless the metric suits the kind of target."""
    if found := objection(name, task):
        raise InputError(f"{where}: {found}")


METRICS = names_for("multiclass")
METRICS_UP = tuple(name for name in METRICS if BY_NAME[name].better == "higher")
METRICS_DOWN = tuple(name for name in METRICS if BY_NAME[name].better == "lower")
OVERALL = overall_for("multiclass")
BY_GROUP = by_group_for("multiclass")
"""Those of classes without an order."""
