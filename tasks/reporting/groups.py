"""Figures by group: one table per attribute, its gaps, and a heat map of every group including intersections."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from models.metrics.names import BY_NAME
from tasks.reporting import words
from tasks.reporting.numbers import Figure, finite

JOINT = " & "
STRONGEST = 0.15
"""A difference from the overall figure of this much or more has the heat map's strongest colour …"""
STRONGEST_OF = {"ece": 0.05, "brier": 0.05}
"""… but for those whose values are small by nature."""
SHOWN = (
    "accuracy",
    "balanced_accuracy",
    "roc_auc",
    "ece",
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
    "precision",
)
"""The heat map's columns for two classes: what groups can be compared by; the rest is in the tables."""
SHOWN_OF_NUMBERS = ("mae", "rmse", "r2", "bias", "mean_error", "balanced_mae", "worst_bin_mae")
SHOWN_OF_MANY = ("accuracy", "balanced_accuracy", "worst_class_recall", "macro_f1", "roc_auc", "ece", "brier")
STEPS = 4


@dataclass(frozen=True)
class Cell:
    """One figure of a group; `tone` is better-1 … better-4, worse-…, other-… or empty, `clear` an interval off the overall."""

    figure: Figure
    tone: str
    clear: bool
    title: str


@dataclass(frozen=True)
class Group:
    """One group's counts and figures, in the order of the table's columns."""

    name: str
    rows: int
    positives: int | None
    sufficient: bool
    why: str
    cells: tuple[Cell, ...]

    @property
    def empty(self) -> bool:
        """Whether no figure of the group could be measured."""
        return all(c.figure.value is None for c in self.cells)


@dataclass(frozen=True)
class Gap:
    """One comparison of the groups of an attribute; `left_out` names those that could not take part, with the reason."""

    metric: str
    figure: Figure
    used: tuple[str, ...]
    left_out: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class AttributeTable:
    """The groups of one attribute, or of one intersection of attributes."""

    name: str
    joint: bool
    groups: tuple[Group, ...]
    gaps: tuple[Gap, ...]


@dataclass(frozen=True)
class Groups:
    """The section's content; no tables means that no sensitive attribute was named."""

    metrics: tuple[str, ...]
    heat: tuple[int, ...]
    overall: tuple[Figure, ...]
    tables: tuple[AttributeTable, ...]

    @property
    def insufficient(self) -> list[str]:
        """The groups of single attributes that lack rows for some figure, with what they lack."""
        return [
            f"{g.name} ({t.name}: {g.why})" for t in self.tables for g in t.groups if not g.sufficient and not t.joint
        ]

    @property
    def mapped(self) -> tuple[AttributeTable, ...]:
        """The attributes and the intersections of two; those of more are folded away, as they are long and thin."""
        return tuple(t for t in self.tables if t.name.count(JOINT) < 2)

    @property
    def folded(self) -> tuple[AttributeTable, ...]:
        """The intersections of more than two attributes."""
        return tuple(t for t in self.tables if t.name.count(JOINT) >= 2)


def groups_view(audit: Mapping[str, Any], overall: Mapping[str, Figure]) -> Groups:
    """Every group of every attribute, none left out; colours compare with the figure over all test rows."""
    found: Mapping[str, Any] = audit.get("attributes") or {}
    metrics = tuple(
        dict.fromkeys(m for a in found.values() for g in a["groups"].values() for m in g.get("metrics") or {})
    )
    tables = tuple(
        AttributeTable(
            name=name,
            joint=JOINT in name,
            groups=tuple(_group(n, g, metrics, overall) for n, g in attribute["groups"].items()),
            gaps=tuple(_gap(m, g) for m, g in (attribute.get("gaps") or {}).items()),
        )
        for name, attribute in sorted(found.items(), key=lambda item: JOINT in item[0])
    )
    shown = SHOWN if "selection_rate" in metrics else SHOWN_OF_NUMBERS if "mae" in metrics else SHOWN_OF_MANY
    heat = tuple(metrics.index(m) for m in shown if m in metrics)
    return Groups(metrics, heat, tuple(overall.get(m, Figure(None)) for m in metrics), tables)


def _group(name: str, found: Mapping[str, Any], metrics: Sequence[str], overall: Mapping[str, Figure]) -> Group:
    sufficient = found.get("evidence") == "sufficient"
    why = str(found.get("why") or ("" if sufficient else "too few test rows"))
    measured = found.get("metrics") or {}
    cells = tuple(_cell(m, Figure.of(measured.get(m), why), overall.get(m), name) for m in metrics)
    return Group(name, int(found.get("rows") or 0), found.get("positives"), sufficient, why, cells)


def _cell(metric: str, figure: Figure, overall: Figure | None, group: str) -> Cell:
    title = f"{words.label(metric)}, {group}: {figure.spoken}"
    if figure.value is None:
        return Cell(figure, "", False, f"{title}: {figure.note}")
    if overall is None or overall.value is None:
        return Cell(figure, "", False, title)
    difference = figure.value - overall.value
    if metric in BY_NAME and BY_NAME[metric].unit:
        difference /= max(abs(overall.value), 1e-12)
    clear = figure.low is not None and figure.high is not None and not figure.low <= overall.value <= figure.high
    return Cell(figure, tone(metric, difference), clear, f"{title}; all test rows: {overall.text}")


def tone(metric: str, difference: float) -> str:
    """The colour of a difference from the overall figure: which side it is on, and how far, in STEPS steps."""
    strength = min(STEPS, int(STEPS * abs(difference) / STRONGEST_OF.get(metric, STRONGEST) + 0.5))
    if strength == 0:
        return ""
    up = words.higher_is_better(metric)
    if up is None:
        return f"{'more' if difference > 0 else 'less'}-{strength}"
    return f"{'better' if (difference > 0) == up else 'worse'}-{strength}"


def _gap(metric: str, found: Mapping[str, Any]) -> Gap:
    reasons = found.get("reasons") or dict.fromkeys(found["groups_insufficient"], "too few test rows")
    figure = Figure(
        finite(found["value"]), finite(found["low"]), finite(found["high"]), note=str(found.get("why") or "")
    )
    return Gap(metric, figure, tuple(found["groups_used"]), tuple((str(k), str(v)) for k, v in reasons.items()))


def overall_figures(evaluation: Mapping[str, Any]) -> dict[str, Figure]:
    """What groups are compared with: the overall figures, and for two classes the rates of the confusion matrix."""
    found = {str(m): Figure.of(f) for m, f in evaluation["overall"].items()}
    confusion = evaluation.get("confusion")
    if confusion and len(confusion) == 2:
        (tn, fp), (fn, tp) = confusion
        rates = {
            "selection_rate": (fp + tp, tn + fp + fn + tp),
            "true_positive_rate": (tp, tp + fn),
            "false_positive_rate": (fp, fp + tn),
            "precision": (tp, tp + fp),
        }
        found.update({m: Figure(finite(k / n)) for m, (k, n) in rates.items() if n and m not in found})
    return found
