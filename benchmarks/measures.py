"""What a claim is about, as numbers: the figures of `models.balancing.claim.Measure` on rows that took no part in training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, f1_score, fbeta_score

from models.balancing.component import Scores
from models.data import Split
from models.metrics.score import score_all
from models.schema import CLASSES

COST_OF_A_MISS = 10.0
"""What a missed positive costs, in false alarms."""


def measures(scores: Scores, rows: Split, attribute: torch.Tensor, train: Split) -> dict[str, float]:
    """Every figure that is defined for the rows' task; `attribute` [n] are the groups that are compared."""
    groups = attribute.numpy()
    if rows.task == "regression":
        return _of_numbers(scores, rows, groups, train)
    if rows.task == "multilabel":
        return _of_labels(scores, rows)
    found = _of_classes(scores, rows, groups, train)
    if rows.task == "ordinal":
        missed = np.abs(scores.decision.argmax(-1).numpy() - rows.labels.numpy()).astype(np.float64)
        found |= {"mae": float(missed.mean()), "balanced_mae": _mean_over(missed, rows.labels.numpy())}
    return found


def _of_classes(scores: Scores, rows: Split, groups: NDArray[np.int64], train: Split) -> dict[str, float]:
    assert rows.task in CLASSES
    labels, decided = rows.labels.numpy(), scores.decision.argmax(-1).numpy()
    p = scores.log_probabilities.exp().numpy()
    of_groups = {"group": groups} if len(np.unique(groups)) > 1 else {}
    found = {k: v for k, v in score_all(labels, decided, p, of_groups).items() if v is not None}
    losses = -scores.log_probabilities.gather(1, rows.labels[:, None]).squeeze(1).clamp(min=-30).numpy()
    right = (decided == labels).astype(np.float64)
    counts = torch.bincount(train.labels, minlength=train.classes).numpy()
    tail = np.argsort(counts, kind="stable")[: -(-len(counts) // 3)]
    found["tail_recall"] = float(np.mean([right[labels == c].mean() for c in tail]))
    if of_groups:
        found["largest_group_accuracy"] = float(right[groups == np.bincount(groups).argmax()].mean())
        found["worst_group_log_loss"] = max(float(losses[groups == g].mean()) for g in np.unique(groups))
    if train.classes == 2:
        found["f1"] = float(f1_score(labels, decided, zero_division=0.0))
        found |= {f"f{b:g}": float(fbeta_score(labels, decided, beta=b, zero_division=0.0)) for b in (0.5, 2.0)}
        misses, alarms = ((labels == 1) & (decided == 0)).mean(), ((labels == 0) & (decided == 1)).mean()
        if of_groups:
            errors = [
                ((decided[ours & (labels == 0)] == 1).mean() + (decided[ours & (labels == 1)] == 0).mean()) / 2
                for ours in (groups == g for g in np.unique(groups))
            ]
            found["balanced_error_difference"] = float(max(errors) - min(errors))
        found["cost"] = float(COST_OF_A_MISS * misses + alarms)
    return found


def _of_numbers(scores: Scores, rows: Split, groups: NDArray[np.int64], train: Split) -> dict[str, float]:
    missed = (scores.decision[:, 0] - rows.values[:, 0]).abs().numpy().astype(np.float64)
    counts = torch.bincount(train.labels, minlength=train.classes).numpy()
    rare = np.isin(rows.labels.numpy(), np.argsort(counts, kind="stable")[: -(-len(counts) // 3)])
    return {
        "mae": float(missed.mean()),
        "balanced_mae": _mean_over(missed, rows.labels.numpy()),
        "rare_mae": float(missed[rare].mean()),
        "worst_group_mae": max(float(missed[groups == g].mean()) for g in np.unique(groups)),
    }


def _of_labels(scores: Scores, rows: Split) -> dict[str, float]:
    carried = rows.values.numpy()
    return {
        "macro_average_precision": float(average_precision_score(carried, scores.log_probabilities.numpy(), average="macro")),
        "macro_label_f1": float(f1_score(carried, (scores.decision > 0).numpy(), average="macro", zero_division=0.0)),
        "log_loss": float(
            torch.nn.functional.binary_cross_entropy(scores.log_probabilities.exp().float().clamp(1e-7, 1 - 1e-7), rows.values)
        ),
    }  # fmt: skip


def _mean_over(values: NDArray[np.float64], classes: NDArray[np.int64]) -> float:
    """The mean over the classes of the mean of each."""
    return float(np.mean([values[classes == c].mean() for c in np.unique(classes)]))


def known(found: Mapping[str, float], measure: str, problem: str) -> float:
    """One of the figures; one that the problem does not have is an error of the claim."""
    if measure not in found:
        raise KeyError(f"the problem '{problem}' has no figure '{measure}'; it has {', '.join(sorted(found))}")
    return found[measure]
