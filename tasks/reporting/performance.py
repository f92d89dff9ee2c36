"""How the model does on test rows: overall, by class, what is confused with what, its curves and its refits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from markupsafe import Markup

from models.metrics.labels import Labels, pooled
from models.metrics.numbers import Numbers
from models.metrics.reach import Rows
from models.metrics.scored import Scored
from models.schema import Schema
from tasks.judging import rows_of_predictions
from tasks.params import Evaluate
from tasks.reporting import number_charts, words
from tasks.reporting.curves import Bin, Curve, highest, rank_curves, reliability_bins, rows_of
from tasks.reporting.interval_chart import spread, spread_axis
from tasks.reporting.line_charts import curves, reliability
from tasks.reporting.numbers import Figure, finite

BY_CLASS = (
    "recall", "precision", "f1", "balanced_accuracy", "roc_auc", "average_precision", "brier", "ece", "mae", "mean_error",
)  # fmt: skip
"""The figures of one class, label or bin, as far as the kind of target has them."""


@dataclass(frozen=True)
class Line:
    """One figure with the counts it rests on."""

    metric: str
    figure: Figure


@dataclass(frozen=True)
class ClassLine:
    """One class: how many test rows, and how well they are found."""

    name: str
    rows: int
    figures: tuple[Figure, ...]


@dataclass(frozen=True)
class ConfusionCell:
    """Rows of one true class decided as another; `share` of the true class, `strength` 0 to 8 for its shade."""

    rows: int
    share: float | None
    strength: int
    right: bool


@dataclass(frozen=True)
class Panel:
    """A reliability diagram of some rows, or why there is none."""

    name: str
    rows: int
    picture: Markup | None
    ece: Figure
    why: str


@dataclass(frozen=True)
class Refit:
    """One metric over the seeds of the refit."""

    metric: str
    mean: float
    low: float
    high: float
    picture: Markup


@dataclass(frozen=True)
class Refits:
    """The spread over the refits; `axis` explains the scale that all metrics share."""

    seeds: tuple[int, ...]
    lines: tuple[Refit, ...]
    axis: Markup


@dataclass(frozen=True)
class Performance:
    """The section's content."""

    rows: int
    overall: tuple[Line, ...]
    class_metrics: tuple[str, ...]
    by_class: tuple[ClassLine, ...]
    confusion: tuple[tuple[str, tuple[ConfusionCell, ...]], ...]
    classes: tuple[str, ...]
    roc: Markup | None
    precision_recall: Markup | None
    areas: tuple[tuple[str, str, str], ...]
    calibration: tuple[tuple[str, tuple[Panel, ...]], ...]
    refits: Refits
    part: str = "class"
    pictures: tuple[tuple[str, Markup], ...] = ()


def performance_view(
    evaluation: Mapping[str, Any],
    predictions: pd.DataFrame,
    schema: Schema,
    audit: Mapping[str, Any],
    evaluate: Evaluate,
) -> Performance:
    """Everything on test rows; the curves are drawn from `predictions`, the figures are those of the stages."""
    by_class: Mapping[str, Any] = evaluation["by_class"]
    class_metrics = tuple(m for m in BY_CLASS if any(m in c for c in by_class.values()))
    rows = rows_of_predictions(predictions, schema.target)
    rocs, recalls = _curves(rows, schema.target.classes)
    return Performance(
        part={"regression": "bin of the true number", "multilabel": "label"}.get(schema.target.kind, "class"),
        pictures=_pictures(rows, by_class, audit, schema) if isinstance(rows, Numbers) else (),
        rows=int(evaluation["rows"]),
        overall=tuple(Line(m, Figure.of(f)) for m, f in evaluation["overall"].items()),
        class_metrics=class_metrics,
        by_class=tuple(
            ClassLine(n, int(c["rows"]), tuple(Figure.of(c.get(m)) for m in class_metrics)) for n, c in by_class.items()
        ),
        confusion=_confusion(evaluation.get("confusion") or (), schema.target.classes),
        classes=schema.target.classes,
        roc=curves(rocs, "False positive rate", "True positive rate", "ROC AUC") if rocs else None,
        precision_recall=curves(recalls, "Recall", "Precision", "average precision") if recalls else None,
        areas=_areas(rocs, recalls, schema.target.classes) if len(schema.target.classes) > 2 else (),
        calibration=_fits(rows, predictions, schema, audit, evaluate)
        if isinstance(rows, Numbers)
        else _calibration(rows, predictions, schema, audit, evaluation, evaluate),
        refits=_refits(evaluation["seeds"]),
    )


