"""Whether probabilities mean what they say: log loss, Brier score, expected calibration error, reliability points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from models.metrics.classification import divide, keyed_sums
from models.metrics.scored import Bools, Floats, Ints, Scored


def log_losses(scored: Scored) -> Floats:
    """-log of the probability of the label, per row [n]; clipped away from 0 by the smallest step of a float64."""
    chosen = scored.probabilities[np.arange(len(scored)), scored.labels]
    return -np.log(np.clip(chosen, np.finfo(np.float64).eps, 1))


def brier_losses(scored: Scored) -> Floats:
    """(p - y)^2 of the positive class for two classes, the sum of squares over the classes otherwise [n] (Brier 1950)."""
    if scored.classes == 2:
        return (scored.probabilities[:, 1] - scored.labels) ** 2
    missed = scored.probabilities.copy()
    missed[np.arange(len(scored)), scored.labels] -= 1
    return (missed**2).sum(1)


FROM_LOSSES: dict[str, Callable[[Scored], Floats]] = {"log_loss": log_losses, "brier": brier_losses}


def mean_loss(losses: Floats, weights: Floats | None = None) -> Floats:
    """Weighted mean of per-row losses [n] -> scalar, or [draws] for weights [draws, n]; NaN without rows."""
    if weights is None:
        return np.asarray(losses.mean() if len(losses) else np.nan)
    return divide(np.asarray(np.einsum("...n,n->...", weights, losses)), weights.sum(-1))


def confidence_and_hit(scored: Scored) -> tuple[Floats, Bools]:
    """What calibration compares: (probability, whether it came true) of the positive class, or of the likeliest class."""
    if scored.classes == 2:
        return scored.probabilities[:, 1], scored.labels == 1
    return scored.probabilities.max(1), scored.probabilities.argmax(1) == scored.labels


def bin_index(confidence: Floats, bins: int) -> Ints:
    """Equal-width bins (0, 1/b], (1/b, 2/b] … of confidences in [0, 1]; 0 itself falls in the first."""
    return np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)


def bin_sums(
    scored: Scored, bins: int, weights: Floats | None = None, keys: Ints | None = None, groups: int = 1
) -> Floats:
    """Rows, hits and summed confidence per bin [..., 3, G, bins]; `keys` [n] are group ids, one group without."""
    confidence, hit = confidence_and_hit(scored)
    places = bin_index(confidence, bins) + (0 if keys is None else keys * bins)
    row = np.ones(len(scored)) if weights is None else weights
    sums = [keyed_sums(places, groups * bins, row * of) for of in (1.0, hit, confidence)]
    return np.stack(sums, axis=-2).reshape(*row.shape[:-1], 3, groups, bins)


def bin_errors(sums: Floats) -> Floats:
    """Mean confidence minus share of hits of each bin, times the bin's share of rows; NaN for a group without rows.

    sums: [..., 3, G, bins] as of `bin_sums`; returns [..., G, bins].
    """
    rows, hits, confidence = (sums[..., i, :, :] for i in range(3))
    return divide(confidence - hits, rows.sum(-1, keepdims=True))


def ece(sums: Floats) -> Floats:
    """Mean over rows of |mean confidence - share of hits| of the row's bin (Naeini et al. 2015; Guo et al. 2017).

    sums: [..., 3, G, bins] as of `bin_sums`; returns [..., G], NaN for a group without rows.
    """
    return np.abs(bin_errors(sums)).sum(-1)


def ece_by_chance(scored: Scored, bins: int) -> float:
    """The calibration error that rows like these would show of a model without any, on average; NaN without rows.

    A bin's share of hits is then off by a normal error of variance sum p (1 - p) / n^2, whose mean size is
    sqrt(2 / pi) of its deviation.
    """
    confidence, _ = confidence_and_hit(scored)
    places = bin_index(confidence, bins)
    variances = np.bincount(places, weights=confidence * (1 - confidence), minlength=bins)
    return float(np.sqrt(2 / np.pi * variances).sum() / len(scored)) if len(scored) else float("nan")


def reliability_points(scored: Scored, bins: int) -> list[dict[str, float]]:
    """The bins of the calibration error that hold rows: mean confidence, share of hits, and rows of each."""
    return [
        {"confidence": summed / rows, "observed": hits / rows, "rows": int(rows)}
        for rows, hits, summed in bin_sums(scored, bins)[:, 0].T.tolist()
        if rows > 0
    ]
