"""The scored test rows as evaluate, audit and gate read them, and their figures as JSON."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from models import targets
from models.errors import InputError, nearest
from models.metrics.fairness import Evidence
from models.metrics.figures import Figure, Terms
from models.metrics.labels import Labels
from models.metrics.numbers import Numbers
from models.metrics.reach import Rows
from models.metrics.scored import Floats, Grouping, Scored, intersection
from models.schema import Schema, Target
from tasks.params import Evaluate

JOINT = " & "
"""Stands between the attributes, and between the groups, of an intersection."""


@dataclass(frozen=True)
class Scores:
    """One model's scores on the test rows, with the groups of every sensitive attribute in the same order of rows.

    `classes` name the classes, the labels, or the bins of the number.
    """

    scored: Rows
    classes: tuple[str, ...]
    groupings: tuple[Grouping, ...] = ()

    def take(self, rows: np.ndarray) -> Scores:
        """Those of some rows: positions, or a mask [n]."""
        groups = tuple(replace(g, ids=g.ids[rows]) for g in self.groupings)
        return Scores(self.scored.take(rows), self.classes, groups)

    def grouping(self, name: str) -> Grouping:
        """The groups of an attribute, or of an intersection `a & b`; an unknown name is an InputError."""
        known = {grouping.name: grouping for grouping in self.groupings}
        names = [part.strip() for part in name.split("&")]
        for part in names:
            if part not in known:
                raise InputError(f"gates: '{part}' is no sensitive attribute of these data. {nearest(part, known)}")
        return intersection([known[part] for part in names])


def terms_of(evaluate: Evaluate, seed: int) -> Terms:
    """How figures on test rows are made."""
    return Terms(
        confidence=evaluate.confidence,
        draws=evaluate.bootstrap,
        bins=evaluate.calibration_bins,
        evidence=Evidence(evaluate.evidence_rows, evaluate.evidence_per_class),
        seed=seed,
        beta=evaluate.beta,
    )


def scores_of(predictions: pd.DataFrame, schema: Schema) -> Scores:
    """What predictions.parquet holds."""
    groupings = [Grouping.of(a.name, predictions[a.name].tolist(), a.groups) for a in schema.sensitive]
    return Scores(rows_of_predictions(predictions, schema.target), schema.target.counted, tuple(groupings))


def rows_of_predictions(predictions: pd.DataFrame, target: Target) -> Rows:
    """The scored rows of a table as `table_of` makes it."""

    def columns(prefix: str) -> Floats:
        return predictions[[f"{prefix}_{c}" for c in range(len(target.classes))]].to_numpy(np.float64)

    if target.kind == "regression":
        return Numbers.of(
            predictions["actual"].to_numpy(), predictions["predicted"].to_numpy(), predictions["bin"].to_numpy(),
            len(target.strata),
        )  # fmt: skip
    if target.kind == "multilabel":
        return Labels.of(columns("label"), columns("decision"), columns("p"))
    decided = predictions["decision"].to_numpy()
    return Scored.of(predictions["label"].to_numpy(), decided, columns("p"), target.kind == "ordinal")


def scored(rows: pd.DataFrame, decisions: np.ndarray, probabilities: Floats, target: Target) -> Rows:
    """What a predictor says of rows beside the truth that they hold. Raises InputError for a value that is no target's."""
    if target.kind == "regression":
        actual = targets.numbers(rows[target.column])
        return Numbers.of(actual, decisions, targets.bin_ids(actual, target), len(target.strata))
    if target.kind == "multilabel":
        return Labels.of(targets.indicators(rows[target.column], target), decisions, probabilities)
    return Scored.of(targets.strata_ids(rows, target), decisions, probabilities, target.kind == "ordinal")


def table_of(rows: Rows) -> dict[str, np.ndarray]:
    """Scored rows as columns: label, decision, p_0 … of classes; label_0 …, decision_0 …, p_0 … of labels; of a number
    actual, predicted, bin.
    """
    if isinstance(rows, Numbers):
        return {"actual": rows.actual, "predicted": rows.predicted, "bin": rows.bins}
    if isinstance(rows, Labels):
        parts = {"label": rows.carried, "decision": rows.decided, "p": rows.probabilities}
        return {f"{name}_{i}": of[:, i] for name, of in parts.items() for i in range(rows.count)}
    probabilities = {f"p_{c}": rows.probabilities[:, c] for c in range(rows.classes)}
    return {"label": rows.labels, "decision": rows.decisions, **probabilities}


def read_scores(predictions: Path, schema: Schema) -> Scores:
    """The scored test rows that evaluate wrote."""
    return scores_of(pd.read_parquet(predictions), schema)


def intersections(groupings: Sequence[Grouping]) -> list[Grouping]:
    """Every pair of attributes, and all of them together."""
    pairs = [intersection(pair) for pair in combinations(groupings, 2)]
    return [*pairs, intersection(groupings)] if len(groupings) > 2 else pairs


def figure_json(figure: Figure) -> dict[str, Any]:
    """A figure with its interval and counts."""
    return {name: rounded(value) for name, value in dataclasses.asdict(figure).items()}


def rounded(value: Any) -> Any:
    """Six significant digits of a float: more than any test set supports, and the same whatever the last bit says."""
    return float(f"{value:.6g}") if isinstance(value, float) else value