def _confusion(
    table: Sequence[Sequence[int]], classes: Sequence[str]
) -> tuple[tuple[str, tuple[ConfusionCell, ...]], ...]:
    lines = []
    for i, row in enumerate(table):
        total = sum(row)
        cells = tuple(
            ConfusionCell(int(n), n / total if total else None, round(8 * n / total) if total else 0, i == j)
            for j, n in enumerate(row)
        )
        lines.append((classes[i], cells))
    return tuple(lines)


def _curves(rows: Rows, classes: Sequence[str]) -> tuple[list[Curve], list[Curve]]:
    """ROC and precision-recall curves of the classes, or of each label; a number has none."""
    if isinstance(rows, Numbers):
        return [], []
    if isinstance(rows, Scored):
        return rank_curves(rows, classes)
    found = [rank_curves(rows.one(i), (f"not {name}", name)) for i, name in enumerate(classes)]
    return [roc for rocs, _ in found for roc in rocs], [recall for _, recalls in found for recall in recalls]


def _pictures(
    rows: Numbers, by_bin: Mapping[str, Any], audit: Mapping[str, Any], schema: Schema
) -> tuple[tuple[str, Markup], ...]:
    """Predictions against the truth, and mean errors by bin and by group."""
    name = schema.target.column
    found = [("Predicted against true numbers", number_charts.against_truth(rows, name))]
    by = {bin_: Figure.of(f.get("mean_error")) for bin_, f in by_bin.items()}
    label = f"Mean error of {name}: predicted minus true"
    found.append((f"Mean error by bin of {name}", number_charts.errors(by, label)))
    for attribute in schema.sensitive:
        groups = (audit.get("attributes") or {}).get(attribute.name, {}).get("groups") or {}
        of = {group: Figure.of((g.get("metrics") or {}).get("mean_error")) for group, g in groups.items()}
        if of:
            found.append((f"Mean error by {attribute.name}", number_charts.errors(of, label)))
    return tuple(found)


def _fits(
    rows: Numbers, predictions: pd.DataFrame, schema: Schema, audit: Mapping[str, Any], evaluate: Evaluate
) -> tuple[tuple[str, tuple[Panel, ...]], ...]:
    """Panels for all rows, then for the groups of each attribute that have the evidence; all share the same axes."""
    points, name = min(evaluate.calibration_bins, 10), schema.target.column
    blocks: list[tuple[str, list[tuple[str, Numbers, str]]]] = [("", [("All test rows", rows, "")])]
    for attribute in schema.sensitive:
        groups = (audit.get("attributes") or {}).get(attribute.name, {}).get("groups") or {}
        column = predictions[attribute.name].to_numpy()
        mine = []
        for group, found in groups.items():
            measured = Figure.of((found.get("metrics") or {}).get("mae"), str(found.get("why") or "too few test rows"))
            mine.append(
                (group, rows.take(np.asarray(column == group)), "" if measured.value is not None else measured.note)
            )
        blocks.append((attribute.name, mine))
    limits = number_charts.shared([r for _, panels in blocks for _, r, why in panels if not why and len(r)], points)

    def panel(title: str, mine: Numbers, why: str) -> Panel:
        if why or not len(mine):
            return Panel(title, len(mine), None, Figure(None), why or "no test rows")
        label = f"Mean true {name} by prediction, {title}: {len(mine)} rows"
        return Panel(title, len(mine), number_charts.fit(mine, points, limits, label, name), Figure(None), "")

    return tuple((title, tuple(panel(*each) for each in panels)) for title, panels in blocks)


