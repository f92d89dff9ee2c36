"""evaluate: score the test rows, once, and say how well the model does overall and by class, with intervals."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd

from models.errors import InputError
from models.metrics.calibration import reliability_points
from models.metrics.classification import confusion_matrix
from models.metrics.figures import Terms, class_figures, overall_figures
from models.metrics.profile import Profile, profile_of
from models.metrics.ranking import curve_points, rankings
from models.metrics.scored import Scored
from models.predictor import Predictor
from models.schema import Schema
from tasks.judging import figure_json, rounded, scores_of, terms_of
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
    write_json(outputs["profile"], profile(predictions, test, schema).model_dump(mode="json"))
    scored = scores_of(predictions, schema).scored
    evaluation = evaluate(scored, schema.target.classes, terms_of(params.evaluate, params.seed))
    evaluation["seeds"] = read_json(inputs["model"] / "summary.json")["seeds"]
    write_json(outputs["evaluation"], evaluation)
    # What is not defined is left out: `dvc metrics` has no word for it.
    known = {name: figure["value"] for name, figure in evaluation["overall"].items() if figure["value"] is not None}
    write_json(outputs["metrics"], known)
    for name, points in curves(scored, schema.target.classes, params.evaluate.calibration_bins).items():
        write_json(outputs[name], points)
    log.info(
        "evaluate: %s test rows, balanced accuracy %s",
        f"{len(test):,}",
        _text(evaluation["overall"]["balanced_accuracy"]),
    )


def predictions_of(predictor: Predictor, rows: pd.DataFrame, schema: Schema) -> pd.DataFrame:
    """row_id, label and decision as class ids, p_0 … p_{C-1}, and the groups as text, in the order of the rows."""
    decisions, probabilities = predictor.predict(rows)
    columns = {"row_id": rows["row_id"].to_numpy(np.int64), "label": labels_of(rows, schema), "decision": decisions}
    columns |= {f"p_{c}": probabilities[:, c] for c in range(probabilities.shape[1])}
    for attribute in schema.sensitive:
        if attribute.name in columns:
            raise InputError(
                f"evaluate: the sensitive attribute '{attribute.name}' has the name of a column of the predictions. Rename it."
            )
        columns[attribute.name] = rows[attribute.name].astype("string").to_numpy(object)
    table = pd.DataFrame(columns)
    return table.astype({a.name: "string" for a in schema.sensitive})


def profile(predictions: pd.DataFrame, rows: pd.DataFrame, schema: Schema) -> Profile:
    """What the test rows and their predictions look like: what the monitor will hold later rows against."""
    probabilities = predictions[[f"p_{c}" for c in range(len(schema.target.classes))]].to_numpy(np.float64)
    return profile_of(rows, schema, predictions["decision"].to_numpy(np.int64), probabilities)


def labels_of(rows: pd.DataFrame, schema: Schema) -> np.ndarray:
    """The class id of each row; a class that the schema does not know is an InputError."""
    labels = pd.Index(schema.target.classes).get_indexer(pd.Index(rows[schema.target.column].astype(str)))
    if (labels < 0).any():
        strange = rows[schema.target.column].iloc[int(np.flatnonzero(labels < 0)[0])]
        raise InputError(
            f"evaluate: '{strange}' is no class of '{schema.target.column}'. Run the stage 'ingest' again."
        )
    return labels.astype(np.int64)


def evaluate(scored: Scored, classes: tuple[str, ...], terms: Terms) -> dict[str, Any]:
    """evaluation.json but for the refits: every figure with its interval, its rows and the rows of each class."""
    counts = scored.class_counts.tolist()
    per_class = dict(zip(classes, counts, strict=True))
    confusion = confusion_matrix(scored.labels, scored.decisions, len(classes))
    return {
        "rows": len(scored),
        "confidence": terms.confidence,
        "bootstrap": terms.draws,
        "classes": list(classes),
        "overall": {
            name: figure_json(figure) | {"per_class": per_class}
            for name, figure in overall_figures(scored, classes, terms).items()
        },
        "by_class": {
            name: {metric: figure_json(figure) for metric, figure in figures.items()} | {"rows": per_class[name]}
            for name, figures in class_figures(scored, classes, terms).items()
        },
        "confusion": confusion.astype(int).tolist(),
    }


def curves(scored: Scored, classes: tuple[str, ...], bins: int) -> dict[str, list[dict[str, Any]]]:
    """Points of the ROC, precision-recall and reliability curves for `dvc plots`, which draws one line per revision.

    With more than two classes the first two are averages over the classes, each against the rest.
    """
    found = [curve_points(ranking) for ranking in rankings(scored)]
    roc, recall = [roc for roc, _ in found if roc], [recall for _, recall in found if recall]
    if len(classes) > 2:
        points = {
            "roc": averaged(roc, "false_positive_rate", "true_positive_rate"),
            "precision_recall": averaged(recall, "recall", "precision"),
        }
    else:
        points = {"roc": roc[0] if roc else [], "precision_recall": recall[0] if recall else []}
    points["reliability"] = reliability_points(scored, bins)
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
