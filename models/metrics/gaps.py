"""Comparisons between groups with their intervals, and by name the groups that could not take part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.metrics import intervals
from models.metrics.calibration import bin_sums, ece
from models.metrics.fairness import (
    GAPS,
    Kind,
    compared_classes,
    ece_worst_group,
    enough_rows,
    gap,
    group_confusion,
    rates,
    usable,
    worst_group_accuracy,
)
from models.metrics.figures import Sufficiency, Terms, rows_in_words
from models.metrics.intervals import Interval
from models.metrics.names import BY_GROUP, BY_NAME
from models.metrics.score import KINDS
from models.metrics.scored import Bools, Floats, Grouping, Scored


@dataclass(frozen=True)
class GapFigure:
    """A comparison of the groups of one attribute.

    `used` names the groups it is made from, `rows` counts theirs, `insufficient` names those left out with the reason.
    Evidence is 'sufficient' if every group took part, 'partial' if at least one could not, 'insufficient' if nothing
    could be compared.
    """

    value: float | None
    low: float | None
    high: float | None
    used: tuple[str, ...]
    rows: int = 0
    insufficient: dict[str, str] = field(default_factory=dict)
    note: str = ""

    @property
    def evidence(self) -> Sufficiency:
        """How far the rows suffice."""
        if self.value is None:
            return "insufficient"
        return "partial" if self.insufficient else "sufficient"


@dataclass(frozen=True)
class Counted:
    """The counts that comparisons of groups are made from, and which groups have the evidence for what."""

    grouping: Grouping
    confusion: Floats
    masks: dict[Kind, Bools]
    enough: Bools

    @staticmethod
    def of(scored: Scored, grouping: Grouping, terms: Terms) -> Counted:
        """Count once for all comparisons of one attribute."""
        confusion = group_confusion(scored, grouping.ids, len(grouping.groups))
        masks: dict[Kind, Bools] = {kind: usable(kind, confusion, terms.evidence) for kind in KINDS}
        return Counted(grouping, confusion, masks, enough_rows(grouping, terms.evidence))


def gap_figures(scored: Scored, classes: Sequence[str], grouping: Grouping, terms: Terms) -> dict[str, GapFigure]:
    """Every comparison between the groups of one attribute, by name."""
    counted = Counted.of(scored, grouping, terms)
    return {name: gap_figure(name, scored, classes, counted, terms) for name in BY_GROUP}


def gap_figure(name: str, scored: Scored, classes: Sequence[str], counted: Counted, terms: Terms) -> GapFigure:
    """One comparison between the groups of one attribute."""
    if name in GAPS:
        return _rate_gap(name, classes, counted, terms)
    grouping, enough = counted.grouping, counted.enough
    left_out = {
        group: f"{rows_in_words(rows)}, needs {max(terms.evidence.rows, 1)}"
        for group, rows, fine in zip(grouping.groups, grouping.counts, enough, strict=True)
        if not fine
    }
    used = tuple(group for group, fine in zip(grouping.groups, enough, strict=True) if fine)
    if name == "worst_group_accuracy":
        hits = np.diagonal(counted.confusion, axis1=-2, axis2=-1).sum(-1)
        value = float(worst_group_accuracy(counted.confusion, enough))
        found = intervals.of_smallest(hits[enough], counted.confusion.sum((-2, -1))[enough], terms.confidence)
    else:
        sums = bin_sums(scored, terms.bins, keys=grouping.ids, groups=len(grouping.groups))
        value = float(ece_worst_group(ece(sums), enough))
        found = intervals.of_largest_ece(sums[:, enough], terms.confidence)
    return _gap_figure(value, found, grouping, used, left_out, "no group has enough rows")


def worst(name: str, by_attribute: Mapping[str, GapFigure]) -> str | None:
    """The attribute whose groups compare worst; None when none could be compared."""
    found = {attribute: figure.value for attribute, figure in by_attribute.items() if figure.value is not None}
    if not found:
        return None
    pick = min if BY_NAME[name].better == "higher" else max
    return pick(found, key=lambda attribute: found[attribute])


def _rate_gap(name: str, classes: Sequence[str], counted: Counted, terms: Terms) -> GapFigure:
    """A largest difference or smallest ratio of rates."""
    spec, confusion = GAPS[name], counted.confusion
    left_out: dict[str, str] = {}
    used: dict[str, None] = {}
    for g, group in enumerate(counted.grouping.groups):
        found = [why for kind in spec.kinds for why in _reasons(kind, g, classes, counted, terms)]
        reasons = list(dict.fromkeys(found))
        if reasons:
            left_out[group] = reasons[0] if len(reasons) == 1 else f"{reasons[0]}, and {len(reasons) - 1} more"
        if any(counted.masks[kind][:, g].any() for kind in spec.kinds):
            used[group] = None
    families = [(rates(kind, confusion), counted.masks[kind]) for kind in spec.kinds]
    value = float(gap(name, confusion, counted.masks))
    interval = intervals.of_difference_gap if spec.how == "difference" else intervals.of_ratio_gap
    compared = all(bool((counted.masks[kind].sum(-1) >= 2).any()) for kind in spec.kinds)
    note = "every rate is 0, and 0 / 0 is no ratio" if compared else "fewer than two groups have enough rows"
    return _gap_figure(value, interval(families, terms.confidence), counted.grouping, tuple(used), left_out, note)


def _reasons(kind: Kind, g: int, classes: Sequence[str], counted: Counted, terms: Terms) -> list[str]:
    """Why group g does not take part in a comparison of this kind, one reason per class; none when it does."""
    rows = int(counted.confusion[g].sum())
    mask = counted.masks[kind][:, g]
    if rows < max(terms.evidence.rows, 1):
        return [f"{rows_in_words(rows)}, needs {max(terms.evidence.rows, 1)}"]
    trials = rates(kind, counted.confusion).trials[:, g]
    other = "of class" if kind == "true_positive_rate" else "not of class"
    return [
        f"{rows_in_words(trials[k])} {other} '{classes[c]}', needs {max(terms.evidence.per_class, 1)}"
        for k, c in enumerate(compared_classes(len(classes)))
        if not mask[k]
    ]


def _gap_figure(
    value: float, found: Interval, grouping: Grouping, used: tuple[str, ...], left_out: dict[str, str], note: str
) -> GapFigure:
    rows = sum(int(count) for group, count in zip(grouping.groups, grouping.counts, strict=True) if group in used)
    if not np.isfinite(value):
        return GapFigure(None, None, None, used, rows, left_out, note)
    return GapFigure(value, float(found.low), float(found.high), used, rows, left_out)
