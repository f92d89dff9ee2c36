"""Every metric of one model on one set of rows as plain numbers: what the search compares its trials by."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from models.errors import InputError
from models.metrics import labels as of_labels
from models.metrics import numbers as of_numbers
from models.metrics.calibration import FROM_LOSSES, bin_sums, ece, mean_loss
from models.metrics.classification import confusion_matrix
from models.metrics.fairness import (
    GAPS,
    Evidence,
    Kind,
    ece_worst_group,
    enough_rows,
    extreme,
    gap,
    group_confusion,
    usable,
    worst_group_accuracy,
)
from models.metrics.labels import Labels
from models.metrics.names import BY_NAME, by_group_for, names_for, overall_for
from models.metrics.numbers import Numbers
from models.metrics.ordered import from_decisions
from models.metrics.ranking import FROM_RANKING, rankings
from models.metrics.scored import Bools, Floats, Grouping, Scored
from models.metrics.terms import BETA

KINDS: tuple[Kind, ...] = ("selection_rate", "true_positive_rate", "false_positive_rate")


def score_all(
    labels: ArrayLike,
    decisions: ArrayLike,
    probabilities: ArrayLike,
    groups_by_attribute: Mapping[str, ArrayLike],
    weights: ArrayLike | None = None,
    bins: int = 15,
    evidence: Evidence | None = None,
    beta: float = BETA,
) -> dict[str, float | None]:
    """All metrics of a target of classes by name; None where one is not defined.

    labels, decisions [n] class ids; probabilities [n, C]; group ids [n] per attribute; weights [n], one each without.
    A comparison of groups takes the worst attribute; groups with fewer rows than `evidence` asks for are left out of it
    (by default a single row is enough), and without two groups that can be compared it is None. `beta` is that of F-beta.
    """
    scored = Scored.of(labels, decisions, probabilities)
    row = None if weights is None else np.asarray(weights, dtype=np.float64)
    if row is not None and (row.shape != (len(scored),) or not np.isfinite(row).all() or (row < 0).any()):
        raise InputError(f"weights must be {len(scored)} finite numbers of at least 0.")
    return score_rows(scored, groups_by_attribute, row, bins, evidence, beta)


def score_rows(
    rows: Scored | Labels | Numbers,
    groups_by_attribute: Mapping[str, ArrayLike],
    weights: Floats | None = None,
    bins: int = 15,
    evidence: Evidence | None = None,
    beta: float = BETA,
) -> dict[str, float | None]:
    """All metrics of scored rows of any kind of target, as `score_all` gives those of classes."""
    values = overall(rows, weights, bins, beta)
    by_attribute = [
        compare_groups(rows, grouping_of_ids(name, ids, len(rows)), evidence or Evidence(), weights, bins)
        for name, ids in groups_by_attribute.items()
    ]
    for name in by_group_for(rows.task):
        found = [v for v in (one[name] for one in by_attribute) if v is not None]
        worst = min if BY_NAME[name].better == "higher" else max
        values[name] = worst(found) if found else None
    return {name: values[name] for name in names_for(rows.task)}


def overall(
    scored: Scored | Labels | Numbers, weights: Floats | None = None, bins: int = 15, beta: float = BETA
) -> dict[str, float | None]:
    """The metrics over all rows, by name; None where one is not defined."""
    if isinstance(scored, Numbers):
        return {name: _number(of_numbers.MEASURES[name](scored)(weights)) for name in overall_for(scored.task)}
    if isinstance(scored, Labels):
        found = {name: _number(measure(scored)(weights)) for name, measure in of_labels.measures(beta).items()}
        found["ece"] = _number(of_labels.mean_ece(scored, bins, weights))
        return {name: found[name] for name in overall_for(scored.task)}
    confusion = confusion_matrix(scored.labels, scored.decisions, scored.classes, weights)
    known = overall_for(scored.task)
    values = {name: _number(formula(confusion)) for name, formula in from_decisions(beta).items() if name in known}
    sums = [ranking.sums(weights) for ranking in rankings(scored)]
    for name, area in FROM_RANKING.items():
        values[name] = _number(float(np.mean([area(*pair) for pair in sums])))
    for name, losses in FROM_LOSSES.items():
        values[name] = _number(mean_loss(losses(scored), weights))
    values["ece"] = _number(ece(bin_sums(scored, bins, weights))[0])
    return values


def compare_groups(
    scored: Scored | Labels | Numbers,
    grouping: Grouping,
    evidence: Evidence,
    weights: Floats | None = None,
    bins: int = 15,
) -> dict[str, float | None]:
    """The comparisons between the groups of one attribute, by name; None where fewer than two can be compared."""
    groups = len(grouping.groups)
    if isinstance(scored, Numbers):
        enough = enough_rows(grouping, evidence)
        return {
            name: _number(of_numbers.compared(name, scored, grouping, enough)(weights))
            for name in by_group_for(scored.task)
        }
    if isinstance(scored, Labels):
        return _compare_labels(scored, grouping, evidence, weights)
    counts = group_confusion(scored, grouping.ids, groups)
    confusion = counts if weights is None else group_confusion(scored, grouping.ids, groups, weights)
    masks: dict[Kind, Bools] = {kind: usable(kind, counts, evidence) for kind in KINDS}
    enough = enough_rows(grouping, evidence)
    values = {name: _number(gap(name, confusion, masks)) for name in GAPS}
    values["worst_group_accuracy"] = _number(worst_group_accuracy(confusion, enough))
    errors = ece(bin_sums(scored, bins, weights, grouping.ids, groups))
    values["ece_worst_group"] = _number(ece_worst_group(errors, enough))
    return values


def _compare_labels(
    labels: Labels, grouping: Grouping, evidence: Evidence, weights: Floats | None
) -> dict[str, float | None]:
    groups = len(grouping.groups)
    counts = of_labels.confusions(labels, None, grouping.ids, groups)
    confusion = counts if weights is None else of_labels.confusions(labels, weights, grouping.ids, groups)
    masks: dict[Kind, Bools] = {kind: of_labels.usable(kind, counts, evidence) for kind in KINDS}
    values = {name: _number(of_labels.gap(name, confusion, masks)) for name in GAPS}
    shares = np.where(enough_rows(grouping, evidence), of_labels.group_accuracy(labels, grouping, weights), np.nan)
    values["worst_group_accuracy"] = _number(extreme(shares, np.fmin))
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
