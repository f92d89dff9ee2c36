"""Every metric of one model on one set of rows as plain numbers: what the search compares its trials by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from models.errors import InputError
from models.metrics.calibration import FROM_LOSSES, bin_sums, ece, mean_loss
from models.metrics.classification import FROM_CONFUSION, confusion_matrix
from models.metrics.fairness import (
    GAPS,
    Evidence,
    Kind,
    ece_worst_group,
    enough_rows,
    gap,
    group_confusion,
    usable,
    worst_group_accuracy,
)
from models.metrics.names import BY_GROUP, BY_NAME, METRICS
from models.metrics.ranking import FROM_RANKING, rankings
from models.metrics.scored import Bools, Floats, Grouping, Scored

KINDS: tuple[Kind, ...] = ("selection_rate", "true_positive_rate", "false_positive_rate")


def score_all(
    labels: ArrayLike,
    decisions: ArrayLike,
    probabilities: ArrayLike,
    groups_by_attribute: Mapping[str, ArrayLike],
    weights: ArrayLike | None = None,
    bins: int = 15,
    evidence: Evidence | None = None,
) -> dict[str, float | None]:
    """All metrics of `names.METRICS` by name; None where one is not defined.

    labels, decisions [n] class ids; probabilities [n, C]; group ids [n] per attribute; weights [n], one each without.
    A comparison of groups takes the worst attribute; groups with fewer rows than `evidence` asks for are left out of it
    (by default a single row is enough), and without two groups that can be compared it is None.
    """
    scored = Scored.of(labels, decisions, probabilities)
    row = None if weights is None else np.asarray(weights, dtype=np.float64)
    if row is not None and (row.shape != (len(scored),) or not np.isfinite(row).all() or (row < 0).any()):
        raise InputError(f"weights must be {len(scored)} finite numbers of at least 0.")
    values = overall(scored, row, bins)
    by_attribute = [
        compare_groups(scored, grouping_of_ids(name, ids, len(scored)), evidence or Evidence(), row, bins)
        for name, ids in groups_by_attribute.items()
    ]
    for name in BY_GROUP:
        found = [v for v in (one[name] for one in by_attribute) if v is not None]
        worst = min if BY_NAME[name].better == "higher" else max
        values[name] = worst(found) if found else None
    return {name: values[name] for name in METRICS}


def overall(scored: Scored, weights: Floats | None = None, bins: int = 15) -> dict[str, float | None]:
    """The metrics over all rows, by name; None where one is not defined."""
    confusion = confusion_matrix(scored.labels, scored.decisions, scored.classes, weights)
    values = {name: _number(formula(confusion)) for name, formula in FROM_CONFUSION.items()}
    sums = [ranking.sums(weights) for ranking in rankings(scored)]
    for name, area in FROM_RANKING.items():
        values[name] = _number(float(np.mean([area(*pair) for pair in sums])))
    for name, losses in FROM_LOSSES.items():
        values[name] = _number(mean_loss(losses(scored), weights))
    values["ece"] = _number(ece(bin_sums(scored, bins, weights))[0])
    return values


def compare_groups(
    scored: Scored, grouping: Grouping, evidence: Evidence, weights: Floats | None = None, bins: int = 15
) -> dict[str, float | None]:
    """The comparisons between the groups of one attribute, by name; None where fewer than two can be compared."""
    groups = len(grouping.groups)
    counts = group_confusion(scored, grouping.ids, groups)
    confusion = counts if weights is None else group_confusion(scored, grouping.ids, groups, weights)
    masks: dict[Kind, Bools] = {kind: usable(kind, counts, evidence) for kind in KINDS}
    enough = enough_rows(grouping, evidence)
    values = {name: _number(gap(name, confusion, masks)) for name in GAPS}
    values["worst_group_accuracy"] = _number(worst_group_accuracy(confusion, enough))
    errors = ece(bin_sums(scored, bins, weights, grouping.ids, groups))
    values["ece_worst_group"] = _number(ece_worst_group(errors, enough))
    return values


def grouping_of_ids(name: str, ids: ArrayLike, rows: int) -> Grouping:
    """A grouping from ids alone; its groups are named by their ids."""
    array = np.asarray(ids, dtype=np.int64)
    if array.shape != (rows,):
        raise InputError(f"attribute '{name}': {array.shape} group ids for {rows} rows.")
    return Grouping(name, tuple(str(i) for i in range(int(array.max(initial=-1)) + 1)), array)


def _number(value: Floats | float) -> float | None:
    """A float, or None for NaN."""
    number = float(value)
    return number if np.isfinite(number) else None
