"""evaluate: score the test rows, once, and say how well the model does overall and by class, with intervals."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd

from models.errors import InputError
from models.metrics.calibration import reliability_points
from models.metrics.classification import confusion_matrix
from models.metrics.figures import Terms, carried, class_figures, overall_figures
from models.metrics.labels import Labels, pooled
from models.metrics.names import BALANCED
from models.metrics.numbers import Numbers, reliability
from models.metrics.profile import profile_of
from models.metrics.ranking import curve_points, rankings
from models.metrics.reach import Rows
from models.metrics.scored import Scored
from models.predictor import Predictor
from models.schema import Schema
from tasks.judging import figure_json, rounded, scored, scores_of, table_of, terms_of
from tasks.params import Params
from tasks.parts import read_rows, read_schema, rows_of
from tasks.sources.parquet import write_parquet
from tasks.stage import Paths, Stage, read_json, write_json

log = logging.getLogger("equipoise")


def run(params: Params, inputs: Paths, outputs: Paths) -> None:
    """Write predictions.parquet, evaluation.json, metrics.json, profile.json and the points of the curves."""
    schema = read_schema(inputs["schema"].parent)
    test = rows_of(read_rows(inputs["rows"].parent), inputs["split"].parent, "test")
    predictions = predictions_of(Predictor.load(inputs["model"] / "predictor"), test, schema)
    write_parquet(outputs["predictions"], predictions)
    scores = scores_of(predictions, schema)
    write_json(outputs["profile"], profile_of(test, schema, *said(scores.scored)).model_dump(mode="json"))
    evaluation = evaluate(scores.scored, scores.classes, terms_of(params.evaluate, params.seed))
    evaluation["seeds"] = read_json(inputs["model"] / "summary.json")["seeds"]
    write_json(outputs["evaluation"], evaluation)
    # What is not defined is left out: `dvc metrics` has no word for it.
    known = {name: figure["value"] for name, figure in evaluation["overall"].items() if figure["value"] is not None}
    write_json(outputs["metrics"], known)
    for name, points in curves(scores.scored, params.evaluate.calibration_bins).items():
        write_json(outputs[name], points)
    shown = BALANCED[schema.target.kind]
    log.info(
        "evaluate: %s test rows, %s %s",
        f"{len(test):,}", shown.replace("_", " "), _text(evaluation["overall"][shown]),
    )  # fmt: skip


def predictions_of(predictor: Predictor, rows: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """row_id, the columns of `judging.table_of`, and the groups as text, in the order of the rows."""
    try:
        judged = scored(rows, *predictor.predict(rows), schema.target)
    except InputError as error:
        raise InputError(f"evaluate: {error} Run the stage 'ingest' again.") from None
    columns = {"row_id": rows["row_id"].to_numpy(np.int64), **table_of(judged)}
    for attribute in schema.sensitive:
        if attribute.name in columns:
            raise InputError(
                f"evaluate: the sensitive attribute '{attribute.name}' has the name of a column of the predictions. Rename it."
            )
        columns[attribute.name] = rows[attribute.name].astype("string").to_numpy(object)
    table = pd.DataFrame(columns)
    return table.astype({a.name: "string" for a in schema.sensitive})


def said(rows: Rows) -> tuple[np.ndarray, np.ndarray]:
    """What a predictor returned of scored rows: decisions and probabilities, of a number the number and nothing."""
    if isinstance(rows, Numbers):
        return rows.predicted, np.zeros((len(rows), 0))
    return (rows.decided if isinstance(rows, Labels) else rows.decisions), rows.probabilities


def evaluate(rows: Rows, classes: tuple[str, ...], terms: Terms) -> dict[str, Any]:
    """evaluation.json but for the refits: every figure with its interval, its rows and the rows of each class.

    `classes`, `by_class` and `per_class` are about classes, labels, or bins of the number. Classes have the confusion
    matrix, a number its fit: rows in order of the prediction in parts, with the mean prediction and the mean truth of each.
    """
    per_class = dict(zip(classes, carried(rows), strict=True))
    found: dict[str, Any] = {
        "task": rows.task,
        "rows": len(rows),
        "confidence": terms.confidence,
        "bootstrap": terms.draws,
        "beta": terms.beta,
        "classes": list(classes),
        "overall": {
            name: figure_json(figure) | {"per_class": per_class}
            for name, figure in overall_figures(rows, classes, terms).items()
        },
        "by_class": {
            name: {metric: figure_json(figure) for metric, figure in figures.items()} | {"rows": per_class[name]}
            for name, figures in class_figures(rows, classes, terms).items()
        },
    }
    if isinstance(rows, Scored):
        found["confusion"] = confusion_matrix(rows.labels, rows.decisions, len(classes)).astype(int).tolist()
    if isinstance(rows, Numbers):
        found["fit"] = [_rounded(point) for point in reliability(rows, terms.bins)]
    return found


def curves(rows: Rows, bins: int) -> dict[str, list[dict[str, Any]]]:
    """Points of the ROC, precision-recall and reliability curves for `dvc plots`, which draws one line per revision.

    With more than two classes, or several labels, the first two are averages over them, each against the rest. Of a
    number there is the reliability alone: the mean prediction of parts of the rows as `confidence`, the mean truth.
    """
    if isinstance(rows, Numbers):
        fit = [
            {"confidence": p["predicted"], "observed": p["observed"], "rows": p["rows"]}
            for p in reliability(rows, bins)
        ]
        return {"roc": [], "precision_recall": [], "reliability": [_rounded(point) for point in fit]}
    each = [rows.one(i) for i in range(rows.count)] if isinstance(rows, Labels) else [rows]
    found = [curve_points(ranking) for one in each for ranking in rankings(one)]
    roc, recall = [roc for roc, _ in found if roc], [recall for _, recall in found if recall]
    if len(found) > 1:
        points = {
            "roc": averaged(roc, "false_positive_rate", "true_positive_rate"),
            "precision_recall": averaged(recall, "recall", "precision"),
        }
    else:
        points = {"roc": roc[0] if roc else [], "precision_recall": recall[0] if recall else []}
    points["reliability"] = reliability_points(pooled(rows) if isinstance(rows, Labels) else rows, bins)
    return {name: [_rounded(point) for point in line] for name, line in points.items()}


def averaged(lines: list[list[dict[str, float]]], across: str, up: str) -> list[dict[str, float]]:
    """The mean height of several curves at a hundred even steps; no points without curves."""
    if not lines:
        return []
    steps = np.linspace(0, 1, 101)
    heights = [np.interp(steps, [p[across] for p in line], [p[up] for p in line]) for line in lines]
    return [{across: float(x), up: float(y)} for x, y in zip(steps, np.mean(heights, axis=0), strict=True)]


def _rounded(point: dict[str, float]) -> dict[str, Any]:
    return {name: rounded(value) for name, value in point.items()}


def _text(figure: dict[str, Any]) -> str:
    if figure["value"] is None:
        return f"not defined ({figure['note']})"
    return f"{figure['value']:.3f} ({figure['low']:.3f} to {figure['high']:.3f})"


STAGE = Stage(
    name="evaluate",
    run=run,
    sections=("seed", "evaluate"),
    inputs={
        "rows": "data/ingest/rows.parquet",
        "schema": "data/ingest/schema.json",
        "split": "data/split/split.parquet",
        "model": "data/train",
    },
    outputs={
        "predictions": "data/evaluate/predictions.parquet",
        "evaluation": "data/evaluate/evaluation.json",
        "metrics": "data/evaluate/metrics.json",
        "profile": "data/evaluate/profile.json",
        "roc": "data/evaluate/roc.json",
        "precision_recall": "data/evaluate/precision_recall.json",
        "reliability": "data/evaluate/reliability.json",
    },
)

if __name__ == "__main__":
    STAGE.main()