def _areas(rocs: Sequence[Curve], recalls: Sequence[Curve], classes: Sequence[str]) -> tuple[tuple[str, str, str], ...]:
    left = {c.name: Figure(c.area).text for c in rocs}
    right = {c.name: Figure(c.area).text for c in recalls}
    return tuple((c, left.get(c, "no rows"), right.get(c, "no rows")) for c in classes)


def _calibration(
    rows: Scored | Labels,
    predictions: pd.DataFrame,
    schema: Schema,
    audit: Mapping[str, Any],
    evaluation: Mapping[str, Any],
    evaluate: Evaluate,
) -> tuple[tuple[str, tuple[Panel, ...]], ...]:
    """Panels for all rows, then for the groups of each attribute; all share the same axes. Of labels, all labels together."""
    scored, repeats = (pooled(rows), rows.count) if isinstance(rows, Labels) else (rows, 1)
    bins, confidence = evaluate.calibration_bins, evaluate.confidence
    blocks = [
        (
            "",
            [
                (
                    "All test rows",
                    reliability_bins(scored, bins, confidence),
                    len(scored),
                    Figure.of(evaluation["overall"].get("ece")),
                    "",
                )
            ],
        )
    ]
    for attribute in schema.sensitive:
        groups = (audit.get("attributes") or {}).get(attribute.name, {}).get("groups") or {}
        panels = []
        for name, found in groups.items():
            mine = rows_of(scored, np.repeat(predictions[attribute.name].to_numpy(), repeats), name)
            ece = Figure.of((found.get("metrics") or {}).get("ece"), str(found.get("why") or "too few test rows"))
            panels.append(
                (name, reliability_bins(mine, bins, confidence), len(mine), ece, ece.note if ece.value is None else "")
            )
        blocks.append((attribute.name, panels))
    top = highest([bins for _, panels in blocks for _, bins, _, _, why in panels if not why])
    return tuple((title, tuple(_panel(*panel, top, schema) for panel in panels)) for title, panels in blocks)


def _panel(name: str, bins: Sequence[Bin], rows: int, ece: Figure, why: str, top: float, schema: Schema) -> Panel:
    if why or not rows:
        return Panel(name, rows, None, Figure(None), why or "no test rows")
    binary = schema.target.kind in ("binary", "multilabel")
    across = "Predicted probability" if binary else "Confidence"
    positive = schema.target.positive or "rows with the label"
    up = f"Observed share of {positive}" if binary else "Share decided correctly"
    label = f"Reliability, {name}: {rows} rows, calibration error {ece.spoken}"
    return Panel(name, rows, reliability(bins, top, label, across, up), ece, "")


def _refits(runs: Sequence[Mapping[str, Any]]) -> Refits:
    """The spread of every metric that each refit has, on one scale, so that a small spread looks small."""
    values: dict[str, list[float]] = {}
    for metric in runs[0]["metrics"] if runs else ():
        found = [finite(r["metrics"].get(metric)) for r in runs]
        known = [v for v in found if v is not None]
        if len(known) == len(runs):
            values[metric] = known
    widest = max((abs(v - sum(vs) / len(vs)) for vs in values.values() for v in vs), default=0.0)
    half = next((h for h in (0.02, 0.05, 0.1, 0.2, 0.5, 1.0) if h >= widest), widest)
    lines = [
        Refit(m, sum(vs) / len(vs), min(vs), max(vs), spread(vs, half, words.label(m))) for m, vs in values.items()
    ]
    return Refits(tuple(int(r["seed"]) for r in runs), tuple(lines), spread_axis(half))
