"""A metric's value with everything that is needed to trust it: interval, counts, evidence; overall, by class, by group."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from models.metrics import bootstrap, intervals
from models.metrics.calibration import bin_sums
from models.metrics.classification import confusion_matrix, f1, precision, recall
from models.metrics.fairness import Evidence, compared_classes, group_confusion, rates
from models.metrics.intervals import Interval
from models.metrics.names import BY_NAME, OVERALL
from models.metrics.score import KINDS, overall
from models.metrics.scored import Floats, Grouping, Scored

Sufficiency = Literal["sufficient", "partial", "insufficient"]


@dataclass(frozen=True)
class Terms:
    """How figures are made: confidence of intervals, bootstrap draws, calibration bins, evidence asked for, seed."""

    confidence: float = 0.95
    draws: int = 1000
    bins: int = 15
    evidence: Evidence = field(default_factory=lambda: Evidence(rows=50, per_class=10))
    seed: int = 0


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


def shortage(per_class: Sequence[int], classes: Sequence[str], evidence: Evidence, every_class: bool = True) -> str:
    """What is missing for a figure, in words; empty when the rows suffice."""
    rows = int(sum(per_class))
    if rows < evidence.rows:
        return f"{rows_in_words(rows)}, needs {evidence.rows}"
    if every_class:
        for count, name in zip(per_class, classes, strict=True):
            if count < evidence.per_class:
                return f"{rows_in_words(count)} of class '{name}', needs {evidence.per_class}"
    return ""


def rows_in_words(rows: float) -> str:
    """`1 row`, `12 rows`."""
    return f"{rows:.0f} {'row' if rows == 1 else 'rows'}"


def overall_figures(
    scored: Scored, classes: Sequence[str], terms: Terms, names: Sequence[str] = OVERALL, about: str = ""
) -> dict[str, Figure]:
    """Metrics over all rows, by name. Too few rows are said, the value stays.

    `about` names the rows for the bootstrap; a figure does not depend on which others are asked for with it.
    """
    counts = scored.class_counts.tolist()
    values = overall(scored, bins=terms.bins) if len(scored) else dict.fromkeys(OVERALL)
    defined = [name for name in names if values[name] is not None]
    found = _intervals(defined, scored, terms, about)
    figures: dict[str, Figure] = {}
    for name in names:
        value = values[name]
        why = shortage(counts, classes, terms.evidence, BY_NAME[name].over == "classes")
        if value is None:
            figures[name] = _hidden(len(scored), why or "not defined for these rows")
            continue
        method: Literal["score", "bootstrap"] = "score" if name in SCORE else "bootstrap"
        evidence: Sufficiency = "insufficient" if why else "sufficient"
        low, high = plain(found[name].low), plain(found[name].high)
        figures[name] = Figure(value, low, high, len(scored), evidence, why, method)
    return figures


def class_figures(scored: Scored, classes: Sequence[str], terms: Terms) -> dict[str, dict[str, Figure]]:
    """Recall, precision and F1 of each class, by class name."""
    confusion = confusion_matrix(scored.labels, scored.decisions, scored.classes)
    return {name: _one_class(confusion, c, terms) for c, name in enumerate(classes)}


def group_figures(scored: Scored, classes: Sequence[str], grouping: Grouping, terms: Terms) -> dict[str, GroupFigures]:
    """Every group of the attribute, declared or found, with all its figures; those without the evidence are None."""
    confusion = group_confusion(scored, grouping.ids, len(grouping.groups))
    return {
        group: _one_group(scored.take(grouping.ids == g), classes, confusion, g, terms, f"{grouping.name}: {group}")
        for g, group in enumerate(grouping.groups)
    }


def _intervals(names: Sequence[str], scored: Scored, terms: Terms, about: str) -> dict[str, Interval]:
    """The interval of each metric over these rows: in closed form where there is one, by bootstrap otherwise."""
    others = [name for name in names if name not in SCORE]
    found = bootstrap.of_metrics(others, scored, terms.draws, terms.confidence, terms.seed, about)
    return found | {name: SCORE[name](scored, terms) for name in names if name in SCORE}


def _recalled(scored: Scored) -> tuple[Floats, Floats]:
    """Rows decided right and rows, per class."""
    confusion = confusion_matrix(scored.labels, scored.decisions, scored.classes)
    return np.diagonal(confusion), confusion.sum(1)


SCORE: dict[str, Callable[[Scored, Terms], Interval]] = {
    "accuracy": lambda s, t: intervals.of_share(float((s.labels == s.decisions).sum()), len(s), t.confidence),
    "balanced_accuracy": lambda s, t: intervals.of_mean(*_recalled(s), t.confidence),
    "g_mean": lambda s, t: intervals.of_geometric_mean(*_recalled(s), t.confidence),
    "worst_class_recall": lambda s, t: intervals.of_smallest(*_recalled(s), t.confidence),
    "ece": lambda s, t: intervals.of_ece(bin_sums(s, t.bins)[:, 0], t.confidence),
}


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


def _one_group(
    scored: Scored, classes: Sequence[str], confusion: Floats, g: int, terms: Terms, about: str
) -> GroupFigures:
    """The figures of one group, from its rows and from its place in the group confusions [G, C, C]."""
    counts = scored.class_counts.tolist()
    lacking = {name: shortage(counts, classes, terms.evidence, BY_NAME[name].over == "classes") for name in OVERALL}
    metrics = overall_figures(scored, classes, terms, [name for name in OVERALL if not lacking[name]], about)
    metrics = {name: metrics.get(name) or _hidden(len(scored), lacking[name]) for name in OVERALL}
    rare = shortage(counts, classes, terms.evidence, every_class=False)
    compared = [_group_rates(confusion, k, g, terms, rare) for k in range(len(compared_classes(len(classes))))]
    if len(classes) == 2:
        metrics |= compared[0]
    why = shortage(counts, classes, terms.evidence)
    evidence: Sufficiency = "insufficient" if why else "sufficient"
    return GroupFigures(len(scored), tuple(counts), evidence, why, metrics, tuple(compared))


def _group_rates(confusion: Floats, k: int, g: int, terms: Terms, rare: str) -> dict[str, Figure]:
    """Base rate, selection rate, true and false positive rate and precision of group g on the k-th compared class."""
    cls = compared_classes(confusion.shape[-1])[k]
    rows, labelled = confusion[g].sum(), confusion[g, cls].sum()
    chosen = confusion[g, :, cls].sum()
    needed = terms.evidence.per_class
    shares = {"base_rate": (labelled, rows, 1), "precision": (confusion[g, cls, cls], chosen, needed)}
    for kind in KINDS:
        rate = rates(kind, confusion)
        shares[kind] = (rate.successes[k, g], rate.trials[k, g], 1 if kind == "selection_rate" else needed)
    return {name: _share(*share, terms, rare) for name, share in shares.items()}


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
