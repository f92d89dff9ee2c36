"""Comparisons between groups with their intervals, and by name the groups that could not take part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from models.metrics import intervals, labels, means, numbers
from models.metrics.calibration import bin_sums, ece
from models.metrics.fairness import (
    GAPS,
    Kind,
    Rates,
    compared_classes,
    ece_worst_group,
    enough_rows,
    extreme,
    gap,
    group_confusion,
    rates,
    usable,
    worst_group_accuracy,
)
from models.metrics.figures import Sufficiency, Terms, rows_in_words
from models.metrics.intervals import Interval
from models.metrics.labels import Labels
from models.metrics.names import BY_NAME, by_group_for
from models.metrics.numbers import Numbers
from models.metrics.reach import Rows
from models.metrics.score import KINDS
from models.metrics.scored import Bools, Floats, Grouping


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
    """The counts that comparisons of groups are made from, and which groups have the evidence for what.

    `confusion` is [G, C, C] of classes, [L, G, 2, 2] of labels, and empty of numbers, as are `families`, the compared
    rates by kind.
    """

    grouping: Grouping
    confusion: Floats
    masks: dict[Kind, Bools]
    enough: Bools
    families: dict[Kind, Rates]

    @staticmethod
    def of(scored: Rows, grouping: Grouping, terms: Terms) -> Counted:
        """Count once for all comparisons of one attribute."""
        enough, groups = enough_rows(grouping, terms.evidence), len(grouping.groups)
        masks: dict[Kind, Bools]
        if isinstance(scored, Numbers):
            return Counted(grouping, np.zeros(0), {}, enough, {})
        if isinstance(scored, Labels):
            confusion = labels.confusions(scored, None, grouping.ids, groups)
            masks = {kind: labels.usable(kind, confusion, terms.evidence) for kind in KINDS}
            return Counted(grouping, confusion, masks, enough, {kind: labels.rates(kind, confusion) for kind in KINDS})
        confusion = group_confusion(scored, grouping.ids, groups)
        masks = {kind: usable(kind, confusion, terms.evidence) for kind in KINDS}
        return Counted(grouping, confusion, masks, enough, {kind: rates(kind, confusion) for kind in KINDS})


def gap_figures(scored: Rows, classes: Sequence[str], grouping: Grouping, terms: Terms) -> dict[str, GapFigure]:
    """Every comparison between the groups of one attribute, by name."""
    counted = Counted.of(scored, grouping, terms)
    return {name: gap_figure(name, scored, classes, counted, terms) for name in by_group_for(scored.task)}


def gap_figure(name: str, scored: Rows, classes: Sequence[str], counted: Counted, terms: Terms) -> GapFigure:
    """One comparison between the groups of one attribute."""
    if name in GAPS:
        return _rate_gap(name, scored, classes, counted, terms)
    grouping, enough = counted.grouping, counted.enough
    left_out = {
        group: f"{rows_in_words(rows)}, needs {max(terms.evidence.rows, 1)}"
        for group, rows, fine in zip(grouping.groups, grouping.counts, enough, strict=True)
        if not fine
    }
    used = tuple(group for group, fine in zip(grouping.groups, enough, strict=True) if fine)
    if isinstance(scored, Numbers):
        return _gap_figure(*_of_errors(name, scored, counted, terms), grouping, used, left_out, _lacking(name))
    if isinstance(scored, Labels):
        shares = np.where(enough, labels.group_accuracy(scored, grouping), np.nan)
        found = means.of_smallest(labels.right_shares(scored), grouping.ids, enough, terms.confidence)
        return _gap_figure(float(extreme(shares, np.fmin)), found, grouping, used, left_out, _lacking(name))
    if name == "worst_group_accuracy":
        hits = np.diagonal(counted.confusion, axis1=-2, axis2=-1).sum(-1)
        value = float(worst_group_accuracy(counted.confusion, enough))
        found = intervals.of_smallest(hits[enough], counted.confusion.sum((-2, -1))[enough], terms.confidence)
    else:
        sums = bin_sums(scored, terms.bins, keys=grouping.ids, groups=len(grouping.groups))
        value = float(ece_worst_group(ece(sums), enough))
        found = intervals.of_largest_ece(sums[:, enough], terms.confidence)
    return _gap_figure(value, found, grouping, used, left_out, _lacking(name))


def _lacking(name: str) -> str:
    """Why nothing could be compared."""
    return "no group has enough rows" if "worst" in name else "fewer than two groups have enough rows"


def _of_errors(name: str, scored: Numbers, counted: Counted, terms: Terms) -> tuple[float, Interval]:
    """A comparison of errors, and its interval."""
    grouping, enough = counted.grouping, counted.enough
    value = float(numbers.compared(name, scored, grouping, enough)(None))
    errors = scored.errors if name == "mean_error_difference" else np.abs(scored.errors)
    limits = means.of_largest if name == "worst_group_mae" else means.of_gap
    return value, limits(errors, grouping.ids, enough, terms.confidence)


def worst(name: str, by_attribute: Mapping[str, GapFigure]) -> str | None:
    """The attribute whose groups compare worst; None when none could be compared."""
    found = {attribute: figure.value for attribute, figure in by_attribute.items() if figure.value is not None}
    if not found:
        return None
    pick = min if BY_NAME[name].better == "higher" else max
    return pick(found, key=lambda attribute: found[attribute])


def _rate_gap(name: str, scored: Rows, classes: Sequence[str], counted: Counted, terms: Terms) -> GapFigure:
    """A largest difference or smallest ratio of rates."""
    spec, confusion = GAPS[name], counted.confusion
    names = list(classes) if isinstance(scored, Labels) else [classes[c] for c in compared_classes(len(classes))]
    left_out: dict[str, str] = {}
    used: dict[str, None] = {}
    for g, group in enumerate(counted.grouping.groups):
        found = [why for kind in spec.kinds for why in _reasons(kind, g, names, counted, terms)]
        reasons = list(dict.fromkeys(found))
        if reasons:
            left_out[group] = reasons[0] if len(reasons) == 1 else f"{reasons[0]}, and {len(reasons) - 1} more"
        if any(counted.masks[kind][:, g].any() for kind in spec.kinds):
            used[group] = None
    families = [(counted.families[kind], counted.masks[kind]) for kind in spec.kinds]
    made = labels.gap if isinstance(scored, Labels) else gap
    value = float(made(name, confusion, counted.masks))
    interval = intervals.of_difference_gap if spec.how == "difference" else intervals.of_ratio_gap
    compared = all(bool((counted.masks[kind].sum(-1) >= 2).any()) for kind in spec.kinds)
    note = "every rate is 0, and 0 / 0 is no ratio" if compared else "fewer than two groups have enough rows"
    return _gap_figure(value, interval(families, terms.confidence), counted.grouping, tuple(used), left_out, note)


def _reasons(kind: Kind, g: int, names: Sequence[str], counted: Counted, terms: Terms) -> list[str]:
    """Why group g does not take part in a comparison of this kind, one reason per compared class; none when it does."""
    rows = int(counted.grouping.counts[g])
    mask = counted.masks[kind][:, g]
    if rows < max(terms.evidence.rows, 1):
        return [f"{rows_in_words(rows)}, needs {max(terms.evidence.rows, 1)}"]
    trials = counted.families[kind].trials[:, g]
    other = "of class" if kind == "true_positive_rate" else "not of class"
    return [
        f"{rows_in_words(trials[k])} {other} '{name}', needs {max(terms.evidence.per_class, 1)}"
        for k, name in enumerate(names)
        if not mask[k]
    ]


def _gap_figure(
    value: float, found: Interval, grouping: Grouping, used: tuple[str, ...], left_out: dict[str, str], note: str
) -> GapFigure:
    rows = sum(int(count) for group, count in zip(grouping.groups, grouping.counts, strict=True) if group in used)
    if not np.isfinite(value):
        return GapFigure(None, None, None, used, rows, left_out, note)
    return GapFigure(value, float(found.low), float(found.high), used, rows, left_out)
