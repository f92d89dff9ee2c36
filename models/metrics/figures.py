"""A metric's value with everything that is needed to trust it: interval, counts, evidence; overall, by class, by group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from models.metrics import intervals, labels, means, reach
from models.metrics.classification import confusion_matrix, f1, precision, recall
from models.metrics.fairness import Evidence, Rates, compared_classes, group_confusion, rates
from models.metrics.labels import Labels
from models.metrics.names import BY_NAME, overall_for
from models.metrics.numbers import Numbers
from models.metrics.reach import Rows
from models.metrics.score import KINDS, overall
from models.metrics.scored import Floats, Grouping, Scored
from models.metrics.terms import Terms

__all__ = [
    "Figure", "GroupFigures", "Sufficiency", "Terms", "carried", "class_figures", "group_figures", "overall_figures", "plain",
    "rows_in_words", "shortage",
]  # fmt: skip

Sufficiency = Literal["sufficient", "partial", "insufficient"]


@dataclass(frozen=True)
class Figure:
    """One number: None where undefined or not shown, its interval, the rows it is made from, and whether they suffice.

    `method` says where the interval comes from: 'score' (closed form, `intervals.py`) or 'bootstrap'.
    """

    value: float | None
    low: float | None = None
    high: float | None = None
    rows: int = 0
    evidence: Sufficiency = "sufficient"
    note: str = ""
    method: Literal["score", "bootstrap"] = "score"


@dataclass(frozen=True)
class GroupFigures:
    """One group: its counts, whether they suffice for every figure and why not, and its figures by name."""

    rows: int
    per_class: tuple[int, ...]
    evidence: Sufficiency
    why: str
    metrics: dict[str, Figure]
    by_class: tuple[dict[str, Figure], ...]


def shortage(rows: Rows, classes: Sequence[str], evidence: Evidence, every_class: bool = True) -> str:
    """What is missing for a figure, in words; empty when the rows suffice. `classes` name the classes, labels or bins."""
    if len(rows) < evidence.rows:
        return f"{rows_in_words(len(rows))}, needs {evidence.rows}"
    if every_class:
        for count, name in zip(rows.class_counts.tolist(), classes, strict=True):
            if count < evidence.per_class:
                return f"{rows_in_words(count)} {_of(rows)} '{name}', needs {evidence.per_class}"
    return ""


def _of(rows: Rows) -> str:
    """How rows of one part are spoken of."""
    if isinstance(rows, Labels):
        return "of the rarer answer to label"
    return "in bin" if isinstance(rows, Numbers) else "of class"


def rows_in_words(rows: float) -> str:
    """`1 row`, `12 rows`."""
    return f"{rows:.0f} {'row' if rows == 1 else 'rows'}"


def overall_figures(
    scored: Rows, classes: Sequence[str], terms: Terms, names: Sequence[str] | None = None, about: str = ""
) -> dict[str, Figure]:
    """Metrics over all rows, by name (by default all). Too few rows are said, the value stays.

    `about` names the rows for the bootstrap; a figure does not depend on which others are asked for with it.
    """
    names = overall_for(scored.task) if names is None else names
    values = overall(scored, bins=terms.bins, beta=terms.beta) if len(scored) else dict.fromkeys(names)
    defined = [name for name in names if values[name] is not None]
    found = reach.of_rows(defined, scored, terms, about)
    figures: dict[str, Figure] = {}
    for name in names:
        value = values[name]
        why = shortage(scored, classes, terms.evidence, BY_NAME[name].over == "classes")
        if value is None:
            figures[name] = _hidden(len(scored), why or "not defined for these rows")
            continue
        method: Literal["score", "bootstrap"] = "score" if reach.closed(name, scored) else "bootstrap"
        evidence: Sufficiency = "insufficient" if why else "sufficient"
        low, high = plain(found[name].low), plain(found[name].high)
        figures[name] = Figure(value, low, high, len(scored), evidence, why, method)
    return figures


def class_figures(scored: Rows, classes: Sequence[str], terms: Terms) -> dict[str, dict[str, Figure]]:
    """Figures of each class by its name: recall, precision and F1.

    Of each label also the areas under its curves and its calibration; of each bin its mean error and mean absolute error.
    """
    if isinstance(scored, Numbers):
        return {name: _one_part(scored.take(scored.bins == b), terms) for b, name in enumerate(classes)}
    if isinstance(scored, Labels):
        return {name: _one_label(scored.one(i), name, terms) for i, name in enumerate(classes)}
    confusion = confusion_matrix(scored.labels, scored.decisions, scored.classes)
    return {name: _one_class(confusion, c, terms) for c, name in enumerate(classes)}


def group_figures(scored: Rows, classes: Sequence[str], grouping: Grouping, terms: Terms) -> dict[str, GroupFigures]:
    """Every group of the attribute, declared or found, with all its figures; those without the evidence are None."""
    compared = _compared_rates(scored, grouping)
    return {
        group: _one_group(scored.take(grouping.ids == g), classes, compared, g, terms, f"{grouping.name}: {group}")
        for g, group in enumerate(grouping.groups)
    }


Compared = dict[str, tuple[Rates, int]]
"""Rates [K, G] that groups are described by, and the trials that each needs: by name."""


def _compared_rates(scored: Rows, grouping: Grouping) -> Compared | None:
    """Base rate, selection rate, true and false positive rate and precision; None of numbers, of which nothing is selected."""
    if isinstance(scored, Numbers):
        return None
    groups = len(grouping.groups)
    if isinstance(scored, Labels):
        each = labels.confusions(scored, ids=grouping.ids, groups=groups)
        kinds = {kind: labels.rates(kind, each) for kind in KINDS}
        labelled, chosen, right = each[..., 1, :].sum(-1), each[..., 1].sum(-1), each[..., 1, 1]
    else:
        confusion = group_confusion(scored, grouping.ids, groups)
        kinds = {kind: rates(kind, confusion) for kind in KINDS}
        which = list(compared_classes(scored.classes))
        labelled, chosen = (np.moveaxis(confusion.sum(axis)[..., which], -1, -2) for axis in (-1, -2))
        right = np.moveaxis(np.diagonal(confusion, axis1=-2, axis2=-1)[..., which], -1, -2)
    total = np.broadcast_to(kinds["selection_rate"].trials, labelled.shape)
    found: Compared = {"base_rate": (Rates(labelled, total), 0), "precision": (Rates(right, chosen), 1)}
    return found | {kind: (rate, int(kind != "selection_rate")) for kind, rate in kinds.items()}


def _one_class(confusion: Floats, c: int, terms: Terms) -> dict[str, Figure]:
    """Recall, precision and F1 of class c."""
    true, labelled, chosen = confusion[c, c], confusion[c].sum(), confusion[:, c].sum()
    needed = terms.evidence.per_class
    why = f"{rows_in_words(labelled)}, needs {needed}" if labelled < needed else ""
    none = f"{rows_in_words(chosen)} decided for this class, needs {needed}" if chosen < needed else ""
    made = {
        "recall": (recall(confusion)[c], intervals.of_share(true, labelled, terms.confidence), labelled, why),
        "precision": (precision(confusion)[c], intervals.of_share(true, chosen, terms.confidence), chosen, none),
        "f1": (f1(confusion)[c], intervals.of_f1(true, labelled + chosen - 2 * true, terms.confidence), labelled, why),
    }
    figures = {}
    for name, (value, found, rows, reason) in made.items():
        evidence: Sufficiency = "insufficient" if reason or not math.isfinite(value) else "sufficient"
        figures[name] = Figure(plain(value), plain(found.low), plain(found.high), int(rows), evidence, reason)
    return figures


def _one_part(mine: Numbers, terms: Terms) -> dict[str, Figure]:
    """Mean error and mean absolute error of some rows."""
    needed = terms.evidence.per_class
    why = f"{rows_in_words(len(mine))}, needs {needed}" if len(mine) < needed else ""
    found = {}
    for name, errors in (("mae", np.abs(mine.errors)), ("mean_error", mine.errors)):
        value, limits = plain(errors.mean()) if len(mine) else None, means.of_mean(errors, terms.confidence)
        evidence: Sufficiency = "insufficient" if why else "sufficient"
        found[name] = Figure(value, plain(limits.low), plain(limits.high), len(mine), evidence, why)
    return found


def _one_label(mine: Scored, name: str, terms: Terms) -> dict[str, Figure]:
    """The figures of one label, as of a target of two classes."""
    confusion = confusion_matrix(mine.labels, mine.decisions, 2)
    wanted = ("balanced_accuracy", "roc_auc", "average_precision", "brier", "ece")
    others = overall_figures(mine, (f"not {name}", name), terms, wanted, f"label {name}")
    return _one_class(confusion, 1, terms) | others


def _one_group(
    scored: Rows, classes: Sequence[str], compared: Compared | None, g: int, terms: Terms, about: str
) -> GroupFigures:
    """The figures of one group, from its rows and from its place in the rates [K, G]."""
    known = overall_for(scored.task)
    lacking = {name: shortage(scored, classes, terms.evidence, BY_NAME[name].over == "classes") for name in known}
    metrics = overall_figures(scored, classes, terms, [name for name in known if not lacking[name]], about)
    metrics = {name: metrics.get(name) or _hidden(len(scored), lacking[name]) for name in known}
    rare = shortage(scored, classes, terms.evidence, every_class=False)
    by_class: list[dict[str, Figure]] = []
    if isinstance(scored, Numbers):
        found = means.of_mean(scored.errors, terms.confidence)
        mean = float(scored.errors.mean()) if len(scored) else math.nan
        metrics["mean_error"] = (
            _hidden(len(scored), rare) if rare else Figure(mean, plain(found.low), plain(found.high), len(scored))
        )
    elif compared is not None:
        count = compared["base_rate"][0].successes.shape[0]
        by_class = [_group_rates(compared, k, g, terms, rare) for k in range(count)]
        if len(by_class) == 1:
            metrics |= by_class[0]
    why = shortage(scored, classes, terms.evidence)
    evidence: Sufficiency = "insufficient" if why else "sufficient"
    return GroupFigures(len(scored), tuple(carried(scored)), evidence, why, metrics, tuple(by_class))


def carried(scored: Rows) -> list[int]:
    """Rows of each class or bin, rows that carry each label."""
    counts = scored.carried.sum(0) if isinstance(scored, Labels) else scored.class_counts
    return [int(n) for n in counts]


def _group_rates(compared: Compared, k: int, g: int, terms: Terms, rare: str) -> dict[str, Figure]:
    """The rates of group g on the k-th compared class or label."""
    return {
        name: _share(rate.successes[k, g], rate.trials[k, g], max(1, needed * terms.evidence.per_class), terms, rare)
        for name, (rate, needed) in compared.items()
    }


def _share(successes: float, trials: float, needed: int, terms: Terms, rare: str) -> Figure:
    """A share with Wilson's interval; None when the group or the trials are too few."""
    why = rare or (
        f"{rows_in_words(trials)} to take this share of, needs {max(needed, 1)}" if trials < max(needed, 1) else ""
    )
    if why:
        return _hidden(int(trials), why)
    found = intervals.of_share(successes, trials, terms.confidence)
    return Figure(float(successes / trials), found.low, found.high, int(trials))


def _hidden(rows: int, why: str) -> Figure:
    """A figure that too few rows would only pretend to know."""
    return Figure(None, rows=rows, evidence="insufficient", note=why)


def plain(number: float) -> float | None:
    """A float, None for NaN."""
    return float(number) if math.isfinite(number) else None
