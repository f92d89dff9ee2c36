"""Plain words for what the files name by keys: metrics, rules, outcomes, and the glossary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from models.metrics.names import BY_NAME
from tasks.reporting.numbers import decimal

MEANINGS: dict[str, str] = {
    "accuracy": "Share of rows whose class was decided correctly.",
    "balanced_accuracy": "Mean over the classes of the share found: a rare class counts as much as a common one.",
    "macro_f1": "Mean over the classes of F1, the harmonic mean of precision and recall.",
    "f_beta": "F-beta of the positive class (of several classes or labels their mean): recall counts `evaluate.beta` times as much as precision.",
    "g_mean": "Geometric mean of the recalls: near zero as soon as one class is missed.",
    "mcc": "Correlation of decisions and truth: 1 is perfect, 0 is chance.",
    "roc_auc": "Chance that a random positive row gets a higher score than a random negative one.",
    "average_precision": "Mean precision along the precision-recall curve; chance level is the share of the class.",
    "worst_class_recall": "Share found of the class that the model finds least.",
    "worst_group_accuracy": "Accuracy in the group for which the model is least accurate.",
    "demographic_parity_ratio": "Smallest selection rate of a group divided by the largest: 1 is equal.",
    "equalized_odds_ratio": "Smaller of the ratios of true and false positive rates between groups: 1 is equal.",
    "log_loss": "Penalty for probability put on the wrong class; 0 is perfect.",
    "brier": "Mean squared error of the predicted probabilities; 0 is perfect.",
    "ece": "Mean distance between predicted probability and observed frequency.",
    "demographic_parity_difference": "Largest difference between groups in how often they are selected.",
    "equalized_odds_difference": "Largest difference between groups in the true or the false positive rate.",
    "equal_opportunity_difference": "Largest difference between groups in the true positive rate.",
    "ece_worst_group": "Calibration error in the group for which it is largest.",
    "subset_accuracy": "Share of rows whose labels were all decided correctly.",
    "hamming_loss": "Share of all decisions on labels that were wrong.",
    "quadratic_weighted_kappa": "Agreement beyond chance; a decision far from the true class costs the square of the distance.",
    "class_distance": "How many classes a decision lies from the true one, on average.",
    "balanced_class_distance": "The same, averaged over the classes: a rare class counts as much as a common one.",
    "r2": "Share of the spread of the true numbers that the predictions explain; 0 is always predicting the mean.",
    "mae": "Mean distance between prediction and truth, in the unit of the target.",
    "rmse": "Root of the mean squared distance: large errors count more.",
    "balanced_mae": "Mean over the bins of their mean absolute errors: rare values count as much as common ones.",
    "worst_bin_mae": "Mean absolute error in the bin where it is largest.",
    "bias": "How far predictions are from the truth on average, whichever way.",
    "calibration_slope_error": "How far the truth moves by more or less than 1 when the prediction moves by 1.",
    "worst_group_mae": "Mean absolute error in the group where it is largest.",
    "mae_difference": "Largest difference between groups in the mean absolute error.",
    "mean_error_difference": "Largest difference between groups in the mean error: one is predicted higher than another.",
    "mean_error": "Predicted minus true, on average: above 0 predictions are too high.",
    "selection_rate": "Share of rows decided as the positive class.",
    "true_positive_rate": "Share of truly positive rows that were found.",
    "false_positive_rate": "Share of truly negative rows that were wrongly selected.",
    "precision": "Share of the rows decided as a class that are truly of it.",
    "recall": "Share of the rows of a class that were found.",
    "f1": "Harmonic mean of precision and recall.",
}

PLAIN_LABELS = {"f1": "F1", "fpr": "False positive rate", "tpr": "True positive rate"}
LOWER_IS_BETTER = frozenset({"false_positive_rate", "false_negative_rate"})
HIGHER_IS_BETTER = frozenset({"true_positive_rate", "precision", "recall", "f1"})

GLOSSARY: dict[str, str] = {
    "Adjustment": "A correction fitted after training on calibration rows, such as a temperature or a threshold.",
    "Baseline": "A recipe that every search includes so that the others must beat it: none (do nothing) and prior_threshold (move only the decision threshold).",
    "Calibration": "Predicted probabilities are calibrated when, of the rows given 20%, about 20% turn out positive.",
    "Champion and challenger": "The registered model in use, and the new one that wants its place.",
    "Class": "A value of the target, the column that is predicted.",
    "Feasible": "A trial that keeps every limit of the search.",
    "Gate": "The step that compares the model's figures with the rules of the policy and gives the verdict.",
    "Group": "A value of one sensitive attribute.",
    "Imbalance ratio": "Rows of the largest class divided by rows of the smallest.",
    "Insufficient evidence": "Too few test rows to say. It is neither a pass nor a fail, and never a zero.",
    "Intersection": "A group made of the values of several sensitive attributes.",
    "Interval": "The range of values that fit the rows a figure was measured on. A narrower one means more evidence.",
    "Recipe": "A balancing strategy: which method acts where, from resampling to the decision threshold.",
    "Refit": "The chosen configuration trained anew with several seeds; the model averages them.",
    "Selected": "Decided as the positive class.",
    "Successive halving": "Trials that do badly on a small budget are stopped early, so that the good ones get the time.",
    "Test rows": "Rows kept aside and used once, for the figures of this report. Nothing was fitted or chosen on them.",
    "Trial": "One configuration of one recipe, trained and measured on validation rows.",
    "Validation rows": "Rows on which the search compares trials. They neither train nor judge the final model.",
    "Violation": "How far a trial is beyond the limits of the search: for each limit the excess as a share of it, summed.",
}  # fmt: skip


def label(metric: str) -> str:
    """The name of a metric in plain words; one that has no title is shown with spaces."""
    if metric in BY_NAME:
        return BY_NAME[metric].title
    return PLAIN_LABELS.get(metric, metric.replace("_", " ").capitalize())


def meaning(metric: str) -> str:
    """What a metric says, in one sentence."""
    return MEANINGS.get(metric, "")


def higher_is_better(metric: str) -> bool | None:
    """Whether a larger value is better; None where it is neither, as for the selection rate."""
    if metric in BY_NAME:
        return BY_NAME[metric].better == "higher"
    return True if metric in HIGHER_IS_BETTER else False if metric in LOWER_IS_BETTER else None


def bounds(metric: str) -> tuple[float | None, float | None]:
    """The smallest and the largest value that the metric can take; None where there is no end."""
    if metric in BY_NAME and BY_NAME[metric].unit:
        return 0.0, None
    own = {
        "mcc": (-1.0, 1.0), "log_loss": (0.0, None), "brier": (0.0, 2.0), "quadratic_weighted_kappa": (-1.0, 1.0),
        "r2": (None, 1.0), "calibration_slope_error": (0.0, None),
    }  # fmt: skip
    return own.get(metric, (0.0, 1.0))


def requirement(rule: Mapping[str, Any]) -> str:
    """What a rule asks for, as a phrase."""
    if rule.get("at_least") is not None:
        words = f"Must be at least {decimal(rule['at_least'])}"
    elif rule.get("at_most") is not None:
        words = f"Must be at most {decimal(rule['at_most'])}"
    else:
        words = f"May be worse than the champion by at most {decimal(rule['worse_by_at_most'])}"
    return words + (", for the whole interval" if rule.get("judge_by") == "interval" else "")


def lower_first(words: str) -> str:
    """A name within a sentence: `balanced accuracy`, but `ROC AUC`, `F1` and `MCC` as they are."""
    first = words.split(" ", 1)[0].split("-", 1)[0]
    return (
        words
        if first[1:] != first[1:].lower() or len(first) < 3 or first in ("Brier", "Matthews")
        else words[0].lower() + words[1:]
    )
