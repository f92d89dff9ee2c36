"""audit: how the model does for every group and intersection of groups, and how far apart they are, with intervals."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from models.metrics.calibration import reliability_points
from models.metrics.figures import GroupFigures, Terms, group_figures
from models.metrics.gaps import GapFigure, gap_figures, worst
from models.metrics.labels import Labels, pooled
from models.metrics.names import by_group_for
from models.metrics.numbers import Numbers
from models.metrics.numbers import reliability as reliability_of_numbers
from models.metrics.reach import Rows
from models.metrics.scored import Grouping
from models.schema import Task
from tasks.judging import JOINT, Scores, figure_json, intersections, read_scores, rounded, terms_of
from tasks.params import Params
from tasks.parts import read_schema
from tasks.stage import Paths, Stage, write_json

log = logging.getLogger("equipoise")

MEASURE_OF_FIT: dict[Task, str] = {"regression": "mae"}
"""The figure without which a group has no reliability diagram, where it is not the calibration error."""


def run(params: Params, inputs: Paths, outputs: Paths) -> None:
    """Write audit.json, and metrics.json with the gaps of each attribute."""
    scores = read_scores(inputs["predictions"], read_schema(inputs["schema"].parent))
    found = audit(scores, terms_of(params.evaluate, params.seed), params.evaluate.intersections)
    write_json(outputs["audit"], found)
    write_json(outputs["metrics"], flat(found))
    for name, attribute in found["attributes"].items():
        lacking = [group for group, figures in attribute["groups"].items() if figures["evidence"] != "sufficient"]
        counted = f"audit: {name}: {len(attribute['groups'])} groups"
        log.info("%s", f"{counted}, {len(lacking)} of them with too few test rows" if lacking else counted)


def audit(scores: Scores, terms: Terms, with_intersections: bool) -> dict[str, Any]:
    """audit.json: groups and gaps of each attribute, then of each intersection; a group without rows has its place."""
    single, joint = list(scores.groupings), intersections(scores.groupings) if with_intersections else []
    gaps = {g.name: gap_figures(scores.scored, scores.classes, g, terms) for g in (*single, *joint)}
    groups = {g.name: _groups(scores, g, terms, reliability=True) for g in single}
    groups |= {g.name: _groups(scores, g, terms, reliability=False) for g in joint}
    return {
        "confidence": terms.confidence,
        "bootstrap": terms.draws,
        "evidence": {"rows": terms.evidence.rows, "per_class": terms.evidence.per_class},
        "attributes": {
            attribute: {"groups": groups[attribute], "gaps": {name: gap_json(gap) for name, gap in figures.items()}}
            for attribute, figures in gaps.items()
        },
        "intersections": bool(joint),
        "worst": _worst({g.name: gaps[g.name] for g in single}, scores.scored.task),
    }


def _groups(scores: Scores, grouping: Grouping, terms: Terms, reliability: bool) -> dict[str, Any]:
    """The groups of one attribute; with the points of their reliability diagrams where there is the evidence."""
    found = {}
    for g, (name, figures) in enumerate(group_figures(scores.scored, scores.classes, grouping, terms).items()):
        found[name] = group_json(figures, scores.classes, scores.scored.task)
        if reliability:
            enough = figures.metrics[MEASURE_OF_FIT.get(scores.scored.task, "ece")].value is not None
            points = _points(scores.scored.take(grouping.ids == g), terms.bins) if enough else []
            found[name]["reliability"] = [{k: rounded(v) for k, v in point.items()} for point in points]
    return found


def _points(rows: Rows, bins: int) -> list[dict[str, float]]:
    """The points of a reliability diagram: of labels of all together, of a number mean prediction and mean truth."""
    if isinstance(rows, Numbers):
        return reliability_of_numbers(rows, bins)
    return reliability_points(pooled(rows) if isinstance(rows, Labels) else rows, bins)


def group_json(figures: GroupFigures, classes: tuple[str, ...], task: Task) -> dict[str, Any]:
    """One group: counts, evidence, figures; for more than two classes, and of labels, also the rates of each."""
    found = {
        "rows": figures.rows,
        "positives": figures.per_class[1] if task == "binary" else None,
        "per_class": dict(zip(classes, figures.per_class, strict=True)),
        "evidence": figures.evidence,
        "why": figures.why,
        "metrics": {name: figure_json(figure) for name, figure in figures.metrics.items()},
    }
    if figures.by_class and task != "binary":
        found["by_class"] = {
            name: {metric: figure_json(figure) for metric, figure in rates.items()}
            for name, rates in zip(classes, figures.by_class, strict=True)
        }
    return found


def gap_json(gap: GapFigure) -> dict[str, Any]:
    """One comparison: value, interval, which groups it is made from and which it had to leave out, and why."""
    return {
        "value": rounded(gap.value),
        "low": rounded(gap.low),
        "high": rounded(gap.high),
        "rows": gap.rows,
        "evidence": gap.evidence,
        "groups_used": list(gap.used),
        "groups_insufficient": list(gap.insufficient),
        "reasons": gap.insufficient,
        "why": gap.note,
    }


def _worst(gaps: Mapping[str, Mapping[str, GapFigure]], task: Task) -> dict[str, Any]:
    """Per comparison, the attribute that does worst, with its value."""
    found = {}
    for name in by_group_for(task):
        attribute = worst(name, {attribute: figures[name] for attribute, figures in gaps.items()})
        if attribute is not None:
            figure = gaps[attribute][name]
            value, low, high = (rounded(x) for x in (figure.value, figure.low, figure.high))
            found[name] = {"attribute": attribute, "value": value, "low": low, "high": high}
    return found


def flat(found: Mapping[str, Any]) -> dict[str, Any]:
    """The gaps of each attribute as `dvc metrics` shows them: no intersections, and nothing that could not be measured."""
    return {
        attribute: {name: gap["value"] for name, gap in figures["gaps"].items() if gap["value"] is not None}
        for attribute, figures in found["attributes"].items()
        if JOINT not in attribute
    }


STAGE = Stage(
    name="audit",
    run=run,
    sections=("seed", "evaluate"),
    inputs={"schema": "data/ingest/schema.json", "predictions": "data/evaluate/predictions.parquet"},
    outputs={"audit": "data/audit/audit.json", "metrics": "data/audit/metrics.json"},
)

if __name__ == "__main__":
    STAGE.main()
