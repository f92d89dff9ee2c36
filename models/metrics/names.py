"""The metrics that a search may maximize or limit and a gate may judge: the one table of their names and directions."""

from typing import Literal, NamedTuple


class Metric(NamedTuple):
    """One metric: its name, which way is better, what it looks at, and how a report calls it.

    `over` says what the figure is made from: 'rows' a mean over rows, 'classes' a figure that needs rows of every
    class, 'groups' a comparison of the groups of one sensitive attribute. Values are fractions in [0, 1] (log loss:
    0 and up; MCC: -1 to 1).
    """

    name: str
    better: Literal["higher", "lower"]
    over: Literal["rows", "classes", "groups"]
    title: str


TABLE: tuple[Metric, ...] = (
    Metric("accuracy", "higher", "rows", "Accuracy"),
    Metric("balanced_accuracy", "higher", "classes", "Balanced accuracy"),
    Metric("macro_f1", "higher", "classes", "Macro F1"),
    Metric("g_mean", "higher", "classes", "G-mean"),
    Metric("mcc", "higher", "classes", "Matthews correlation"),
    Metric("roc_auc", "higher", "classes", "ROC AUC"),
    Metric("average_precision", "higher", "classes", "Average precision"),
    Metric("worst_class_recall", "higher", "classes", "Worst-class recall"),
    Metric("worst_group_accuracy", "higher", "groups", "Worst-group accuracy"),
    Metric("demographic_parity_ratio", "higher", "groups", "Demographic parity ratio"),
    Metric("equalized_odds_ratio", "higher", "groups", "Equalized odds ratio"),
    Metric("log_loss", "lower", "rows", "Log loss"),
    Metric("brier", "lower", "rows", "Brier score"),
    Metric("ece", "lower", "rows", "Calibration error (ECE)"),
    Metric("demographic_parity_difference", "lower", "groups", "Demographic parity difference"),
    Metric("equalized_odds_difference", "lower", "groups", "Equalized odds difference"),
    Metric("equal_opportunity_difference", "lower", "groups", "Equal opportunity difference"),
    Metric("ece_worst_group", "lower", "groups", "Worst-group calibration error"),
)
BY_NAME = {metric.name: metric for metric in TABLE}
METRICS_UP = tuple(metric.name for metric in TABLE if metric.better == "higher")
METRICS_DOWN = tuple(metric.name for metric in TABLE if metric.better == "lower")
METRICS = METRICS_UP + METRICS_DOWN
OVERALL = tuple(metric.name for metric in TABLE if metric.over != "groups")
BY_GROUP = tuple(metric.name for metric in TABLE if metric.over == "groups")
